"""A message of the server as one WebSocket frame: final, unmasked, uncompressed (RFC 6455, section 5.2).

A frame is made once and the same bytes are written to every member of a room.
"""

from __future__ import annotations

from collections.abc import Iterable

TEXT = 0x81
BINARY = 0x82
COMPRESSED = 0x40
"""The first reserved bit: the message is deflated (RFC 7692, 6)."""
PING = b"\x89\x00"
"""A ping without payload (RFC 6455, 5.5.2)."""

_SHORT = 126
_MEDIUM = 0x10000
_HEADERS = tuple(tuple(bytes((opcode, size)) for size in range(_SHORT)) for opcode in (BINARY, TEXT))


def encode_frame(payload: bytes, text: bool, compressed: bool = False) -> bytes:
    """The frame around `payload`, in the shortest form of its length; `text` for JSON, else binary.

    `compressed` says that the payload is deflated (`gameserver.protocol.deflate`).
    """
    size = len(payload)
    if size < _SHORT and not compressed:
        return _HEADERS[text][size] + payload
    opcode = (TEXT if text else BINARY) | COMPRESSED * compressed
    if size < _SHORT:
        return bytes((opcode, size)) + payload
    if size < _MEDIUM:
        return bytes((opcode, 126, size >> 8, size & 0xFF)) + payload
    return b"%c\x7f%b%b" % (opcode, size.to_bytes(8, "big"), payload)


def encode_pong(payload: bytes) -> bytes:
    """The answer to a ping with this payload, of at most 125 bytes."""
    return bytes((0x8A, len(payload))) + payload


def join_frames(frames: Iterable[bytes]) -> bytes:
    """Several frames as one write: the transport never joins small writes itself."""
    return b"".join(frames)


def payload_of(frame: bytes) -> tuple[bytes, bool]:
    """The payload of exactly one frame made here, and whether it is text.

    Raises ValueError for anything else.
    """
    if len(frame) < 2 or frame[0] not in (TEXT, BINARY):
        raise ValueError("not a final, uncompressed data frame")
    size, start = frame[1], 2
    if size == 126:
        size, start = int.from_bytes(frame[2:4], "big"), 4
    elif size == 127:
        size, start = int.from_bytes(frame[2:10], "big"), 10
    elif size > 127:
        raise ValueError("a masked frame")
    if len(frame) != start + size:
        raise ValueError(f"a frame of {start + size} bytes in {len(frame)}")
    return frame[start:], frame[0] == TEXT


def split_frames(stream: bytes) -> list[tuple[bytes, bool]]:
    """The payloads of frames joined by `join_frames`, in order. Raises ValueError for anything else."""
    payloads = []
    while stream:
        if len(stream) < 2:
            raise ValueError("half a frame header")
        size, start = stream[1], 2
        if size == 126:
            size, start = int.from_bytes(stream[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(stream[2:10], "big"), 10
        end = start + size
        payloads.append(payload_of(stream[:end]))
        stream = stream[end:]
    return payloads
