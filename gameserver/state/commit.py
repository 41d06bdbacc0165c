"""One commit of one room, as bytes: what the store logs and publishes, and every replica reads.

A worker encodes *parts*; the store only puts a header in front of those it accepts. The whole is one
MessagePack array, `[header, [part, ...]]`, decoded and validated in one pass:

    header = [format, epoch, seq, sum, at, worker, number]
    part   = [dels, sets, events, siblings]
    event  = [name, data, from, priority]

`seq` follows the room's previous commit by one, `sum` is the room's checksum after it, `at` is in
milliseconds since the Unix epoch by the store's clock, (`worker`, `number`) is the commit's id, the
same in every room it touches, and `siblings` names the other rooms this part must appear together with.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from gameserver.errors import GameserverError

FORMAT = 3


class PoisonCommit(GameserverError):
    """Bytes on the bus that are not a commit of this format; counted and dropped."""

    code = "poison"


class Event(msgspec.Struct, array_like=True, frozen=True):
    name: str
    data: dict[str, Any]
    sender: str | None
    priority: int
    """Lane, 0 the most important; see `gameserver.protocol.codes.Priority`."""


class Part(msgspec.Struct, array_like=True):
    """`dels` is applied before `sets`; a field that is None in `sets` is removed."""

    dels: list[str] = []
    sets: dict[str, dict[str, Any]] = {}
    events: list[Event] = []
    siblings: list[str] = []


class Header(msgspec.Struct, array_like=True, frozen=True):
    format: int
    epoch: int
    seq: int
    sum: int
    at: int
    worker: str
    number: int


class Commit(msgspec.Struct, array_like=True, frozen=True):
    header: Header
    parts: list[Part]

    @property
    def id(self) -> tuple[str, int]:
        return self.header.worker, self.header.number

    @property
    def events(self) -> list[Event]:
        """In order; an event's place in this list is its `index` on the wire."""
        if len(self.parts) == 1:
            return self.parts[0].events
        return [event for part in self.parts for event in part.events]

    @property
    def siblings(self) -> Collection[str]:
        """Each once."""
        if len(self.parts) == 1:
            return self.parts[0].siblings
        return {room for part in self.parts for room in part.siblings}


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Commit).decode


def encode_part(part: Part) -> bytes:
    return _encode(part)


def encode_commit(header: Header, parts: list[bytes]) -> bytes:
    """What the store does in its script, for stores written in Python."""
    size = len(parts)
    length = bytes((0x90 | size,)) if size < 16 else b"\xdc" + size.to_bytes(2, "big")
    return b"".join((b"\x92", _encode(header), length, *parts))


def decode_commit(payload: bytes) -> Commit:
    """Raises PoisonCommit for anything that is not a commit of this format."""
    try:
        commit = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PoisonCommit(str(error)) from None
    if commit.header.format != FORMAT:
        raise PoisonCommit(f"a commit of format {commit.header.format}")
    return commit
