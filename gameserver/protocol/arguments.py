"""What a command takes: its arguments' types as a game's author writes them and as msgspec checks
them. `gameserver.protocol.schema` tells clients of them.

Allowed are int, float, str, bool, list, dict, `Literal`, enums of strings, unions of these, `list[T]`
and `dict[str, T]`, each optionally `Annotated` with a `msgspec.Meta` that bounds it further. An integer,
and a float as well, has a magnitude of at most 2^53-1 unless its Meta says otherwise: what is larger
than that does not mean the same number in every language.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from msgspec import Meta

from gameserver.protocol.codes import RESERVED_TYPES
from gameserver.state.values import MAX_DEPTH, MAX_INTEGER, MAX_KEYS


class Required(Enum):
    REQUIRED = "required"


REQUIRED: Final = Required.REQUIRED
"""The default of an argument that has none."""


@dataclass(frozen=True, slots=True)
class Argument:
    """`annotation` is the type as the author wrote it; None is never a value on the wire, only a default."""

    name: str
    annotation: Any
    default: Any = REQUIRED


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A command as the wire knows it.

    Raises ValueError for a name that is reserved or arguments that could not be told apart on the wire,
    TypeError for an argument of a type that cannot be checked.
    """

    name: str
    fields: tuple[Argument, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        if self.name in RESERVED_TYPES:
            raise ValueError(f"{self.name!r} is a message of the protocol and cannot name a command")
        if not self.name.isprintable() or not 1 <= len(self.name) <= 64:
            raise ValueError(f"a command's name is 1 to 64 printable characters, not {self.name!r}")
        names = [argument.name for argument in self.fields]
        for name in names:
            if name in ("id", "type") or name.startswith("_") or not name.isidentifier():
                raise ValueError(f"command {self.name!r}: an argument cannot be called {name!r}")
        if len(set(names)) != len(names):
            raise ValueError(f"command {self.name!r} names an argument twice")
        for argument in self.fields:
            wire_type(argument.annotation, Limits())


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client's message may be at most; above it the message counts as unreadable.

    `message` in bytes; `depth` in levels of maps and lists, the message itself being the first;
    `keys` of one map; `elements` in all, keys not counted; `text` in characters of one string argument.
    """

    message: int = 16 * 1024
    depth: int = MAX_DEPTH
    keys: int = MAX_KEYS
    elements: int = 2048
    text: int = 4096


def wire_type(annotation: Any, limits: Limits) -> Any:
    """The type msgspec decodes and bounds. Raises TypeError for a type that cannot be an argument's."""
    base, meta = unwrap(annotation)
    origin, parameters = get_origin(base), get_args(base)
    if base is int:
        return Annotated[int, _number_bounds(meta, MAX_INTEGER)]
    if base is float:
        # The bounds also keep out NaN and the infinities, which MessagePack can carry.
        return Annotated[float, _number_bounds(meta, float(MAX_INTEGER))]
    if base is str:
        return Annotated[str, _length_bounds(meta, limits.text)]
    if base is bool or origin is Literal or is_string_enum(base):
        return base
    if base is list or origin is list:
        item = wire_type(parameters[0], limits) if parameters else Any
        return Annotated[list[item], _length_bounds(meta, limits.elements)]  # type: ignore[valid-type]
    if base is dict or (origin is dict and parameters[0] is str):
        item = wire_type(parameters[1], limits) if parameters else Any
        return Annotated[dict[str, item], _length_bounds(meta, limits.keys)]  # type: ignore[valid-type]
    if origin is Union:
        return Union[tuple(wire_type(member, limits) for member in parameters)]  # noqa: UP007
    raise TypeError(f"{annotation!r} cannot be the type of an argument")


def is_composite(annotation: Any) -> bool:
    """Whether values of it nest, so that depth and elements have to be counted."""
    base, _ = unwrap(annotation)
    if get_origin(base) is Union:
        return any(is_composite(member) for member in get_args(base))
    return base in (list, dict) or get_origin(base) in (list, dict)


def is_number(annotation: Any) -> bool:
    """Whether values of it are int, float or bool and never hold a string."""
    return unwrap(annotation)[0] in (int, float, bool)


def is_plain(annotation: Any) -> bool:
    """Whether one value of it is read as one object in either encoding: neither nested nor of several types."""
    base, _ = unwrap(annotation)
    return base in (int, float, str, bool) or get_origin(base) is Literal or is_string_enum(base)


def plain(value: Any) -> Any:
    """An argument's value with the words of enums in place of their members."""
    if isinstance(value, Enum):
        return value.value
    if type(value) is list:
        return list(map(plain, value))
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    return value


_Meta: Any = Meta
"""Its declared overloads tell every combination of bounds apart; what is passed on here was accepted before."""


def unwrap(annotation: Any) -> tuple[Any, Meta]:
    """The type without `Annotated`, NewType and None, and what bounds it."""
    meta = Meta()
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *notes = get_args(annotation)
            meta = next((note for note in notes if isinstance(note, Meta)), meta)
        elif get_origin(annotation) in (Union, UnionType):
            members = tuple(member for member in get_args(annotation) if member is not NoneType)
            annotation = Union[members]  # noqa: UP007
            if len(members) > 1:
                return annotation, meta
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        else:
            return annotation, meta


def _number_bounds(meta: Meta, largest: float) -> Any:
    return _Meta(
        gt=meta.gt,
        ge=-largest if meta.ge is None and meta.gt is None else meta.ge,
        lt=meta.lt,
        le=largest if meta.le is None and meta.lt is None else meta.le,
        multiple_of=meta.multiple_of,
    )


def _length_bounds(meta: Meta, longest: int) -> Meta:
    return Meta(
        min_length=meta.min_length,
        max_length=longest if meta.max_length is None else meta.max_length,
        pattern=meta.pattern,
    )


def is_string_enum(base: Any) -> bool:
    return isinstance(base, type) and issubclass(base, Enum) and all(type(member.value) is str for member in base)
