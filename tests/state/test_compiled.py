"""Code made once per kind: it says what the plain rules say, and leaves to them what is not ordinary."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameserver.errors import InvalidValue
from gameserver.state.checksum import change_sum, fields_sum
from gameserver.state.compiled import UNUSUAL, Shape, compile_compare, compile_thaw
from gameserver.state.delta import difference, identical
from gameserver.state.kinds import Kind, f32
from gameserver.state.values import normalise


class Sample:
    whole: int = 0
    number: float = 0.0
    near: f32 = 0.5
    text: str = ""
    flag: bool = False
    items: list = []  # noqa: RUF012
    table: dict = {}  # noqa: RUF012
    maybe: int | None = None
    usual: str | None = "as ever"


KIND = Kind("sample", Sample, 3)

_whole = st.sampled_from([0, 1, 2, -1])
_number = st.sampled_from([0.0, -0.0, 1.0, 1.5, 0.1])
_composite = st.one_of(st.lists(st.one_of(_whole, _number, st.booleans()), max_size=2), st.tuples(_whole))
_of_type: dict[str, st.SearchStrategy[Any]] = {
    "whole": _whole,
    "number": _number,
    "near": _number,
    "text": st.sampled_from(["", "a", "ä"]),
    "flag": st.booleans(),
    "items": _composite,
    "table": st.dictionaries(st.sampled_from("ab"), _composite, max_size=2),
    "maybe": st.one_of(st.none(), _whole),
    "usual": st.one_of(st.none(), st.sampled_from(["as ever", "new"])),
}
_odd = st.sampled_from([None, 1, True, 1.0, "\ud800", float("nan"), float("inf"), 2**53, 1e39, b"", (), [None]])


def _entered(content: dict[str, Any]) -> dict[str, Any]:
    return {name: normalise(KIND.fields[name].type, value) for name, value in content.items() if value is not None}


_contents = st.fixed_dictionaries({}, optional=_of_type).map(_entered) | st.fixed_dictionaries(_of_type).map(_entered)
_assignments = st.fixed_dictionaries({}, optional={**_of_type, "undeclared": st.just(1)}) | st.dictionaries(
    st.sampled_from(list(_of_type)), _odd, max_size=1
)


def _plainly(attributes: dict[str, Any]) -> dict[str, Any]:
    """The content an object stands for by the rules alone. Raises InvalidValue."""
    after = {}
    for name, value in attributes.items():
        field = KIND.fields.get(name)
        if field is None or (value is None and not field.optional):
            raise InvalidValue(name)
        if value is not None:
            after[name] = normalise(field.type, value)
    return after


@given(_contents, _assignments, st.sets(st.sampled_from(list(_of_type)), max_size=1))
def test_what_a_run_changed_is_the_difference_by_the_plain_rules(
    before: dict[str, Any], assigned: dict[str, Any], removed: set[str]
) -> None:
    """Content, changed fields and checksum are those of `normalise`, `difference` and `change_sum`."""
    thing = KIND.thaw(before)
    vars(thing).update(assigned)
    for name in removed:
        vars(thing).pop(name)
    try:
        after = _plainly(vars(thing))
    except InvalidValue:
        with pytest.raises(InvalidValue):
            KIND.compare(thing, before)
        return
    compared = KIND.compare(thing, before)
    changed = difference({**{f: KIND.fields[f].default for f in after if f not in before}, **before}, after)
    if not changed:
        assert compared is None
        return
    assert compared is not None
    assert compared[0] == after
    wanted = difference(before, after)
    assert identical(compared[1], wanted)
    if before and after:
        assert fields_sum("sample:1", before, wanted) == change_sum("sample:1", before, after)


@given(_contents)
def test_an_object_has_copies_of_what_can_change(content: dict[str, Any]) -> None:
    """Every declared field has its value or default; lists and maps are the object's own."""
    thing = KIND.thaw(content)
    assert list(vars(thing)) == list(KIND.fields)
    for name, field in KIND.fields.items():
        held = content.get(name, field.default)
        assert identical(getattr(thing, name), held)
        if type(held) in (list, dict):
            assert getattr(thing, name) is not held


def test_what_is_not_ordinary_is_not_decided() -> None:
    """Too few or too many fields, or a value that does not fit, on either side."""
    shapes = [Shape("n", "int", False, 0), Shape("tag", "str", True, "none")]
    compare, thaw = compile_compare(shapes), compile_thaw(shapes, lambda value: value)
    ordinary = {"n": 1, "tag": "a"}
    assert compare(dict(ordinary), ordinary) is None
    for attributes, content in (
        ({"n": 1}, ordinary),
        ({"n": 2, "tag": "b", "more": 1}, ordinary),
        ({"n": 1, "tag": "a"}, {"n": 1}),
        ({"n": 1, "tag": "a"}, {**ordinary, "older": 1}),
        ({"n": True, "tag": "a"}, ordinary),
        ({"n": 1, "tag": None}, ordinary),
    ):
        with pytest.raises(UNUSUAL):
            compare(attributes, content)
    assert thaw({"n": 3, "older": 1}) == {"n": 3, "tag": "none"}
