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
from gameserver.state.delta import identical
from gameserver.state.entities import kind_of
from gameserver.state.values import FieldType, normaliser

F32_MARK = "f32"
f32 = Annotated[float, F32_MARK]
"""A float rounded to float32 when it is written, so that every replica holds the same number."""

_SIMPLE: dict[Any, FieldType] = {int: "int", float: "float", str: "str", bool: "bool", list: "list", dict: "map"}
_MUTABLE = (list, dict)
_ABSENT: Any = object()

T = TypeVar("T")


class Field:
    """One declared field; `optional` fields may be absent and then read as None."""

    __slots__ = ("default", "name", "normalise", "optional", "type")

    def __init__(self, name: str, annotation: Any, default: Any) -> None:
        self.name = name
        self.type, self.optional = field_type(name, annotation)
        self.normalise = normaliser(self.type)
        self.default = None if default is None else self.normalise(default)


class Kind:
    """A kind of entity: its class, its fields, and the lane its changes travel in."""

    __slots__ = ("_defaults", "_mutable", "cls", "fields", "name", "priority")

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

    def thaw(self, content: Mapping[str, Any]) -> Any:
        """A new object with the entity's content; changing it changes nothing else."""
        thing: Any = object.__new__(self.cls)
        attributes = {**self._defaults, **content}
        if len(attributes) != len(self._defaults):
            # What an older declaration left behind is not shown.
            attributes = {name: attributes[name] for name in self._defaults}
        for name in self._mutable:
            attributes[name] = _copied(attributes[name])
        thing.__dict__ = attributes
        return thing

    def freeze(self, thing: Any, before: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The content the object stands for now, or None when it is still what `before` was.

        Raises InvalidValue, naming kind and field, for what is not declared or does not fit.
        """
        changed = self.compare(thing, before)
        return None if changed is None else changed[0]

    def compare(self, thing: Any, before: Mapping[str, Any] | None) -> tuple[dict[str, Any], list[str]] | None:
        """As `freeze`, with the names of all fields in which the content may differ from `before`, each once."""
        content = before or {}
        attributes = thing.__dict__
        # An object that was only looked at holds the very values it was given.
        touched = [name for name, value in attributes.items() if value is not content.get(name, _ABSENT)]
        if not touched and len(attributes) == len(self.fields) and before is not None:
            return None
        changed, filled, after = self._changes(attributes, content, touched)
        names = changed + filled
        if len(attributes) < len(self.fields):
            names += (gone := [name for name in content if name in self.fields and name not in attributes])
            changed = changed or gone
        if not changed and before is not None:
            return None
        # What is not declared any more goes with the first change.
        names += [name for name in content if name not in self.fields]
        return after, names

    def _changes(
        self, attributes: dict[str, Any], content: Mapping[str, Any], touched: list[str]
    ) -> tuple[list[str], list[str], dict[str, Any]]:
        """Fields that differ, fields that were absent and have their default, and the whole new content."""
        changed: list[str] = []
        filled: list[str] = []
        after = dict(attributes)
        for name in touched:
            field = self.fields.get(name)
            if field is None:
                raise InvalidValue(f"{self.name} has no field {name!r}")
            value = attributes[name]
            if value is None:
                if not field.optional:
                    raise InvalidValue(f"{self.name}.{name} may not be None")
                del after[name]
                if name in content:
                    changed.append(name)
                continue
            if value is field.default and name not in content and type(value) not in _MUTABLE:
                filled.append(name)
                continue
            try:
                value = field.normalise(value)
            except InvalidValue as error:
                raise InvalidValue(f"{self.name}.{name}: {error.message}") from None
            after[name] = value
            if not identical(value, content.get(name, field.default)):
                changed.append(name)
            elif name not in content:
                filled.append(name)
        return changed, filled, after

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
        try:
            return self.kinds[kind_of(entity)]
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
