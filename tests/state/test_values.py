"""What may be a field's value, and its canonical bytes."""

from __future__ import annotations

import math
import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.errors import InvalidValue
from gameserver.state.values import MAX_DEPTH, MAX_INTEGER, MAX_KEYS, FieldType, canonical, free_form, normalise

scalars = (
    st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.text(max_size=12)
)
keys = st.text(max_size=6).filter(lambda key: key != "__proto__")
free = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=10
)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("field_type", "value", "stored"),
    [
        ("int", 5, 5),
        ("int", -MAX_INTEGER, -MAX_INTEGER),
        ("float", 5, 5.0),
        ("float", 2**60, float(2**60)),
        ("f32", 0.1, 0.10000000149011612),
        ("str", "é🚀", "é🚀"),
        ("bool", False, False),
        ("list", (1, [2]), [1, [2]]),
        ("map", {"a": {"b": [True]}}, {"a": {"b": [True]}}),
    ],
)
def test_normal_values(field_type: FieldType, value: Any, stored: Any) -> None:
    """[ST3] [ST4] What enters state as what."""
    normal = normalise(field_type, value)
    assert normal == stored
    assert type(normal) is type(stored)


@pytest.mark.parametrize(
    ("field_type", "value"),
    [
        ("int", True),
        ("int", 1.0),
        ("int", 2**53),
        ("int", None),
        ("float", math.nan),
        ("float", math.inf),
        ("float", 10**400),
        ("float", True),
        ("float", "1"),
        ("f32", 1e39),
        ("str", "\ud800"),
        ("str", b"a"),
        ("bool", 1),
        ("list", {"a": 1}),
        ("list", [None]),
        ("list", [2**53]),
        ("list", [math.nan]),
        ("list", [b"a"]),
        ("map", [1]),
        ("map", {1: 2}),
        ("map", {"__proto__": 1}),
        ("map", {"a": {"__proto__": 1}}),
        ("map", {"\ud800": 1}),
        ("map", {str(key): key for key in range(MAX_KEYS + 1)}),
        ("list", nested(MAX_DEPTH + 1)),
    ],
)
def test_refused_values(field_type: FieldType, value: Any) -> None:
    """[ST2] [ST3] What may not enter state is refused, not mended."""
    with pytest.raises(InvalidValue):
        normalise(field_type, value)


def test_depth_and_keys_at_their_limits() -> None:
    """The limits themselves are allowed."""
    assert free_form(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    full = {str(key): key for key in range(MAX_KEYS)}
    assert free_form(full) == full


@given(free)
@settings(max_examples=100, deadline=None)
def test_free_form_copies(value: Any) -> None:
    """The copy is equal and shares nothing that can change."""
    copy = free_form(value)
    assert copy == value
    if isinstance(value, list | dict):
        assert copy is not value


@given(free)
@settings(max_examples=100, deadline=None)
def test_canonical_is_messagepack_of_the_value(value: Any) -> None:
    """[SUM3] Any MessagePack library reads the canonical bytes as the value."""
    assert msgpack.unpackb(canonical(value), strict_map_key=False) == value


@given(st.integers(-MAX_INTEGER, MAX_INTEGER))
@settings(max_examples=60, deadline=None)
def test_integral_floats_are_integers(number: int) -> None:
    """[SUM4] A number has one form, whichever type it came in."""
    assert canonical(float(number)) == canonical(number)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@settings(max_examples=60, deadline=None)
def test_f32_rounds_once(number: float) -> None:
    """[ST4] A float32 stays what it is."""
    assert normalise("f32", number) == number
    assert struct.pack("<f", normalise("f32", number)) == struct.pack("<f", number)


def test_large_floats_stay_floats() -> None:
    """[SUM4] From 2^53 on a float is written as float64."""
    assert canonical(float(2**53)) == b"\xcb" + struct.pack(">d", 2.0**53)
    assert canonical(-0.0) == canonical(0) == b"\0"


@pytest.mark.parametrize("size", [15, 16, 65535, 65536])
def test_headers_at_their_edges(size: int) -> None:
    """[SUM3] Arrays and maps take the shortest header."""
    array = [1] * size
    assert canonical(array) == msgpack.packb(array)
    assert canonical({f"{key:05}": 1 for key in range(size)}) == msgpack.packb({f"{key:05}": 1 for key in range(size)})
