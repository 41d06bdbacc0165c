"""Code made once per kind of entity: handing out objects and reading them back is what every commit does most.

Both functions know only the ordinary case, in which content and object have exactly the declared fields, and what
was assigned may enter state. For every other they raise one of `UNUSUAL`, having changed nothing: then the plain way
in `gameserver.state.kinds` decides, and words what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import Any, NamedTuple

from gameserver.errors import InvalidValue
from gameserver.state.delta import identical
from gameserver.state.values import MAX_INTEGER, FieldType, normalise

Content = Mapping[str, Any]
Thaw = Callable[[Content], dict[str, Any]]
"""From an entity's content to the attributes of its object."""
Compared = tuple[dict[str, Any], dict[str, Any]]
"""The whole new content, and the fields in which it differs: their new values, None for those that are gone."""
Compare = Callable[[dict[str, Any], Content], Compared | None]
"""From an object's attributes and what its entity held before; None when nothing differs."""

_float32 = Struct("<f")


class Unusual(Exception):
    """Not the ordinary case."""


UNUSUAL = (Unusual, KeyError, InvalidValue, OverflowError)


class Shape(NamedTuple):
    """What the code depends on of a declared field."""

    name: str
    type: FieldType
    optional: bool
    default: Any


# `v` is what was assigned and then what enters state, `o` what was there. A difference of type is one: 1, 1.0 and True
# are told apart on the wire. What is infinite, or no number, minus itself is no number.
_PLAIN: dict[FieldType, str] = {
    "int": "if type({v}) is not int or not -MAX_INTEGER <= {v} <= MAX_INTEGER: raise Unusual",
    "bool": "if type({v}) is not bool: raise Unusual",
    "float": "if type({v}) is not float or {v} - {v} != 0.0: raise Unusual",
    "f32": "if type({v}) is not float or {v} - {v} != 0.0: raise Unusual\n        {v}, = unpack(pack({v}))",
    "str": "{v} = normalise('str', {v})",
}
_COMPARE_PLAIN = """\
    if {v} is not {o}:
        {check}
        if {v} != {o} or type({v}) is not type({o}): changed[{name!r}] = {v}
"""
_COMPARE_COMPOSITE = """\
    if identical({v}, {o}):
        {v} = {o}
    else:
        {v} = normalise({type!r}, {v})
        if not identical({v}, {o}): changed[{name!r}] = {v}
"""


def compile_thaw(fields: Sequence[Shape], copied: Callable[[Any], Any]) -> Thaw:
    """`copied` makes a private copy of a list or a map."""
    items = ", ".join(f"{field.name!r}: {_handed_out(at, field)}" for at, field in enumerate(fields))
    scope = {f"d{at}": field.default for at, field in enumerate(fields)}
    thaw: Thaw = _made("thaw", f"def thaw(content):\n    return {{{items}}}", {"copied": copied, **scope})
    return thaw


def _handed_out(at: int, field: Shape) -> str:
    held = f"content.get({field.name!r}, d{at})" if field.optional else f"content[{field.name!r}]"
    return held if field.type in _PLAIN else f"copied({held})"


def compile_compare(fields: Sequence[Shape]) -> Compare:
    """One pass over all fields."""
    required = [f"{field.name!r}: v{at}" for at, field in enumerate(fields) if not field.optional]
    optional = [at for at, field in enumerate(fields) if field.optional]
    held = " + ".join([str(len(required)), *(f"(o{at} is not None)" for at in optional)])
    lines = [
        "def compare(attributes, content):",
        f"    if len(attributes) != {len(fields)}: raise Unusual",
        *(_read(at, field) for at, field in enumerate(fields)),
        f"    if len(content) != {held}: raise Unusual",
    ]
    if all(field.type in _PLAIN for field in fields):
        unchanged = " and ".join(["True", *(f"v{at} is o{at}" for at in range(len(fields)))])
        lines.append(f"    if {unchanged}: return None")
    lines.append("    changed = {}")
    lines += [_compared(at, field) for at, field in enumerate(fields)]
    lines += ["    if not changed: return None", f"    after = {{{', '.join(required)}}}"]
    lines += [f"    if v{at} is not None: after[{fields[at].name!r}] = v{at}" for at in optional]
    lines.append("    return after, changed")
    scope = {
        "MAX_INTEGER": MAX_INTEGER,
        "Unusual": Unusual,
        "identical": identical,
        "normalise": normalise,
        "pack": _float32.pack,
        "unpack": _float32.unpack,
    }
    compare: Compare = _made("compare", "\n".join(lines), scope)
    return compare


def _read(at: int, field: Shape) -> str:
    if not field.optional:
        return f"    v{at} = attributes[{field.name!r}]; o{at} = content[{field.name!r}]"
    read = f"    v{at} = attributes[{field.name!r}]; o{at} = content.get({field.name!r})"
    # Absent, it reads as its default, and is no difference then.
    return read if field.default is None else f"{read}\n    if o{at} is None: raise Unusual"


def _compared(at: int, field: Shape) -> str:
    value, old = f"v{at}", f"o{at}"
    if field.type in _PLAIN:
        check = _PLAIN[field.type].format(v=value)
        return _COMPARE_PLAIN.format(v=value, o=old, name=field.name, check=check)
    return _COMPARE_COMPOSITE.format(v=value, o=old, name=field.name, type=field.type)


def _made(name: str, source: str, scope: dict[str, Any]) -> Any:
    """The function; the source is of this module's making, and of the names of fields only as literals."""
    exec(compile(source, f"<{name} of a kind>", "exec"), scope)
    return scope[name]
