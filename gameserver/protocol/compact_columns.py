"""State in columns: the groups of entities that a compact message ends with (docs/protocol.md, Compact).

What is known of an entity's id and of a combination of fields is remembered, within bounds: the same ones come again
and again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, repeat
from operator import eq, itemgetter
from typing import Any

from gameserver.protocol.compact_schema import Described, numbered

State = Mapping[str, Mapping[str, Any]]
MOST_ENTITIES = 16_384
MOST_SHAPES = 1024
MOST_STRANGERS = 1024
LARGEST_ID = 2**32 - 1


class Shape:
    """One combination of fields of a kind; `names` are its columns in order, the first `floats` of them packed by
    `pack`, and `row` answers an entity's values in that order."""

    __slots__ = ("fields", "floats", "kind", "names", "pack", "row")

    def __init__(self, kind: int | str, fields: int | Sequence[str], floats: int, names: tuple[str, ...]) -> None:
        self.kind = kind
        self.fields = fields
        self.floats = floats
        self.names = names
        self.pack = packer(floats)
        self.row: Callable[[Mapping[str, Any]], tuple[Any, ...]] = _row_of(names)


def _row_of(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    if not names:
        return lambda content: ()
    # Of one name an itemgetter answers no tuple.
    (name,) = names
    return lambda content: (content[name],)


class _Kind:
    """`number` is its name for an undeclared one; `bits` and `packed` tell of its declared fields."""

    __slots__ = ("bits", "number", "packed", "shapes")

    def __init__(self, number: int | str, fields: Iterable[tuple[str, bool]]) -> None:
        listed = list(fields)
        self.number = number
        self.bits = {name: 1 << place for place, (name, _) in enumerate(listed)}
        self.packed = {name for name, packed in listed if packed}
        self.shapes: dict[tuple[str, ...], Shape] = {}

    def shape_of(self, names: tuple[str, ...]) -> Shape:
        """What these fields, in the order an entity has them, are as columns."""
        return self.shapes.get(names) or self._learn(names)

    def _learn(self, names: tuple[str, ...]) -> Shape:
        bits = self.bits
        if all(name in bits for name in names):
            ordered = tuple(sorted(names, key=lambda name: (name not in self.packed, bits[name])))
            fields: int | Sequence[str] = sum(bits[name] for name in names)
            floats = sum(name in self.packed for name in names)
        else:
            ordered, fields, floats = names, names, 0
        if len(self.shapes) >= MOST_SHAPES:
            self.shapes.clear()
        shape = self.shapes[names] = Shape(self.number, fields, floats, ordered)
        return shape


_Id = int | str | None


class Columns:
    """Writes state for one schema."""

    def __init__(self, described: Described) -> None:
        self._kinds = {name: _Kind(number, fields) for number, (name, fields) in enumerate(numbered(described))}
        self._strangers: dict[str, _Kind] = {}
        self._entities: dict[str, tuple[_Kind, _Id]] = {}

    def write_sets(self, into: list[Any], sets: State) -> None:
        """Append the groups of the entities. The values must be what state may hold, or None for removed fields."""
        if len(sets) == 1:
            ((entity, content),) = sets.items()
            kind, id = self._entities.get(entity) or self._learn(entity)
            names = tuple(content)
            _write_one(into, kind.shapes.get(names) or kind.shape_of(names), id, content)
        elif sets:
            known = self._entities
            kinds, ids = zip(*[known.get(entity) or self._learn(entity) for entity in sets], strict=True)
            self._write_groups(into, kinds, ids, list(sets.values()))

    def _write_groups(self, into: list[Any], kinds: Sequence[_Kind], ids: Sequence[_Id], contents: list[Any]) -> None:
        names = tuple(contents[0])
        # Made of what allocates nothing that lasts: a large delta would set off the collector of garbage.
        if kinds.count(kinds[0]) == len(kinds) and all(map(eq, map(tuple, contents), repeat(names))):
            _write_many(into, kinds[0].shape_of(names), ids, contents)
            return
        groups: dict[Shape, list[int]] = {}
        for place, content in enumerate(contents):
            groups.setdefault(kinds[place].shape_of(tuple(content)), []).append(place)
        for shape, places in groups.items():
            if len(places) == 1:
                _write_one(into, shape, ids[places[0]], contents[places[0]])
            else:
                _write_many(into, shape, [ids[place] for place in places], [contents[place] for place in places])

    def write_dels(self, into: list[Any], dels: Collection[str]) -> None:
        """Append the deletions, by kind."""
        groups: dict[int | str, list[_Id]] = {}
        for entity in dels:
            kind, id = self._entities.get(entity) or self._learn(entity)
            groups.setdefault(kind.number, []).append(id)
        for number, ids in groups.items():
            into += (None, number, ids[0] if len(ids) == 1 else ids)

    def _learn(self, entity: str) -> tuple[_Kind, _Id]:
        name, colon, tail = entity.partition(":")
        kind = self._kinds.get(name) or self._stranger(name)
        if len(self._entities) >= MOST_ENTITIES:
            self._entities.clear()
        known = self._entities[entity] = kind, _short(tail) if colon else None
        return known

    def _stranger(self, name: str) -> _Kind:
        """A kind that is not declared: there may be any number of them."""
        kind = self._strangers.get(name)
        if kind is None:
            if len(self._strangers) >= MOST_STRANGERS:
                self._strangers.clear()
            kind = self._strangers[name] = _Kind(name, ())
        return kind


def _short(tail: str) -> int | str:
    """An id that is an integer as it would be written, as that integer."""
    if len(tail) <= 10 and tail.isascii() and tail.isdecimal() and (tail[0] != "0" or tail == "0"):
        number = int(tail)
        if number <= LARGEST_ID:
            return number
    return tail


def _write_one(into: list[Any], shape: Shape, id: _Id, content: Mapping[str, Any]) -> None:
    row = shape.row(content)
    floats = shape.floats
    if not floats:
        into += (shape.kind, shape.fields, id, *row)
    elif (packed := shape.pack(row[:floats])) is None:
        into += (shape.kind, shape.names, id, *row)
    elif floats == len(row):
        into += (shape.kind, shape.fields, id, packed)
    else:
        into += (shape.kind, shape.fields, id, packed, *row[floats:])


def _write_many(into: list[Any], shape: Shape, ids: Sequence[_Id], contents: list[Mapping[str, Any]]) -> None:
    columns = [list(map(itemgetter(name), contents)) for name in shape.names]
    floats = shape.floats
    packed = None
    if floats:
        numbers = tuple(chain.from_iterable(columns[:floats]))
        packed = packer(len(numbers))(numbers)
    if packed is not None:
        into += (shape.kind, shape.fields, ids, packed, *columns[floats:])
    else:
        into += (shape.kind, shape.names if floats else shape.fields, ids, *columns)


_are_floats = frozenset((float,)).issuperset


def packer(count: int) -> Callable[[tuple[Any, ...]], bytes | None]:
    """What makes so many numbers little-endian float32; None when one is none, or would not come out as it went in."""
    form = struct.Struct(f"<{count}f")
    write, read = form.pack, form.unpack

    def pack(values: tuple[Any, ...]) -> bytes | None:
        try:
            packed = write(*values)
        except (OverflowError, struct.error):
            return None
        if read(packed) != values:
            return None
        if (0.0 in values or 1.0 in values) and not _are_floats(map(type, values)):
            # It may be False or True, which are equal to these.
            return None
        return packed

    return pack
