"""What a client sends over a WebSocket, from bytes to whole messages (RFC 6455, section 5).

Bytes in, messages out. The parser keeps nothing of a frame but what it has not got whole yet, and nothing at all of one
whose declared length is too large: that is refused before a byte of it is waited for.
"""

from __future__ import annotations

import codecs
from typing import NamedTuple

from gameserver.protocol.closing import may_be_sent
from gameserver.protocol.codes import Close
from gameserver.protocol.deflate import Inflater, TooLarge, Undecodable

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

FIN, RSV1, RSV, OPCODE, CONTROL, MASKED = 0x80, 0x40, 0x70, 0x0F, 0x08, 0x80
LONGEST_HEAD = 14
"""Bytes of a frame before its payload, at most."""
MAX_CONTROL = 125
"""Bytes of a control frame's payload (RFC 6455, 5.5)."""

Message = tuple[int, bytes]
"""TEXT, BINARY, CLOSE, PING or PONG, and the payload: of TEXT, valid UTF-8."""


class Fault(NamedTuple):
    """A rule the peer broke: the code to close with, and what to say."""

    code: Close
    reason: str


class _Broken(Exception):
    def __init__(self, code: Close, reason: str) -> None:
        self.fault = Fault(code, reason)


class _Fragments:
    """A message of which the first frame has come, and the last has not."""

    __slots__ = ("compressed", "count", "decoder", "opcode", "parts", "size")

    def __init__(self, opcode: int, compressed: bool) -> None:
        self.opcode = opcode
        self.compressed = compressed
        self.parts: list[bytes] = []
        self.size = 0
        self.count = 0
        # Compressed text can be judged only when it is whole.
        self.decoder = codecs.getincrementaldecoder("utf-8")() if opcode == TEXT and not compressed else None


class FrameParser:
    """Of one connection. `max_message` is in bytes, decompressed; `max_fragments` are frames of one message.

    `fault` is set once the peer has broken a rule; from then on nothing more comes out. `unfinished` tells that a frame
    or a message has begun and is not whole.
    """

    __slots__ = ("_buffer", "_ended", "_fragments", "_inflater", "_max_fragments", "_max_message", "fault")

    def __init__(self, max_message: int, *, max_fragments: int = 64, inflater: Inflater | None = None) -> None:
        self._max_message = max_message
        self._max_fragments = max_fragments
        self._inflater = inflater
        self._buffer: bytes | bytearray = b""
        self._fragments: _Fragments | None = None
        self._ended = False
        self.fault: Fault | None = None

    @property
    def inflates(self) -> bool:
        """Whether compressed messages are understood."""
        return self._inflater is not None

    @property
    def unfinished(self) -> bool:
        return bool(self._buffer) or self._fragments is not None

    def feed(self, data: bytes) -> list[Message]:
        """The messages and control frames that these bytes complete, in order. What came before a fault is still
        answered. Nothing behind a close frame is looked at."""
        messages: list[Message] = []
        if self._ended:
            return messages
        if self._buffer:
            if type(self._buffer) is bytes:
                self._buffer = bytearray(self._buffer)
            self._buffer += data
            if self._is_too_short():
                return messages
            data = bytes(self._buffer)
        try:
            rest = self._take_frames(data, messages)
        except _Broken as broken:
            self.fault = broken.fault
            self._end()
        else:
            self._buffer = b"" if self._ended else rest
        return messages

    def _end(self) -> None:
        self._ended = True
        self._buffer = b""
        self._fragments = None

    def _is_too_short(self) -> bool:
        """Whether what is buffered is known not to be a whole frame: who sends a byte at a time is not to cost a copy
        of the whole for each."""
        size = len(self._buffer)
        if size <= LONGEST_HEAD:
            return False
        short = self._buffer[1] & 0x7F
        if short < 126:
            return size < 6 + short
        # Its length was found allowed when it came.
        if short == 126:
            return size < 8 + int.from_bytes(self._buffer[2:4], "big")
        return size < LONGEST_HEAD + int.from_bytes(self._buffer[2:10], "big")

    def _take_frames(self, data: bytes, messages: list[Message]) -> bytes:
        """Append what is complete; the bytes of a frame that is not. Raises _Broken."""
        position, end = 0, len(data)
        while end - position >= 2:
            first, second = data[position], data[position + 1]
            size, start = second & 0x7F, position + 6
            if size == 126:
                if end - position < 4:
                    self._check_head(first, second, size)
                    break
                size, start = int.from_bytes(data[position + 2 : position + 4], "big"), position + 8
                if size < 126:
                    raise _Broken(Close.PROTOCOL_ERROR, "a length longer than it needs to be")
            elif size == 127:
                if end - position < 10:
                    self._check_head(first, second, size)
                    break
                size, start = int.from_bytes(data[position + 2 : position + 10], "big"), position + 14
                if size < 65536 or size >> 63:
                    raise _Broken(Close.PROTOCOL_ERROR, "a length longer than it needs to be, or may be")
            # The usual case first: a whole message in one frame, masked, with nothing reserved.
            plain = (first == FIN | TEXT or first == FIN | BINARY) and second & MASKED and self._fragments is None
            if not plain:
                self._check_head(first, second, size)
            if not first & CONTROL and size > self._max_message - self._fragmented_size():
                raise _Broken(Close.TOO_BIG, f"more than {self._max_message} bytes")
            following = start + size
            if following > end:
                break
            payload = apply_mask(data[start:following], data[start - 4 : start])
            position = following
            if plain:
                if first & OPCODE == TEXT:
                    _check_text(payload)
                messages.append((first & OPCODE, payload))
            elif first & OPCODE == CLOSE:
                _check_close(payload)
                messages.append((CLOSE, payload))
                self._end()
                return b""
            elif first & CONTROL:
                messages.append((first & OPCODE, payload))
            else:
                self._take_fragment(first, payload, messages)
        return data[position:] if position else data

    def _fragmented_size(self) -> int:
        return 0 if self._fragments is None else self._fragments.size

    def _check_head(self, first: int, second: int, size: int) -> None:
        """Raises _Broken for a head that no frame may have here."""
        opcode = first & OPCODE
        if not second & MASKED:
            raise _Broken(Close.PROTOCOL_ERROR, "a frame without mask")
        allowed = RSV1 if self._inflater is not None and opcode in (TEXT, BINARY) else 0
        if first & RSV & ~allowed:
            raise _Broken(Close.PROTOCOL_ERROR, "a reserved bit is set")
        if opcode in (CLOSE, PING, PONG):
            if size > MAX_CONTROL or not first & FIN:
                raise _Broken(Close.PROTOCOL_ERROR, "a control frame that is long or in fragments")
        elif opcode == CONTINUATION:
            if self._fragments is None:
                raise _Broken(Close.PROTOCOL_ERROR, "a continuation of nothing")
            if self._fragments.count >= self._max_fragments:
                raise _Broken(Close.POLICY, "too many fragments")
        elif opcode in (TEXT, BINARY):
            if self._fragments is not None:
                raise _Broken(Close.PROTOCOL_ERROR, "a new message inside another")
        else:
            raise _Broken(Close.PROTOCOL_ERROR, "an unknown opcode")

    def _take_fragment(self, first: int, payload: bytes, messages: list[Message]) -> None:
        fragments = self._fragments
        if fragments is None:
            fragments = self._fragments = _Fragments(first & OPCODE, bool(first & RSV1))
        fragments.count += 1
        fragments.size += len(payload)
        fragments.parts.append(payload)
        if fragments.decoder is not None:
            try:
                fragments.decoder.decode(payload, bool(first & FIN))
            except UnicodeDecodeError:
                raise _Broken(Close.BAD_TEXT, "not UTF-8") from None
        if first & FIN:
            self._fragments = None
            messages.append((fragments.opcode, self._whole(fragments)))

    def _whole(self, fragments: _Fragments) -> bytes:
        payload = b"".join(fragments.parts)
        if not fragments.compressed or self._inflater is None:
            return payload
        try:
            payload = self._inflater.inflate(payload, self._max_message)
        except TooLarge:
            raise _Broken(Close.TOO_BIG, f"more than {self._max_message} bytes") from None
        except Undecodable:
            raise _Broken(Close.BAD_TEXT, "not deflated") from None
        if fragments.opcode == TEXT:
            _check_text(payload)
        return payload


def _check_text(payload: bytes) -> None:
    if not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError:
            raise _Broken(Close.BAD_TEXT, "not UTF-8") from None


def _check_close(payload: bytes) -> None:
    if not payload:
        return
    if len(payload) == 1 or not may_be_sent(int.from_bytes(payload[:2], "big")):
        raise _Broken(Close.PROTOCOL_ERROR, "a close frame without a proper code")
    _check_text(payload[2:])
