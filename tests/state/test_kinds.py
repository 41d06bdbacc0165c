"""Declared kinds: which classes are one, how objects stand for entities, and what may not enter state."""

from __future__ import annotations

import copy
import math
import struct
from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.errors import InvalidValue, NotFound
from gameserver.state.entities import check_entity_id, kind_of
from gameserver.state.kinds import Kind, Schema, f32, field_type
from gameserver.state.values import MAX_INTEGER


class Ship:
    """One field of every type, required and optional."""

    registry: ClassVar[dict[str, int]] = {}
    hull: int = 100
    fuel: float = 1.5
    x: f32 = 0.1
    name: str = ""
    docked: bool = False
    cargo: list[int] = []  # noqa: RUF012  # a default of an entity, copied for each
    tags: dict[str, Any] = {}  # noqa: RUF012
    captain: str | None = None
    heading: f32 | None = None


class Berth:
    pier: int
    note: str = ""


SHIP = Kind("ship", Ship, 3)
integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
floats = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
f32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
free = st.recursive(
    integers | floats | words | st.booleans(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words.filter(lambda key: key != "__proto__"), inner),
    max_leaves=4,
)
contents = st.fixed_dictionaries(
    {"hull": integers, "fuel": floats, "x": f32s, "name": words, "docked": st.booleans()},
    optional={
        "cargo": st.lists(free, max_size=2),
        "tags": st.dictionaries(words.filter(lambda key: key != "__proto__"), free, max_size=2),
        "captain": words,
        "heading": f32s,
    },
)


def test_a_kind_is_what_stands_before_the_first_colon() -> None:
    """An id without a colon is its own kind."""
    assert [kind_of(entity) for entity in ("port:1", "world", "a:b:c")] == ["port", "world", "a"]


@pytest.mark.parametrize("entity", ["", "x" * 97, "a\nb", "a\0", 7, "\ud800"])
def test_ids_are_short_and_printable(entity: Any) -> None:
    """Anything else never reaches a room."""
    with pytest.raises(InvalidValue):
        check_entity_id(entity)
    assert check_entity_id("x" * 96) == "x" * 96


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, ("int", False)),
        (f32, ("f32", False)),
        (Annotated[int, "cells"], ("int", False)),
        (list[str], ("list", False)),
        (dict[str, int], ("map", False)),
        (bool | None, ("bool", True)),
        (f32 | None, ("f32", True)),
    ],
)
def test_types_of_fields(annotation: Any, expected: tuple[str, bool]) -> None:
    """What an author writes, and what the wire calls it."""
    assert field_type("field", annotation) == expected


@pytest.mark.parametrize("annotation", [bytes, set[int], int | str, object, None])
def test_other_types_are_refused_at_the_declaration(annotation: Any) -> None:
    """The message names the field."""
    with pytest.raises(TypeError, match="'cargo'"):
        field_type("cargo", annotation)


def test_class_variables_are_no_fields() -> None:
    """What belongs to the class stays there."""
    assert "registry" not in SHIP.fields
    assert SHIP.fields["captain"].optional
    assert not SHIP.fields["hull"].optional


@given(contents)
@settings(max_examples=60, deadline=None)
def test_an_object_nobody_changed_is_no_change(content: dict[str, Any]) -> None:
    """Handing out and reading back says nothing new, and the object is nobody else's."""
    before = copy.deepcopy(content)
    thing = SHIP.thaw(content)
    assert SHIP.freeze(thing, content) is None
    thing.cargo.append(1)
    thing.tags["new"] = [1]
    assert content == before
    assert SHIP.freeze(thing, content) is not None


@given(contents, contents)
@settings(max_examples=60, deadline=None)
def test_what_is_assigned_is_what_is_read_back(content: dict[str, Any], wanted: dict[str, Any]) -> None:
    """The frozen content thaws to the same object again, and then is no change any more."""
    thing = SHIP.thaw(content)
    for name, value in wanted.items():
        setattr(thing, name, value)
    after = SHIP.freeze(thing, content)
    if after is None:
        after = content
    assert vars(SHIP.thaw(after)) == vars(thing)
    assert SHIP.freeze(SHIP.thaw(after), after) is None


@given(st.floats(-3e38, 3e38))
@settings(max_examples=60, deadline=None)
def test_f32_is_rounded_when_it_is_written(value: float) -> None:
    """All replicas hold the number that a float32 can hold; writing it again is no change."""
    rounded = struct.unpack("<f", struct.pack("<f", value))[0]
    thing = SHIP.thaw({"x": 1.0})
    thing.x = value
    after = SHIP.freeze(thing, {"x": 1.0})
    if rounded == 1.0:
        assert after is None
        return
    assert after is not None
    assert after["x"] == rounded
    thing.x = value
    assert SHIP.freeze(thing, after) is None


def test_a_default_is_rounded_too() -> None:
    """What was never written reads as what it would be written as."""
    assert SHIP.thaw({}).x == struct.unpack("<f", struct.pack("<f", 0.1))[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hull", True),
        ("hull", 1.0),
        ("hull", MAX_INTEGER + 1),
        ("fuel", "full"),
        ("fuel", math.nan),
        ("fuel", math.inf),
        ("x", 1e300),
        ("name", b"bytes"),
        ("name", "\ud800"),
        ("docked", 1),
        ("cargo", "ore"),
        ("cargo", [None]),
        ("tags", {1: 2}),
        ("tags", {"__proto__": 1}),
        ("tags", []),
        ("captain", 7),
    ],
)
def test_what_does_not_fit_is_named(field: str, value: Any) -> None:
    """InvalidValue names kind and field, whether the object is new or known."""
    thing = SHIP.thaw({})
    setattr(thing, field, value)
    for before in (None, {}, {"hull": 3}):
        with pytest.raises(InvalidValue, match=rf"^ship\.{field}: "):
            SHIP.freeze(thing, before)


def test_undeclared_fields_are_named() -> None:
    """A typing error in a field's name is found where it is made."""
    thing = SHIP.thaw({})
    thing.hul = 3
    with pytest.raises(InvalidValue, match="ship has no field 'hul'"):
        SHIP.freeze(thing, {})
    with pytest.raises(InvalidValue, match="ship has no field 'hul'"):
        SHIP.create({"hul": 3})


def test_none_is_for_optional_fields() -> None:
    """An optional field set to None is absent; another may not be None."""
    content = {"hull": 100, "captain": "ada"}
    thing = SHIP.thaw(content)
    thing.captain = None
    after = SHIP.freeze(thing, content)
    assert after is not None
    assert "captain" not in after
    thing.hull = None
    with pytest.raises(InvalidValue, match=r"ship\.hull may not be None"):
        SHIP.freeze(thing, content)


def test_a_required_field_must_be_given() -> None:
    """A field without default is refused when the entity is frozen without it."""
    kind = Kind("berth", Berth, 3)
    with pytest.raises(InvalidValue, match=r"berth\.pier may not be None"):
        kind.freeze(kind.create({}), None)
    assert kind.freeze(kind.create({"pier": 2}), None) == {"pier": 2, "note": ""}


def test_defaults_are_not_shared() -> None:
    """A list in a class body is a default, not one list for all."""
    one, other = SHIP.thaw({}), SHIP.thaw({})
    one.cargo.append(1)
    assert other.cargo == []
    assert SHIP.thaw({}).cargo == []


def test_a_schema_knows_its_kinds() -> None:
    """Twice is a mistake of the author, unknown one of the caller; the wire is told all fields."""
    schema = Schema()
    schema.add(SHIP)
    with pytest.raises(ValueError, match="twice"):
        schema.add(Kind("ship", Berth, 1))
    with pytest.raises(NotFound, match="no kind 'port'"):
        schema.kind("port:1")
    assert schema.kind("ship:1") is SHIP
    assert schema.priority("ship:1", 5) == 3
    assert schema.priority("port:1", 5) == 5
    assert schema.describe()["ship"] == {
        "hull": "int",
        "fuel": "float",
        "x": "f32",
        "name": "str",
        "docked": "bool",
        "cargo": "list",
        "tags": "map",
        "captain": "str?",
        "heading": "f32?",
    }
