"""Drafts: what they hand out, what they record, and that they leave no trace."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.errors import InvalidValue, NotFound
from gameserver.state.delta import State
from gameserver.state.draft import Content, RoomNotLoaded
from tests.state.things import OTHER, ROOM, Action, Rooms, actions, filled, play, shown, states


def written(state: State, writes: dict[str, Content | None]) -> State:
    result = copy.deepcopy(state)
    for entity, content in writes.items():
        if content is None:
            del result[entity]
        else:
            result[entity] = content
    return result


@given(states, actions)
@settings(max_examples=120, deadline=None)
def test_the_writes_are_what_the_objects_show(state: State, played: list[Action]) -> None:
    """Writing a draft's changes into the state it began with gives what its objects showed at the end."""
    rooms = Rooms(sector_1=state)
    draft = rooms.draft()
    play(draft, ROOM, played)
    writes = draft.room(ROOM).writes()
    assert filled(written(state, writes)) == shown(draft, ROOM)
    assert all(writes[entity] != state.get(entity, "absent") for entity in writes)


@given(states, states, actions)
@settings(max_examples=60, deadline=None)
def test_uncommitted_writes_lie_over_the_replica(state: State, pending: State, played: list[Action]) -> None:
    """A draft over pending writes sees what one over the state with those writes sees."""
    # Every second entity the batch wrote, it deleted.
    content: dict[str, Content | None] = {
        entity: fields if place % 2 == 0 else None for place, (entity, fields) in enumerate(sorted(pending.items()))
    }
    merged = {**state, **{entity: fields for entity, fields in content.items() if fields is not None}}
    merged = {entity: fields for entity, fields in merged.items() if content.get(entity, True) is not None}
    over, plain = Rooms(sector_1=state).draft({ROOM: content}), Rooms(sector_1=merged).draft()
    for draft in (over, plain):
        play(draft, ROOM, played)
    assert over.room(ROOM).writes() == plain.room(ROOM).writes()
    assert shown(over, ROOM) == shown(plain, ROOM)
    assert over.room(ROOM).read == plain.room(ROOM).read


@given(states, actions)
@settings(max_examples=60, deadline=None)
def test_a_dropped_draft_leaves_no_trace(state: State, played: list[Action]) -> None:
    """Neither the replica nor the pending writes of the batch change, whatever was done to the objects."""
    rooms = Rooms(sector_1=copy.deepcopy(state))
    pending: dict[str, dict[str, Content | None]] = {ROOM: {"counter:9": {"n": 1}, "counter:0": None}}
    before = copy.deepcopy(pending)
    draft = rooms.draft(pending)
    play(draft, ROOM, played)
    for _, thing in draft.room(ROOM).all("box"):
        thing.content.append(99)
    draft.room(ROOM).writes()
    assert rooms.replicas[ROOM].entities == state
    assert rooms.replicas[ROOM].verified
    assert pending == before


@given(states, actions, st.booleans())
@settings(max_examples=60, deadline=None)
def test_everything_touched_counts_as_read(state: State, played: list[Action], listing: bool) -> None:
    """Whatever the code asked for is in `read`, whether it was there or not; only iterating reads the membership."""
    draft = Rooms(sector_1=state).draft()
    play(draft, ROOM, [action for action in played if listing or action[0] != "list"])
    drafted = draft.room(ROOM)
    touched = {entity for action, entity, _ in played if action != "list"}
    assert drafted.read == touched
    assert drafted.membership == (listing and any(action == "list" for action, _, _ in played))
    assert drafted.writes().keys() <= touched


def room(state: State | None = None, **more: Any) -> Any:
    return Rooms(sector_1={"counter:1": {"n": 1}} if state is None else state).draft(**more).room(ROOM)


def test_one_entity_is_one_object() -> None:
    """Asking twice gives the same object, so that nothing written is lost."""
    drafted = room()
    assert drafted["counter:1"] is drafted.get("counter:1")
    drafted["counter:1"].n += 1
    drafted["counter:1"].n += 1
    assert drafted.writes() == {"counter:1": {"n": 3}}


def test_what_is_not_there() -> None:
    """`get` answers None, an index and `delete` raise NotFound, `discard` does nothing; all of them are reads."""
    drafted = room()
    assert drafted.get("counter:2") is None
    assert "counter:3" not in drafted
    for act in (drafted.__getitem__, drafted.delete):
        with pytest.raises(NotFound, match="'counter:4' in sector:1"):
            act("counter:4")
    drafted.discard("counter:5")
    assert drafted.read == {f"counter:{number}" for number in range(2, 6)}
    assert drafted.writes() == {}


def test_an_entity_cannot_be_created_twice() -> None:
    """Neither over one that exists nor over one of this draft; after a deletion it can."""
    drafted = room()
    with pytest.raises(InvalidValue, match="exists already"):
        drafted.create("counter:1")
    drafted.create("counter:2")
    with pytest.raises(InvalidValue, match="exists already"):
        drafted.create("counter:2")
    drafted.delete("counter:1")
    drafted.create("counter:1", n=5)
    assert drafted.writes() == {"counter:1": {"n": 5}, "counter:2": {"n": 0}}


def test_fields_may_be_called_anything() -> None:
    """What an event says may have the names of the parameters; so may the fields of an entity."""
    draft = Rooms(sector_1={}).draft()
    draft.room(ROOM).event("told", name="n", data=1, self=2, entity="e")
    with pytest.raises(InvalidValue, match="entity"):
        draft.room(ROOM).create("counter:1", entity=1)
    (event,) = draft.room(ROOM).events
    assert (event.name, event.data) == ("told", {"name": "n", "data": 1, "self": 2, "entity": "e"})


def test_replaced_by_the_same_is_no_change() -> None:
    """Deleted and created again with what it had: nothing to commit."""
    drafted = room()
    drafted.delete("counter:1")
    drafted.create("counter:1", n=1)
    assert drafted.writes() == {}


def test_a_wrong_creation_is_refused_at_once() -> None:
    """A bad id, an undeclared kind or field, a value that does not fit: at `create`, not at the commit."""
    drafted = room()
    with pytest.raises(InvalidValue, match="printable"):
        drafted.create("counter:\n")
    with pytest.raises(NotFound, match="no kind 'planet'"):
        drafted.create("planet:1")
    with pytest.raises(InvalidValue, match="counter has no field 'm'"):
        drafted.create("counter:2", m=1)
    with pytest.raises(InvalidValue, match=r"counter\.n: expected an int"):
        drafted.create("counter:2", n="one")
    assert drafted.writes() == {}


def test_a_wrong_value_is_found_at_the_end() -> None:
    """Assignments are free until the draft is read back; then kind and field are named."""
    drafted = room({"box:1": {"x": 0.5}})
    drafted["box:1"].x = 1e300
    with pytest.raises(InvalidValue, match=r"^box\.x: "):
        drafted.writes()
    drafted["box:1"].x = 0.1
    drafted["box:1"].weight = 3
    with pytest.raises(InvalidValue, match="box has no field 'weight'"):
        drafted.writes()


def test_ids_are_in_order_and_by_kind() -> None:
    """Deterministic on every worker and every re-run; with what was created, without what was deleted."""
    drafted = room({"counter:2": {}, "counter:1": {}, "box:1": {}})
    drafted.delete("counter:2")
    drafted.create("counter:0")
    assert drafted.ids() == ["box:1", "counter:0", "counter:1"]
    assert drafted.ids("counter") == ["counter:0", "counter:1"]
    assert [entity for entity, _ in drafted.all("box")] == ["box:1"]
    assert drafted.membership


def test_a_room_that_is_not_loaded() -> None:
    """Asking says which room is missing; events alone need nothing loaded."""
    draft = Rooms().draft(sender="ada", lane=4, lane_of=lambda priority: {"combat": 1}.get(str(priority), 9))
    data = {"text": ["hi"]}
    draft.room(OTHER).event("chat", **data)
    draft.room(OTHER).event("shot", priority="combat")
    data["text"].append("later")
    assert [(event.name, event.data, event.sender, event.priority) for event in draft.room(OTHER).events] == [
        ("chat", {"text": ["hi"]}, "ada", 4),
        ("shot", {}, "ada", 1),
    ]
    assert draft.room(OTHER).writes() == {}
    with pytest.raises(RoomNotLoaded, match="sector:2") as missing:
        draft.room(OTHER).get("counter:1")
    assert missing.value.room == OTHER


def test_what_may_not_be_in_an_event() -> None:
    """The data of events obeys the rules of values."""
    with pytest.raises(InvalidValue):
        room().event("chat", text=b"bytes")
