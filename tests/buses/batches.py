"""Batches in few words, for the tests of the buses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gameserver.buses.base import (
    MEMBERSHIP,
    NO_BASE,
    Batch,
    Bus,
    CommandKey,
    Group,
    RoomPart,
)
from gameserver.state.commit import Commit, Event, Part, decode_commit, encode_part

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


def write(
    room: str,
    base: int,
    writes: Mapping[str, Mapping[str, Any] | None],
    *,
    existing: Iterable[str] = (),
    reads: Iterable[str] = (),
    membership: bool = False,
    sum_change: int = 0,
    events: Iterable[str] = (),
) -> RoomPart:
    """A part that writes whole entities and reads `reads`; those in `existing` are said to have existed."""
    existing = set(existing)
    dels = [entity for entity, fields in writes.items() if fields is None]
    sets = {entity: dict(fields) for entity, fields in writes.items() if fields is not None}
    happened = [Event(name, {}, None, 4) for name in events]
    return RoomPart(
        room=room,
        base=base,
        reads={entity: entity in existing for entity in [*writes, *reads]},
        writes={entity: None if fields is None else pack(fields) for entity, fields in writes.items()},
        membership=membership,
        membership_changed=any((entity in existing) == (fields is None) for entity, fields in writes.items()),
        sum_change=sum_change,
        part=encode_part(Part(dels, sets, happened)) if writes or happened else b"",
    )


def look(room: str, base: int, *entities: str, missing: Iterable[str] = (), membership: bool = False) -> RoomPart:
    """A part that only reads."""
    return write(room, base, {}, reads=[*entities, *missing], existing=entities, membership=membership)


def say(room: str, *events: str) -> RoomPart:
    """Events alone, compared with nothing."""
    return write(room, NO_BASE, {}, events=events)


def key(player: str, command: str, *rooms: str, body: bytes = b"the body") -> CommandKey:
    return CommandKey(player, command, body, list(rooms))


class Seat:
    """One worker at a bus: it numbers its batches and keeps what is published to it."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.epoch = 0
        self.number = 0
        self.received: list[tuple[str, bytes]] = []
        self.losses = 0

    async def open(self) -> Seat:
        await self.bus.start(self._on_commit, self._on_loss)
        self.epoch = await self.bus.epoch()
        return self

    def _on_commit(self, room: str, payload: bytes) -> None:
        self.received.append((room, payload))

    def _on_loss(self) -> None:
        self.losses += 1

    def commits(self, room: str) -> list[Commit]:
        return [decode_commit(payload) for name, payload in self.received if name == room]

    def batch(self, *groups: Group) -> Batch:
        self.number += 1
        return Batch(self.epoch, self.number, list(groups))

    async def commit(self, *groups: Group):  # type: ignore[no-untyped-def]
        return await self.bus.commit(self.batch(*groups))

    async def write(self, *parts: RoomPart, **more: Any):  # type: ignore[no-untyped-def]
        """Commit one group and answer its result."""
        return (await self.commit(Group(list(parts), **more))).results[0]

    async def state(self, room: str) -> dict[str, Any]:
        snapshot = await self.bus.load(room)
        return {entity: unpack(blob) for entity, blob in snapshot.entities.items()}

    async def log(self, room: str, after: int = 0) -> list[Commit]:
        return [decode_commit(payload) for payload in await self.bus.read_log(room, after)]


__all__ = ["MEMBERSHIP", "Seat", "key", "look", "pack", "say", "unpack", "write"]
