"""A group: runs of game code that are accepted or refused together, and what they amount to.

Runs join one group when a later one saw what an earlier one wrote. What a group sends to the store is
computed at its end, from the replicas (the state before the batch) and its final writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gameserver.state.checksum import MASK, change_sum, fields_sum
from gameserver.state.commit import Event, Part, encode_part
from gameserver.state.delta import difference
from gameserver.state.draft import Content, Draft
from gameserver.state.replica import Replica

_encode = msgspec.msgpack.Encoder().encode


class RoomFootprint:
    """What a group touched in one room. `events` carry the order of their run within the batch."""

    __slots__ = ("changes", "events", "membership", "reads", "siblings", "writes")

    def __init__(self) -> None:
        self.reads: set[str] = set()
        self.writes: dict[str, Content | None] = {}
        self.changes: dict[str, Content] = {}
        """Of each entity that one run alone wrote, and neither created nor deleted: the fields that differ."""
        self.membership = False
        self.events: list[tuple[int, Event]] = []
        self.siblings: set[str] = set()

    def write(self, written: Mapping[str, Content | None], changes: Mapping[str, Content]) -> None:
        """Take in what one run wrote; `changes` as `RoomDraft.changes`."""
        if self.writes.keys().isdisjoint(written):
            self.changes.update(changes)
        else:
            for entity in written:
                if entity in self.writes:
                    # One run may have undone what the other did.
                    self.changes.pop(entity, None)
                elif entity in changes:
                    self.changes[entity] = changes[entity]
        self.writes.update(written)


@dataclass(slots=True)
class RoomPart:
    """What a group read and wrote of one room, as the store compares and applies it.

    `reads` maps each entity read or written to whether it existed; `writes` gives each written entity's
    whole new content (MessagePack) or None when deleted; `membership` says that the room was iterated;
    `membership_changed` that entities were created or deleted. `sum_change` is added to the room's
    checksum; `part` is an encoded `gameserver.state.commit.Part`, empty when nothing changed.
    """

    room: str
    base: int
    reads: dict[str, bool]
    writes: dict[str, bytes | None]
    membership: bool
    membership_changed: bool
    sum_change: int
    part: bytes


class Footprint:
    """Reads, writes and events of a group, room by room."""

    def __init__(self) -> None:
        self.rooms: dict[str, RoomFootprint] = {}

    def add(self, draft: Draft, writes: dict[str, dict[str, Content | None]], order: int) -> list[str]:
        """Take in one run; `writes` is what its rooms' `writes()` said. The rooms that the run changed."""
        changed: list[str] = []
        for room, drafted in draft.rooms.items():
            footprint = self.rooms.get(room)
            if footprint is None:
                footprint = self.rooms[room] = RoomFootprint()
            footprint.reads.update(drafted.read)
            if drafted.membership:
                footprint.membership = True
            written = writes.get(room)
            if written:
                footprint.write(written, drafted.changes)
                changed.append(room)
            if drafted.events:
                footprint.events.extend((order, event) for event in drafted.events)
                if not written:
                    changed.append(room)
        if len(changed) > 1:
            for room in changed:
                self.rooms[room].siblings.update(changed)
        return changed

    def absorb(self, other: Footprint) -> None:
        """Become the union; no entity is written by both."""
        for room, theirs in other.rooms.items():
            ours = self.rooms.setdefault(room, RoomFootprint())
            ours.reads |= theirs.reads
            ours.membership |= theirs.membership
            ours.writes.update(theirs.writes)
            ours.changes.update(theirs.changes)
            ours.events.extend(theirs.events)
            ours.siblings |= theirs.siblings

    def changes(self, replica_of: Callable[[str], Replica], no_base: int) -> list[RoomPart]:
        """What to send to the store, in the rooms' order of first touch.

        A room in which nothing was read has the base `no_base`: it only appends events.
        """
        made = [_change(room, footprint, replica_of, no_base) for room, footprint in self.rooms.items()]
        # Nobody is to wait for a room in which the group's runs undid each other.
        shown = {change.room for change, part in made if part.dels or part.sets or part.events}
        for change, part in made:
            if change.room in shown:
                part.siblings = sorted((self.rooms[change.room].siblings & shown) - {change.room})
                change.part = encode_part(part)
        return [change for change, _ in made]


def _change(
    room: str, footprint: RoomFootprint, replica_of: Callable[[str], Replica], no_base: int
) -> tuple[RoomPart, Part]:
    part = Part([], {}, [], [])
    blobs: dict[str, bytes | None] = {}
    reads: dict[str, bool] = {}
    base, total, membership_changed = no_base, 0, False
    if footprint.reads or footprint.membership:
        replica = replica_of(room)
        base, entities = replica.seq, replica.entities
        reads = {entity: entity in entities for entity in footprint.reads}
        for entity, after in footprint.writes.items():
            before = entities.get(entity)
            changed = footprint.changes.get(entity)
            if changed is not None and before and after:
                part.sets[entity] = changed
                blobs[entity] = _encode(after)
                total += fields_sum(entity, before, changed)
            elif _changes(part, entity, before, after):
                blobs[entity] = None if after is None else _encode(after)
                total += change_sum(entity, before, after)
                membership_changed |= (before is None) != (after is None)
    if footprint.events:
        footprint.events.sort(key=_order)
        part.events = [event for _, event in footprint.events]
    made = RoomPart(room, base, reads, blobs, footprint.membership, membership_changed, total & MASK, b"")
    return made, part


def _order(item: tuple[int, Event]) -> int:
    return item[0]


def _changes(part: Part, entity: str, before: Content | None, after: Content | None) -> bool:
    """Put the change into the part; whether there is one."""
    if after is None:
        if before is None:
            return False
        part.dels.append(entity)
        return True
    changed: dict[str, Any] = difference(before, after)
    if not changed and before is not None:
        return False
    part.sets[entity] = changed
    return True
