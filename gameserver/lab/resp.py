"""Cuts a stream of RESP3 into its top-level values, as bytes: as much as a proxy needs to know of it."""

from __future__ import annotations

LINES = frozenset(b"+-:_,#(")
BULKS = frozenset(b"$=!")
AGGREGATES = {ord("*"): 1, ord("~"): 1, ord(">"): 1, ord("%"): 2, ord("|"): 2}
"""How many values follow for each one that is counted; `|` also goes before a value."""


class _Incomplete(Exception):
    pass


class Frames:
    """Feed it bytes; it hands out whole values and keeps the rest."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        self._buffer += data
        frames = []
        start = 0
        try:
            while start < len(self._buffer):
                end = _end(self._buffer, start)
                frames.append(self._buffer[start:end])
                start = end
        except _Incomplete:
            pass
        self._buffer = self._buffer[start:]
        return frames


def _line(buffer: bytes, start: int) -> tuple[bytes, int]:
    end = buffer.find(b"\r\n", start)
    if end < 0:
        raise _Incomplete
    return buffer[start:end], end + 2


def _end(buffer: bytes, start: int) -> int:
    """Where the value that begins at `start` ends."""
    line, after = _line(buffer, start)
    kind = line[0]
    if kind in LINES:
        return after
    count = int(line[1:])
    if kind in BULKS:
        after += count + 2 if count >= 0 else 0
        if after > len(buffer):
            raise _Incomplete
        return after
    for _ in range(count * AGGREGATES[kind]):
        after = _end(buffer, after)
    return _end(buffer, after) if kind == ord("|") else after


def is_publication(frame: bytes) -> bool:
    """Whether it is a push of a sharded channel; only those may be tampered with."""
    return frame.startswith(b">3\r\n$8\r\nsmessage\r\n")


def channel_of(publication: bytes) -> str:
    _, _, rest = publication.partition(b"smessage\r\n")
    size, after = _line(rest, 1)
    return rest[after : after + int(size)].decode()
