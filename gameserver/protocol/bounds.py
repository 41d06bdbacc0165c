"""The limits on what a client sends, checked on bytes before anything generic reads them and on values after."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

from gameserver.errors import BadMessage, InvalidArgument, InvalidValue
from gameserver.protocol.arguments import Limits, plain
from gameserver.protocol.codec import BINARY_KEY, binary_of
from gameserver.state.values import MAX_INTEGER, free_form

# A string is consumed to its end or to the end of the input, and never given back: linear on any input.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(set(range(256)) - set(b"[{]}"))


def check_json_depth(payload: bytes, depth: int) -> None:
    """Raises BadMessage when brackets outside strings nest deeper than `depth`, or do not close; reads bytes only."""
    if payload.count(b"[") + payload.count(b"{") <= depth:
        return
    brackets = _STRING.sub(b"", payload).translate(_ONE_KIND, _NO_BRACKET)
    # Each round takes away the innermost level.
    for _ in range(depth):
        outer = brackets.replace(b"[]", b"")
        if len(outer) == len(brackets):
            break
        brackets = outer
    if brackets:
        raise BadMessage(f"nested deeper than {depth}, or not closed")


def check_size(value: Any, limits: Limits, depth: int = 1) -> None:
    """Raises BadMessage for a value over the limits of depth, keys and elements.

    `depth` is the level the value itself stands on, the message being level 1.
    """
    elements = 0
    pending = [(value, depth)]
    while pending:
        value, depth = pending.pop()
        inner: Collection[Any]
        if type(value) is dict:
            if len(value) > limits.keys:
                raise BadMessage(f"more than {limits.keys} keys in a map")
            inner = value.values()
        elif type(value) is list:
            inner = value
        else:
            continue
        if depth > limits.depth:
            raise BadMessage(f"nested deeper than {limits.depth}")
        elements += len(inner)
        if elements > limits.elements:
            raise BadMessage(f"more than {limits.elements} elements")
        pending.extend((item, depth + 1) for item in inner if type(item) in (dict, list))


def free_argument(name: str, value: Any, limits: Limits) -> None:
    """Check what a list or map argument was given (None: nothing): the game may write it into state as it is.

    Raises BadMessage over a limit, InvalidArgument for what may not enter state.
    """
    if value is None:
        return
    check_size(value, limits, depth=2)
    try:
        free_form(plain(value))
    except InvalidValue as error:
        raise InvalidArgument(f"argument {name}: {error.message}") from None


def carried(value: Any, text: bool) -> Any:
    """The data of a `publish` as it is passed on: any value that both encodings can carry unchanged, bytes included.

    Raises InvalidArgument for what one of them cannot. Its size must have been checked.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        if -MAX_INTEGER <= value <= MAX_INTEGER:
            return value
        raise InvalidArgument("argument data: an int must lie within ±(2^53-1)")
    if kind is float:
        if math.isfinite(value):
            return value
        raise InvalidArgument("argument data: a float must be finite")
    if kind is list:
        return [carried(item, text) for item in value]
    if kind is dict:
        return _carried_map(value, text)
    if kind is bytes and not text:
        return value
    raise InvalidArgument(f"argument data: {kind.__name__} cannot be carried")


def _carried_map(value: dict[Any, Any], text: bool) -> Any:
    if BINARY_KEY in value:
        if not text:
            # It would reach JSON clients looking like binary.
            raise InvalidArgument(f"argument data: a key may not be {BINARY_KEY}")
        try:
            return binary_of(value)
        except ValueError as error:
            raise InvalidArgument(f"argument data: {error}") from None
    for key in value:
        check_key("data", key)
    return {key: carried(item, text) for key, item in value.items()}


def check_key(name: str, key: Any) -> None:
    """Raises InvalidArgument for a key that is not a string, or reaches the prototype of a JavaScript object."""
    if type(key) is not str:
        raise InvalidArgument(f"argument {name}: a key must be a str, not {type(key).__name__}")
    if key == "__proto__":
        raise InvalidArgument(f"argument {name}: a key may not be __proto__")


def holds_nul(value: Any) -> bool:
    """Whether any string in the value, keys included, holds a NUL."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, list | tuple):
        return any(map(holds_nul, value))
    if isinstance(value, dict):
        return any(map(holds_nul, value)) or any(map(holds_nul, value.values()))
    return False
