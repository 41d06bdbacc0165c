"""Deltas: composing them is applying them one after the other."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.state.delta import Delta, State, apply, difference, identical

entities = st.sampled_from(["ship:1", "ship:2", "port:1"])
values = st.integers(0, 3) | st.booleans() | st.just(1.0) | st.lists(st.integers(0, 2), max_size=2)
fields = st.dictionaries(st.sampled_from("abc"), values, max_size=3)
states = st.dictionaries(entities, fields, max_size=3)
changes = st.tuples(
    st.sets(entities, max_size=2),
    st.dictionaries(entities, st.dictionaries(st.sampled_from("abc"), st.none() | values, max_size=3), max_size=2),
)


def applied(state: State, delta: Delta) -> State:
    result = deepcopy(state)
    apply(result, delta.dels, delta.sets)
    return result


@given(states, st.lists(changes, max_size=6))
@settings(max_examples=200, deadline=None)
def test_composed_is_sequential(state: State, steps: list[tuple[set[str], Any]]) -> None:
    """[DEL1] [DEL2] [DEL3] [DEL8] One delta of several commits does what they did."""
    whole, expected = Delta(), deepcopy(state)
    for dels, sets in steps:
        whole.extend(dels, sets)
        apply(expected, dels, sets)
    assert identical(applied(state, whole), expected)


@given(states, changes, changes, changes)
@settings(max_examples=100, deadline=None)
def test_composition_is_associative(state: State, first: Any, second: Any, third: Any) -> None:
    """Deltas may be composed in any grouping."""
    left = Delta(*first)
    left.extend(*second)
    left.extend(*third)
    tail = Delta(*second)
    tail.extend(*third)
    right = Delta(*first)
    right.extend(tail.dels, tail.sets)
    assert identical(applied(state, left), applied(state, right))


@given(states, st.lists(changes, min_size=1, max_size=4))
@settings(max_examples=80, deadline=None)
def test_applying_twice_is_applying_once(state: State, steps: list[Any]) -> None:
    """A composed delta says how things are, not how they moved."""
    whole = Delta()
    for dels, sets in steps:
        whole.extend(dels, sets)
    once = applied(state, whole)
    assert identical(applied(once, whole), once)


@given(st.none() | fields, fields)
@settings(max_examples=150, deadline=None)
def test_difference_leads_from_before_to_after(before: dict[str, Any] | None, after: dict[str, Any]) -> None:
    """[DEL3] Applying the difference gives what was compared with, types included."""
    state = {} if before is None else {"ship:1": dict(before)}
    apply(state, (), {"ship:1": difference(before, after)})
    assert identical(state["ship:1"], after)


@given(fields)
def test_no_difference_to_itself(same: dict[str, Any]) -> None:
    """What has not changed is not sent."""
    assert difference(same, deepcopy(same)) == {}


def test_replaced_whole() -> None:
    """[DEL2] An entity in both `del` and `set` keeps nothing of what it was."""
    state: State = {"ship:1": {"a": 1, "b": 2}}
    apply(state, ["ship:1"], {"ship:1": {"a": 3}})
    assert state == {"ship:1": {"a": 3}}


def test_set_creates_also_without_fields() -> None:
    """[DEL4] [ST1] An entity exists without fields, and still does when it lost the last."""
    state: State = {"ship:1": {"a": 1}}
    apply(state, (), {"ship:1": {"a": None}, "ship:2": {}})
    assert state == {"ship:1": {}, "ship:2": {}}


def test_what_is_applied_is_not_shared() -> None:
    """Later changes of a state do not reach into the delta that created its entities."""
    delta, state = Delta((), {"ship:1": {"a": 1}}), State()
    apply(state, delta.dels, delta.sets)
    apply(state, (), {"ship:1": {"a": 2}})
    assert delta == Delta((), {"ship:1": {"a": 1}})
    assert bool(delta)
    assert not Delta()


def test_identical_tells_types_apart() -> None:
    """1, 1.0 and True are three values."""
    assert identical({"a": [1, {"b": "c"}]}, {"a": [1, {"b": "c"}]})
    assert not identical(1, 1.0)
    assert not identical([True], [1])
    assert not identical({"a": 1}, {"a": 1, "b": 2})
