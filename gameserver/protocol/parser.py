"""What a client sends over a WebSocket, from bytes to whole messages (RFC 6455, section 5).

Bytes in, messages out. The parser keeps nothing of a frame but what it has not got whole yet, and nothing at all of one
whose declared length is too large: that is refused before a byte of it is waited for.
"""

from __future__ import annotations

import codecs
from typing import NamedTuple

from gameserver.protocol.closing import may_be_sent
from gameserver.protocol.codes import Close
from gameserver.protocol.deflate import Inflater, TooLarge, Undecodable, largest_deflated

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

FIN, RSV1, RSV, OPCODE, CONTROL, MASKED, SIZE = 0x80, 0x40, 0x70, 0x0F, 0x08, 0x80, 0x7F
WHOLE_TEXT, WHOLE_BINARY = FIN | TEXT, FIN | BINARY
SHORTEST = 6
"""Bytes of a masked frame without payload; of any frame, what its length takes beyond the second byte comes on top."""
MAX_SHORT, MEDIUM = 125, 126
"""The largest length that the second byte holds itself, and what it holds when two more bytes do."""
NONE = -1
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

    __slots__ = ("_awaited", "_buffer", "_ended", "_fragments", "_inflater", "_max_fragments", "_max_message", "fault")

    def __init__(self, max_message: int, *, max_fragments: int = 64, inflater: Inflater | None = None) -> None:
        self._max_message = max_message
        self._max_fragments = max_fragments
        self._inflater = inflater
        self._buffer: bytes | bytearray = b""
        self._awaited = 0
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
            self._gather(data)
            if len(self._buffer) < self._awaited:
                return messages
            data = bytes(self._buffer)
            self._buffer = b""
        position, end = 0, len(data)
        try:
            # The usual case first and without calls: small whole messages, outside of any other.
            most = self._max_message if self._fragments is None else NONE
            if most > MAX_SHORT:
                most = MAX_SHORT
            while end - position >= SHORTEST:
                first, size = data[position], data[position + 1] - MASKED
                start = position + SHORTEST
                following = start + size
                if not 0 <= size <= most or following > end or (first != WHOLE_TEXT and first != WHOLE_BINARY):
                    break
                payload = apply_mask(data[start:following], data[position + 2 : start])
                if first == WHOLE_TEXT and not payload.isascii():
                    _check_text(payload)
                messages.append((first & OPCODE, payload))
                position = following
            if position < end:
                position = self._take_frames(data, position, messages)
                if not self._ended:
                    self._buffer = data[position:]
        except _Broken as broken:
            self.fault = broken.fault
            self._end()
        return messages

    def _gather(self, data: bytes) -> None:
        # A peer that sends a byte at a time is not to cost a copy of the whole for each.
        if type(self._buffer) is bytes:
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    def _end(self) -> None:
        self._ended = True
        self._buffer = b""
        self._fragments = None

    def _take_frames(self, data: bytes, position: int, messages: list[Message]) -> int:
        """Append what is complete from `position` on, frames of all kinds; where the first incomplete frame begins.

        `_awaited` is then how much of that frame there must be before a further look at it can find anything. Raises
        _Broken.
        """
        end = len(data)
        while end - position >= 2:
            first, second = data[position], data[position + 1]
            self._check_head(first, second)
            size, start = second & SIZE, position + SHORTEST
            if size > MAX_SHORT:
                start += 2 if size == MEDIUM else 8
                if end < start - 4:
                    self._awaited = start - 4 - position
                    return position
                size = _long_size(data[position + 2 : start - 4])
            if not first & CONTROL:
                self._check_size(first, size)
            following = start + size
            if following > end:
                self._awaited = following - position
                return position
            payload = apply_mask(data[start:following], data[start - 4 : start])
            position = following
            if not first & CONTROL:
                self._take_data(first, payload, messages)
                continue
            if first & OPCODE == CLOSE:
                _check_close(payload)
                self._end()
                position = end
            messages.append((first & OPCODE, payload))
        self._awaited = 2
        return position

    def _check_head(self, first: int, second: int) -> None:
        """Raises _Broken for the first two bytes of a frame that none may have here."""
        opcode = first & OPCODE
        if not second & MASKED:
            raise _Broken(Close.PROTOCOL_ERROR, "a frame without mask")
        allowed = RSV1 if self._inflater is not None and opcode in (TEXT, BINARY) else 0
        if first & RSV & ~allowed:
            raise _Broken(Close.PROTOCOL_ERROR, "a reserved bit is set")
        if opcode in (CLOSE, PING, PONG):
            if second & SIZE > MAX_CONTROL or not first & FIN:
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

    def _check_size(self, first: int, size: int) -> None:
        """Raises _Broken for a data frame whose message would be too large with it."""
        fragments = self._fragments
        compressed = first & RSV1 if fragments is None else fragments.compressed
        most = largest_deflated(self._max_message) if compressed else self._max_message
        if size + (0 if fragments is None else fragments.size) > most:
            raise self._too_large()

    def _too_large(self) -> _Broken:
        return _Broken(Close.TOO_BIG, f"more than {self._max_message} bytes")

    def _take_data(self, first: int, payload: bytes, messages: list[Message]) -> None:
        if first & FIN and not first & RSV1 and self._fragments is None:
            if first & OPCODE == TEXT:
                _check_text(payload)
            messages.append((first & OPCODE, payload))
        else:
            self._take_fragment(first, payload, messages)

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
            raise self._too_large() from None
        except Undecodable:
            raise _Broken(Close.BAD_TEXT, "not deflated") from None
        if fragments.opcode == TEXT:
            _check_text(payload)
        return payload


def _long_size(digits: bytes) -> int:
    """The length that is written in 2 or 8 bytes. Raises _Broken where fewer would have done (RFC 6455, 5.2).

    One with the top bit set, which may not be, is above every limit there is.
    """
    size = int.from_bytes(digits, "big")
    if size <= (MAX_SHORT if len(digits) == 2 else 0xFFFF):
        raise _Broken(Close.PROTOCOL_ERROR, "a length longer than it needs to be")
    return size


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
