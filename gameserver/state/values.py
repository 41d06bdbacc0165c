"""What may be a field's value, and its one canonical form.

The canonical form is what checksums are taken of (docs/protocol.md, Checksum): MessagePack in its
shortest form, integral numbers as integers, map keys sorted by their UTF-8 bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from gameserver.errors import InvalidValue

FieldType = Literal["int", "float", "f32", "str", "bool", "list", "map"]
Value = Any

MAX_INTEGER = 2**53 - 1
"""The largest magnitude an integer may have: what a float64, and so every language, holds exactly."""
MAX_DEPTH = 16
MAX_KEYS = 256

_encode = msgspec.msgpack.Encoder().encode
_float32 = struct.Struct("<f")


def canonical(value: Value) -> bytes:
    """The canonical MessagePack of a valid value."""
    kind = type(value)
    if kind is int or kind is str:
        return _encode(value)
    if kind is float:
        if value.is_integer() and -MAX_INTEGER <= value <= MAX_INTEGER:
            return _encode(int(value))
        return _encode(value)
    if kind is list:
        return _array_header(len(value)) + b"".join(map(canonical, value))
    if kind is dict:
        return _canonical_map(value)
    return _encode(value)


def _canonical_map(value: dict[str, Value]) -> bytes:
    keys = sorted((key.encode(), key) for key in value)
    return _map_header(len(keys)) + b"".join(_encode(key) + canonical(value[key]) for _, key in keys)


def _array_header(size: int) -> bytes:
    if size < 16:
        return bytes((0x90 | size,))
    return b"\xdc" + size.to_bytes(2, "big") if size < 65536 else b"\xdd" + size.to_bytes(4, "big")


def _map_header(size: int) -> bytes:
    if size < 16:
        return bytes((0x80 | size,))
    return b"\xde" + size.to_bytes(2, "big") if size < 65536 else b"\xdf" + size.to_bytes(4, "big")


def normalise(field_type: FieldType, value: Value) -> Value:
    """The value as it enters state, copied where it is mutable.

    Raises InvalidValue when it does not fit the type or the rules of the wire.
    """
    return _NORMALISERS[field_type](value)


def _int(value: Value) -> int:
    if type(value) is not int:
        raise InvalidValue(f"expected an int, got {type(value).__name__}")
    if not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise InvalidValue("an int must lie within ±(2^53-1)")
    return value


def _float(value: Value) -> float:
    if type(value) is not float:
        if type(value) is not int:
            raise InvalidValue(f"expected a float, got {type(value).__name__}")
        try:
            value = float(value)
        except OverflowError:
            raise InvalidValue("the number does not fit a float64") from None
    number: float = value
    if not math.isfinite(number):
        raise InvalidValue("a float must be finite")
    return number


def _f32(value: Value) -> float:
    number = value if type(value) is float and math.isfinite(value) else _float(value)
    try:
        rounded: float = _float32.unpack(_float32.pack(number))[0]
    except OverflowError:
        raise InvalidValue("the number does not fit a float32") from None
    return rounded


def _str(value: Value) -> str:
    if type(value) is not str:
        raise InvalidValue(f"expected a str, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidValue("a str may not contain lone surrogates") from None
    return value


def _bool(value: Value) -> bool:
    if type(value) is not bool:
        raise InvalidValue(f"expected a bool, got {type(value).__name__}")
    return value


def _list(value: Value) -> list[Value]:
    if not isinstance(value, list | tuple):
        raise InvalidValue(f"expected a list, got {type(value).__name__}")
    return [free_form(item, 1) for item in value]


def _map(value: Value) -> dict[str, Value]:
    if not isinstance(value, dict):
        raise InvalidValue(f"expected a map, got {type(value).__name__}")
    copied: dict[str, Value] = free_form(value, 0)
    return copied


def free_form(value: Value, depth: int = 0) -> Value:
    """A deep copy of a value of any allowed type, `depth` levels down.

    Raises InvalidValue for nil, binary, NaN, infinities, lone surrogates, keys that are not strings
    or are `__proto__`, more than MAX_KEYS keys, more than MAX_DEPTH levels.
    """
    kind = type(value)
    if kind is str:
        return _str(value)
    if kind is bool:
        return value
    if kind is int:
        return _int(value)
    if kind is float:
        return _float(value)
    if depth >= MAX_DEPTH:
        raise InvalidValue(f"nested deeper than {MAX_DEPTH}")
    if kind is list or kind is tuple:
        return [free_form(item, depth + 1) for item in value]
    if kind is dict:
        if len(value) > MAX_KEYS:
            raise InvalidValue(f"a map may have at most {MAX_KEYS} keys")
        return {_key(key): free_form(item, depth + 1) for key, item in value.items()}
    raise InvalidValue(f"{kind.__name__} may not enter state")


def _key(key: Value) -> str:
    # A client in JavaScript would otherwise be handed a key that reaches its objects' prototype.
    if key == "__proto__":
        raise InvalidValue("a key may not be __proto__")
    return _str(key)


_NORMALISERS: dict[FieldType, Callable[[Value], Value]] = {
    "int": _int,
    "float": _float,
    "f32": _f32,
    "str": _str,
    "bool": _bool,
    "list": _list,
    "map": _map,
}
