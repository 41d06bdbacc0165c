"""Footprints: what a group of runs amounts to, room by room, as the store compares and applies it."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.state.checksum import MASK, room_sum
from gameserver.state.commit import Part
from gameserver.state.delta import State, apply
from gameserver.state.draft import Content, Draft
from gameserver.state.group import Footprint, RoomPart
from tests.state.things import OTHER, ROOM, Action, Rooms, actions, filled, play, shown, states

NO_BASE = -1
decode_part = msgspec.msgpack.Decoder(Part).decode


class Batch:
    """Runs one after the other over what the earlier ones wrote, as one group."""

    def __init__(self, **states: State) -> None:
        self.rooms = Rooms(**states)
        self.pending: dict[str, dict[str, Content | None]] = {}
        self.footprint = Footprint()
        self.runs = 0

    def draft(self) -> Draft:
        return self.rooms.draft(self.pending)

    def end(self, draft: Draft) -> None:
        writes = {room: changed for room, drafted in draft.rooms.items() if (changed := drafted.writes())}
        for room, changed in writes.items():
            self.pending.setdefault(room, {}).update(changed)
        self.footprint.add(draft, writes, self.runs)
        self.runs += 1

    def changes(self) -> dict[str, RoomPart]:
        return {part.room: part for part in self.footprint.changes(self.rooms, NO_BASE)}


def part_of(change: RoomPart) -> Part:
    return decode_part(change.part) if change.part else Part()


def stored(state: State, change: RoomPart) -> State:
    """The state as the store has it after the group."""
    result = copy.deepcopy(state)
    for entity, blob in change.writes.items():
        if blob is None:
            del result[entity]
        else:
            result[entity] = msgspec.msgpack.decode(blob)
    return result


@given(states, st.lists(actions, min_size=1, max_size=4))
@settings(max_examples=120, deadline=None)
def test_delta_store_and_checksum_agree(state: State, runs: list[list[Action]]) -> None:
    """The delta applied to the base is what the store writes, and the checksum's change is the difference."""
    batch = Batch(sector_1=state)
    for played in runs:
        draft = batch.draft()
        play(draft, ROOM, played)
        batch.end(draft)
    final = shown(batch.draft(), ROOM)
    change = batch.changes()[ROOM]
    part = part_of(change)
    replayed = copy.deepcopy(state)
    apply(replayed, part.dels, part.sets)
    assert stored(state, change) == replayed
    assert filled(replayed) == final
    assert (room_sum(state) + change.sum_change) & MASK == room_sum(replayed)
    assert batch.rooms.replicas[ROOM].entities == state


@given(states, st.lists(actions, min_size=1, max_size=3))
@settings(max_examples=80, deadline=None)
def test_what_is_compared(state: State, runs: list[list[Action]]) -> None:
    """Every entity touched is compared, with whether it was there before the batch; so is who iterated."""
    batch = Batch(sector_1=state)
    for played in runs:
        draft = batch.draft()
        play(draft, ROOM, played)
        batch.end(draft)
    change = batch.changes()[ROOM]
    assert change.base == (7 if change.reads or change.membership else NO_BASE)
    assert all(existed == (entity in state) for entity, existed in change.reads.items())
    assert change.writes.keys() <= change.reads.keys()
    assert change.membership == any(action == "list" for played in runs for action, _, _ in played)
    after = stored(state, change)
    assert change.membership_changed == (after.keys() != state.keys())
    assert bool(change.part) == (after != state) or not change.writes


@given(states, states, st.lists(st.tuples(st.sampled_from([ROOM, OTHER]), actions), min_size=2, max_size=4))
@settings(max_examples=60, deadline=None)
def test_groups_that_join_are_one(state: State, other: State, runs: list[tuple[str, list[Action]]]) -> None:
    """Absorbing the footprint of a group that wrote other rooms is the same as having run in one group."""
    together = Batch(sector_1=state, sector_2=other)
    apart = {room: Batch(sector_1=state, sector_2=other) for room in (ROOM, OTHER)}
    for order, (room, played) in enumerate(runs):
        for batch in (together, apart[room]):
            draft = batch.draft()
            play(draft, room, played)
            draft.room(room).event("played", order=order)
            batch.runs = order
            batch.end(draft)
    joined = apart[ROOM].footprint
    joined.absorb(apart[OTHER].footprint)
    assert apart[ROOM].changes() == together.changes()


def test_only_what_changed_is_sent() -> None:
    """The delta has changed fields alone, None for one that was removed; what came and went is no change."""
    batch = Batch(sector_1={"counter:1": {"n": 1, "note": "x"}, "box:1": {"x": 0.5, "content": [1]}})
    first = batch.draft()
    first.room(ROOM)["counter:1"].note = None
    first.room(ROOM)["box:1"].content.append(2)
    first.room(ROOM).create("counter:2")
    batch.end(first)
    second = batch.draft()
    second.room(ROOM).delete("counter:2")
    batch.end(second)
    change = batch.changes()[ROOM]
    assert part_of(change).sets == {"counter:1": {"note": None}, "box:1": {"content": [1, 2]}}
    assert not part_of(change).dels
    assert change.reads == {"counter:1": True, "box:1": True, "counter:2": False}
    assert not change.membership_changed


def test_events_keep_the_order_of_their_runs() -> None:
    """Also when a later group's runs came before an earlier one's."""
    rooms = Rooms(sector_1={})
    earlier, later = Footprint(), Footprint()
    for order, footprint in enumerate([earlier, later, earlier, later]):
        draft = rooms.draft()
        draft.room(ROOM).event("first", order=order)
        draft.room(ROOM).event("second", order=order)
        footprint.add(draft, {}, order)
    earlier.absorb(later)
    (change,) = earlier.changes(rooms, NO_BASE)
    happened = [(event.data["order"], event.name) for event in part_of(change).events]
    assert happened == [(order, name) for order in range(4) for name in ("first", "second")]
    assert change.base == NO_BASE


def move(batch: Batch, entity: str = "counter:1") -> None:
    draft = batch.draft()
    draft.room(ROOM).delete(entity)
    draft.room(OTHER).create(entity)
    batch.end(draft)


def siblings(batch: Batch) -> dict[str, list[str]]:
    return {room: part_of(change).siblings for room, change in batch.changes().items()}


def test_rooms_of_one_run_are_siblings() -> None:
    """A move names the other room in each; runs in one room each do not tie their rooms together."""
    batch = Batch(sector_1={"counter:1": {}, "counter:2": {}}, sector_2={})
    move(batch)
    assert siblings(batch) == {ROOM: [OTHER], OTHER: [ROOM]}
    apart = Batch(sector_1={}, sector_2={})
    for room in (ROOM, OTHER):
        draft = apart.draft()
        draft.room(room).create("counter:1")
        apart.end(draft)
    assert siblings(apart) == {ROOM: [], OTHER: []}


def test_a_room_that_was_only_read_is_no_sibling() -> None:
    """Nothing will be published there; nobody is to wait for it."""
    batch = Batch(sector_1={"counter:1": {}}, sector_2={"counter:2": {"n": 3}})
    draft = batch.draft()
    draft.room(ROOM)["counter:1"].n = draft.room(OTHER)["counter:2"].n
    batch.end(draft)
    assert siblings(batch) == {ROOM: [], OTHER: []}
    assert not batch.changes()[OTHER].part


def test_a_change_that_was_undone_is_no_sibling() -> None:
    """A later run of the group took back what the move did there: nobody is to wait for a part that never comes."""
    batch = Batch(sector_1={"counter:1": {}}, sector_2={})
    move(batch)
    draft = batch.draft()
    draft.room(OTHER).delete("counter:1")
    batch.end(draft)
    assert siblings(batch) == {ROOM: [], OTHER: []}


def test_an_untouched_footprint_is_empty() -> None:
    """Nothing read, nothing written: a room part that neither compares nor changes."""
    batch = Batch(sector_1={})
    draft = batch.draft()
    draft.room(ROOM)
    batch.end(draft)
    change: Any = batch.changes()[ROOM]
    assert (change.base, change.reads, change.writes, change.part) == (NO_BASE, {}, {}, b"")
