"""The backlog: whoever reads it, from wherever, ends with what everybody has."""

from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.state.backlog import MOST, MOST_ENTITIES, Backlog
from gameserver.state.delta import State, apply, difference
from tests.state.things import states


class Reader:
    """Has the state it had when it last came by, and its cursor."""

    def __init__(self, backlog: Backlog, state: State) -> None:
        self.state = copy.deepcopy(state)
        self.cursor = backlog.cursor()

    def read(self, backlog: Backlog) -> set[str]:
        """Catch up; the entities that were dirty."""
        dirty: set[str] = set()
        for change in backlog.since(self.cursor):
            delta = change.delta
            # "Created" promises that the reader cannot have it: its deletion may then be left out.
            assert not (change.created - delta.dels) & self.state.keys()
            assert change.created <= delta.sets.keys()
            dirty |= delta.dels | delta.sets.keys()
            apply(self.state, delta.dels, delta.sets)
        self.cursor = backlog.cursor()
        return dirty


steps = st.lists(
    st.one_of(st.tuples(st.just("commit"), states), st.tuples(st.just("read"), st.integers(0, 3))), max_size=40
)


@given(states, steps)
@settings(max_examples=150, deadline=None)
def test_every_reader_ends_with_what_everybody_has(start: State, steps: list[tuple[str, State | int]]) -> None:
    """Readers that come by at any moments: applying what came since gives the room's state, and everything that
    changed since is among the dirty entities."""
    backlog, state = Backlog(), copy.deepcopy(start)
    readers = [Reader(backlog, state) for _ in range(4)]
    for what, value in [*steps, *(("read", number) for number in range(4))]:
        if what == "commit":
            assert isinstance(value, dict)
            commit(backlog, state, value)
            state = copy.deepcopy(value)
            assert len(backlog) <= MOST
        else:
            assert isinstance(value, int)
            reader = readers[value]
            had = copy.deepcopy(reader.state)
            dirty = reader.read(backlog)
            assert reader.state == state
            changed = {entity for entity in had | state if had.get(entity) != state.get(entity)}
            assert changed <= dirty
            assert reader.read(backlog) == set()


def commit(backlog: Backlog, before: State, after: State) -> None:
    sets = {
        entity: difference(before.get(entity), fields)
        for entity, fields in after.items()
        if before.get(entity) != fields
    }
    backlog.add([entity for entity in before if entity not in after], sets, after.keys() - before.keys())


def test_nobody_came_by_one_change() -> None:
    """However many commits while all sleep: one composed change."""
    backlog = Backlog()
    reader = Reader(backlog, {})
    for number in range(1000):
        backlog.add([], {"counter:1": {"n": number}}, ["counter:1"] if number == 0 else [])
    (change,) = backlog.since(reader.cursor)
    assert change.delta.sets == {"counter:1": {"n": 999}}
    assert change.created == {"counter:1"}
    assert len(backlog) == 1


def test_came_and_went() -> None:
    """Created and deleted since: nothing is left to tell, however many did; who saw it created is told."""
    backlog = Backlog()
    reader = Reader(backlog, {})
    backlog.add([], {"counter:1": {"n": 1}}, ["counter:1"])
    backlog.add(["counter:1"], {}, [])
    (change,) = backlog.since(reader.cursor)
    assert (change.delta.dels, change.delta.sets, change.created) == (set(), {}, set())
    backlog.add([], {"counter:1": {"n": 1}}, ["counter:1"])
    witness = Reader(backlog, {"counter:1": {"n": 1}})
    backlog.add(["counter:1"], {}, [])
    assert witness.read(backlog) == {"counter:1"}
    assert witness.state == {}
    reader.read(backlog)
    assert reader.state == {}


def test_deleted_and_made_again() -> None:
    """In one commit or in two: replaced whole, and new."""
    backlog = Backlog()
    reader = Reader(backlog, {"counter:1": {"n": 1, "note": "x"}})
    backlog.add(["counter:1"], {}, [])
    backlog.add([], {"counter:1": {"n": 2}}, ["counter:1"])
    assert reader.read(backlog) == {"counter:1"}
    assert reader.state == {"counter:1": {"n": 2}}


def test_readers_at_many_places_cost_no_more_than_a_few_changes() -> None:
    """Those between two that were joined see some twice, which changes nothing."""
    backlog, state = Backlog(), {}
    readers = []
    for number in range(MOST * 3):
        readers.append(Reader(backlog, state))
        after: State = {**state, f"counter:{number % 5}": {"n": number}}
        commit(backlog, state, after)
        state = after
    assert len(backlog) == MOST
    for reader in readers:
        reader.read(backlog)
        assert reader.state == state


def test_cleared() -> None:
    """Nobody stands behind: nothing is kept, and what comes next is for whoever stands there."""
    backlog = Backlog()
    backlog.add([], {"counter:1": {"n": 1}}, [])
    backlog.clear()
    reader = Reader(backlog, {})
    backlog.add([], {"counter:2": {"n": 1}}, ["counter:2"])
    assert reader.read(backlog) == {"counter:2"}
    assert len(backlog) == 1


def test_memory_is_bounded_however_much_comes_and_goes() -> None:
    """Beyond a cap no entity is named any more, and whoever has not seen the change is told so."""
    backlog = Backlog()
    behind = backlog.cursor()
    for number in range(3 * MOST_ENTITIES):
        backlog.add([], {f"drone:{number}": {"x": 1}}, [f"drone:{number}"])
        backlog.cursor()
        backlog.add([f"drone:{number}"], {}, [])
        backlog.cursor()
    assert sum(len(change.delta.dels) + len(change.delta.sets) for change in backlog.since(behind)) <= MOST_ENTITIES
    assert any(change.too_large for change in backlog.since(behind))
    abreast = backlog.cursor()
    assert not list(backlog.since(abreast))
