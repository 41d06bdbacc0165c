"""Declared kinds of entities: which fields they have, and how plain objects stand for them.

An entity's kind is what stands before the first colon of its id. A game declares a kind as an ordinary
class with annotated fields; objects of that class are handed to the game, and read back, here.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from gameserver.errors import InvalidValue, NotFound
from gameserver.state.compiled import UNUSUAL, Compared, Shape, compile_compare, compile_thaw
from gameserver.state.delta import difference, identical
from gameserver.state.entities import kind_of
from gameserver.state.values import FieldType, normalise

F32_MARK = "f32"
f32 = Annotated[float, F32_MARK]
"""A float rounded to float32 when it is written, so that every replica holds the same number."""

_SIMPLE: dict[Any, FieldType] = {int: "int", float: "float", str: "str", bool: "bool", list: "list", dict: "map"}
_MUTABLE = (list, dict)
_new = object.__new__

T = TypeVar("T")


class Field:
    """One declared field; `optional` fields may be absent and then read as None."""

    __slots__ = ("default", "name", "optional", "type")

    def __init__(self, name: str, annotation: Any, default: Any) -> None:
        self.name = name
        self.type, self.optional = field_type(name, annotation)
        self.default = None if default is None else normalise(self.type, default)


class Kind:
    """A kind of entity: its class, its fields, and the lane its changes travel in."""

    __slots__ = ("_compare", "_defaults", "_mutable", "_thaw", "cls", "fields", "name", "priority")

    def __init__(self, name: str, cls: type, priority: int) -> None:
        self.name = name
        self.cls = cls
        self.priority = priority
        hints = get_type_hints(cls, include_extras=True)
        self.fields = {
            field: Field(field, annotation, getattr(cls, field, None))
            for field, annotation in hints.items()
            if get_origin(annotation) is not typing.ClassVar
        }
        self._defaults = {name: field.default for name, field in self.fields.items()}
        self._mutable = [name for name, field in self.fields.items() if field.type in ("list", "map")]
        shapes = [Shape(field.name, field.type, field.optional, field.default) for field in self.fields.values()]
        self._thaw = compile_thaw(shapes, _copied)
        self._compare = compile_compare(shapes)

    def thaw(self, content: Mapping[str, Any]) -> Any:
        """A new object with the entity's content; changing it changes nothing else."""
        thing: Any = _new(self.cls)
        try:
            thing.__dict__ = self._thaw(content)
        except KeyError:
            thing.__dict__ = self._filled(content)
        return thing

    def _filled(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes, absent fields having their defaults. What an older declaration left behind is not shown."""
        defaults = self._defaults
        attributes = {name: content.get(name, default) for name, default in defaults.items()}
        for name in self._mutable:
            attributes[name] = _copied(attributes[name])
        return attributes

    def freeze(self, thing: Any, before: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The content the object stands for now, or None when it is still what `before` was.

        Raises InvalidValue, naming kind and field, for what is not declared or does not fit.
        """
        changed = self.compare(thing, before)
        return None if changed is None else changed[0]

    def compare(self, thing: Any, before: Mapping[str, Any] | None) -> Compared | None:
        """As `freeze`, with the `gameserver.state.delta.difference` to `before`."""
        if before is not None:
            try:
                return self._compare(thing.__dict__, before)
            except UNUSUAL:
                pass
        return self._compare_any(thing.__dict__, before)

    def _compare_any(self, attributes: dict[str, Any], before: Mapping[str, Any] | None) -> Compared | None:
        content = before or {}
        after: dict[str, Any] = {}
        changed = before is None
        for name, value in attributes.items():
            field = self.fields.get(name)
            if field is None:
                raise InvalidValue(f"{self.name} has no field {name!r}")
            if value is None:
                if not field.optional:
                    raise InvalidValue(f"{self.name}.{name} may not be None")
                continue
            # A default that nobody assigned is no change by itself.
            old = content.get(name, field.default)
            if value is old and (name in content or type(value) not in _MUTABLE):
                after[name] = value
                continue
            try:
                after[name] = normalise(field.type, value)
            except InvalidValue as error:
                raise InvalidValue(f"{self.name}.{name}: {error.message}") from None
            changed = changed or not identical(after[name], old)
        # What is not declared any more goes with the first change.
        if changed or any(name in self.fields and name not in after for name in content):
            return after, difference(before, after)
        return None

    def create(self, content: Mapping[str, Any]) -> Any:
        """A new object with the defaults overlaid by `content`. Raises InvalidValue for a missing required field."""
        thing = self.thaw({})
        for name, value in content.items():
            if name not in self.fields:
                raise InvalidValue(f"{self.name} has no field {name!r}")
            thing.__dict__[name] = value
        return thing


class Schema:
    """All kinds of a world."""

    def __init__(self) -> None:
        self.kinds: dict[str, Kind] = {}

    def add(self, kind: Kind) -> None:
        if kind.name in self.kinds:
            raise ValueError(f"the kind {kind.name!r} is declared twice")
        self.kinds[kind.name] = kind

    def kind(self, entity: str) -> Kind:
        """Raises NotFound when no such kind is declared."""
        # As `kind_of`, without the call: it is asked for every object that is handed out.
        try:
            return self.kinds[entity.partition(":")[0]]
        except KeyError:
            raise NotFound(f"no kind {kind_of(entity)!r} is declared (entity {entity!r})") from None

    def priority(self, entity: str, otherwise: int) -> int:
        kind = self.kinds.get(kind_of(entity))
        return otherwise if kind is None else kind.priority

    def describe(self) -> dict[str, dict[str, str]]:
        """Kind to field to type, a `?` behind those that may be absent: the wire's `schema`."""
        return {
            kind.name: {field.name: field.type + "?" * field.optional for field in kind.fields.values()}
            for kind in self.kinds.values()
        }


def field_type(name: str, annotation: Any) -> tuple[FieldType, bool]:
    """The wire's type of an annotation and whether it may be None. Raises TypeError for others."""
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        if F32_MARK in marks:
            return "f32", False
        return field_type(name, inner)
    if get_origin(annotation) in (typing.Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        if len(options) == 1:
            return field_type(name, options[0])[0], True
    plain = get_origin(annotation) or annotation
    if plain in _SIMPLE:
        return _SIMPLE[plain], False
    raise TypeError(f"field {name!r}: {annotation!r} is none of int, float, f32, str, bool, list, dict")


def _copied(value: T) -> T:
    if isinstance(value, list):
        return typing.cast(T, [_copied(item) for item in value])
    if isinstance(value, dict):
        return typing.cast(T, {key: _copied(item) for key, item in value.items()})
    return value
