"""Replicas: whatever reaches them in whatever order, they are at a position they can prove, or say what is missing."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.state.checksum import room_sum
from gameserver.state.commit import (
    FORMAT,
    Commit,
    Header,
    Part,
    PoisonCommit,
    decode_commit,
    encode_commit,
    encode_part,
)
from gameserver.state.delta import State, apply, difference
from gameserver.state.position import Position
from gameserver.state.replica import FEW, Receipt, Replica, decode_entities
from tests.state.things import EPOCH, states

LATER = EPOCH + 1000


def commit_of(seq: int, before: State, after: State, *, epoch: int = EPOCH, parts: int = 1) -> Commit:
    """The commit that turns one state into the other, in so many parts, as it comes off the wire."""
    dels = [entity for entity in before if entity not in after]
    sets = {
        entity: difference(before.get(entity), fields)
        for entity, fields in after.items()
        if before.get(entity) != fields
    }
    pieces = [Part() for _ in range(parts)]
    for place, entity in enumerate(dels):
        pieces[place % parts].dels.append(entity)
    for place, (entity, fields) in enumerate(sets.items()):
        pieces[place % parts].sets[entity] = fields
    header = Header(FORMAT, epoch, seq, room_sum(after), 0, "w1", seq)
    return decode_commit(encode_commit(header, [encode_part(piece) for piece in pieces]))


def history_of(states: list[State], parts: int) -> list[Commit]:
    return [
        commit_of(seq, before, after, parts=parts)
        for seq, (before, after) in enumerate(zip([{}, *states], states, strict=False), start=1)
    ]


@given(st.lists(states, min_size=1, max_size=6), st.integers(1, 3), st.data())
@settings(max_examples=100, deadline=None)
def test_never_a_wrong_state(states: list[State], parts: int, data: st.DataObject) -> None:
    """In any order, with duplicates and gaps, the state is always that of the position, and proves it."""
    commits = history_of(states, parts)
    replica = Replica("sector:1", EPOCH)
    history = [{}, *states]
    for place in data.draw(st.lists(st.integers(0, len(commits) - 1), max_size=12)):
        commit, stood = commits[place], replica.seq
        expected = {0: Receipt.DUPLICATE, 1: Receipt.APPLIED}.get(min(1, max(0, place + 1 - stood)))
        if place + 1 > stood + 1:
            expected = Receipt.GAP
        assert replica.receive(copy.deepcopy(commit)) is expected
        assert replica.entities == history[replica.seq]
        assert replica.seq == stood + (expected is Receipt.APPLIED)
        assert replica.verified


@given(states, st.lists(st.tuples(states, st.booleans()), max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_checksum_is_always_the_rooms(start: State, steps: list[tuple[State, bool]]) -> None:
    """However often it is asked for between commits, the incremental checksum is that of the whole state."""
    replica = Replica("sector:1")
    replica.load(EPOCH, 4, room_sum(start), copy.deepcopy(start))
    before = start
    for seq, (after, ask) in enumerate(steps, start=5):
        assert replica.receive(commit_of(seq, before, after)) is Receipt.APPLIED
        if ask:
            assert replica.computed_sum() == room_sum(after)
        before = after
    assert replica.computed_sum() == room_sum(before)
    assert replica.computed_sum() == replica.sum


@given(states, st.lists(st.tuples(states, st.integers(0, 30)), max_size=6), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_the_checksum_of_a_large_room(start: State, steps: list[tuple[State, int]], few: int) -> None:
    """Recomputed in portions of any size between commits, also when the room was small before or has become small."""
    crowd: State = {f"counter:crowd{number}": {"n": number} for number in range(FEW)}
    replica = Replica("sector:1")
    replica.load(EPOCH, 4, room_sum(start), copy.deepcopy(start))
    before = start
    for seq, (after, most) in enumerate(steps, start=5):
        after = after | (crowd if seq % 4 != few else {})
        assert replica.receive(commit_of(seq, before, after)) is Receipt.APPLIED
        if replica.sum_some(most):
            assert replica.sum_some(0)
            assert replica.computed_sum() == room_sum(after)
        before = after
    assert replica.computed_sum() == room_sum(before) == replica.sum


def test_a_large_room_is_summed_in_portions() -> None:
    """As many calls as it takes, and then none until something changes."""
    state: State = {f"counter:{number}": {"n": number} for number in range(100)}
    replica = Replica("sector:1")
    replica.load(EPOCH, 1, room_sum(state), state)
    assert [replica.sum_some(30) for _ in range(4)] == [False, False, False, True]
    assert replica.verified
    replica.receive(commit_of(2, state, state | {"counter:7": {"n": 8}, "counter:100": {}}))
    assert [replica.sum_some(1), replica.sum_some(1)] == [False, True]
    assert replica.verified


@given(states, states)
@settings(max_examples=40, deadline=None)
def test_created_are_those_that_were_not_there(before: State, after: State) -> None:
    """Of the last commit alone; one that was deleted and made again in one commit counts as new."""
    replica = Replica("sector:1")
    replica.load(EPOCH, 1, room_sum(before), copy.deepcopy(before))
    replica.receive(commit_of(2, before, after))
    assert set(replica.created) == after.keys() - before.keys()
    replica.receive(commit_of(3, after, after))
    assert replica.created == []
    if after:
        entity = min(after)
        again = Commit(Header(FORMAT, EPOCH, 4, room_sum(after), 0, "w1", 4), [Part([entity], {entity: after[entity]})])
        replica.receive(again)
        assert replica.created == [entity]
        assert replica.verified


@pytest.mark.parametrize("epoch", [EPOCH - 1, EPOCH + 1])
@pytest.mark.parametrize("seq", [1, 2, 3])
def test_another_epoch_changes_nothing(epoch: int, seq: int) -> None:
    """Whatever its seq: positions of different epochs cannot be compared."""
    replica = Replica("sector:1")
    replica.load(EPOCH, 1, 0, {})
    assert replica.receive(commit_of(seq, {}, {"counter:1": {}}, epoch=epoch)) is Receipt.FOREIGN_EPOCH
    assert replica.position == Position(EPOCH, 1)
    assert replica.entities == {}


def test_a_snapshot_forgets_everything() -> None:
    """Loaded over another state, nothing of that remains, neither in the state nor in the checksum."""
    replica = Replica("sector:1")
    replica.load(EPOCH, 9, 1, {"counter:1": {"n": 1}})
    replica.computed_sum()
    state: State = {"counter:2": {"n": 2}}
    replica.load(LATER, 3, room_sum(state), state)
    assert replica.verified
    assert replica.position == Position(LATER, 3)
    assert replica.created == []


def test_drift_is_seen() -> None:
    """A state that is not what the store's checksum says is not verified, and stays so until it is loaded again."""
    replica = Replica("sector:1")
    replica.load(EPOCH, 1, room_sum({"counter:1": {"n": 1}}), {"counter:1": {"n": 2}})
    assert not replica.verified
    replica.receive(commit_of(2, {"counter:1": {"n": 1}}, {"counter:1": {"n": 1}, "counter:2": {}}))
    assert not replica.verified


def test_removed_fields_and_empty_entities() -> None:
    """A field that is None is removed, an entity without fields is still there, deleting twice is harmless."""
    replica = Replica("sector:1")
    state: State = {"counter:1": {"n": 1}, "counter:2": {"n": 2}}
    replica.load(EPOCH, 0, 0, copy.deepcopy(state))
    part = Part(["counter:2", "counter:2", "counter:3"], {"counter:1": {"n": None, "gone": None}})
    apply(state, part.dels, part.sets)
    assert state == {"counter:1": {}}
    replica.receive(Commit(Header(FORMAT, EPOCH, 1, room_sum(state), 0, "w1", 1), [part]))
    assert replica.entities == state
    assert replica.verified


def test_entities_that_cannot_be_read() -> None:
    """A snapshot with bytes that are no fields is refused as a whole."""
    assert decode_entities({"counter:1": b"\x81\xa1n\x01"}) == {"counter:1": {"n": 1}}
    for blob in (b"", b"\x81\xa1n", b"\x01", b"\x91\x01"):
        with pytest.raises(PoisonCommit):
            decode_entities({"counter:1": blob})
