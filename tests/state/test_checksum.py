"""The checksum of a room: the published vectors, and what makes it incremental."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gameserver.state.checksum import MASK, change_sum, entity_sum, field_sum, room_sum

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "checksum.json").read_text())

numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    numbers | st.booleans() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
fields = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)
states = st.dictionaries(st.sampled_from(["ship:1", "ship:2", "port:é"]), fields, max_size=3)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["case"]))
def test_vectors(vector: dict[str, Any]) -> None:
    """[SUM1] to [SUM5]: what any other implementation of the wire computes."""
    assert room_sum(vector["state"]) == vector["sum"]


@given(st.none() | fields, st.none() | fields)
@example({"a": {"": 0}}, {"a": {"": False}})
@settings(max_examples=150, deadline=None)
def test_change_equals_recomputation(before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
    """[SUM1] The change of a sum is the difference of the sums, for a creation, a deletion and any change between."""
    whole = (0 if after is None else entity_sum("ship:1", after)) - (
        0 if before is None else entity_sum("ship:1", before)
    )
    assert change_sum("ship:1", before, after) == whole & MASK


@given(st.lists(st.tuples(st.sampled_from(["ship:1", "ship:2"]), st.none() | fields), max_size=8))
@settings(max_examples=80, deadline=None)
def test_changes_add_up(changes: list[tuple[str, dict[str, Any] | None]]) -> None:
    """A sum kept from change to change is the sum of the state reached."""
    state: dict[str, dict[str, Any]] = {}
    total = 0
    for entity, after in changes:
        total += change_sum(entity, state.get(entity), after)
        if after is None:
            state.pop(entity, None)
        else:
            state[entity] = after
    assert total & MASK == room_sum(state)


@given(states, st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_order_does_not_matter(state: dict[str, dict[str, Any]], shuffler: Any) -> None:
    """[SUM1] Entities, fields and the keys of maps may come in any order."""

    def shuffled(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        keys = list(value)
        shuffler.shuffle(keys)
        return {key: shuffled(value[key]) for key in keys}

    assert room_sum(shuffled(state)) == room_sum(state)


def test_equal_numbers_are_one() -> None:
    """[SUM4] 1 and 1.0 are one number, True is another value."""
    assert field_sum("a", "x", 1) == field_sum("a", "x", 1.0) != field_sum("a", "x", True)
    assert change_sum("a", {"x": 1}, {"x": 1.0}) == 0
    assert change_sum("a", {"x": 1}, {"x": True}) != 0


def test_an_entity_without_fields_counts() -> None:
    """[SUM2] To lose the last field is not to be deleted."""
    assert entity_sum("a", {}) != 0
    assert change_sum("a", {"x": 1}, {}) == (entity_sum("a", {}) - entity_sum("a", {"x": 1})) & MASK
