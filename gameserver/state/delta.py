"""What changed in a room between two positions, and how changes compose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

State = dict[str, dict[str, Any]]
Sets = Mapping[str, Mapping[str, Any]]


class Delta:
    """`dels` is applied before `sets`; an entity in both is replaced whole; a field set to None is removed."""

    __slots__ = ("dels", "sets")

    def __init__(self, dels: Iterable[str] = (), sets: Sets | None = None) -> None:
        self.dels: set[str] = set(dels)
        self.sets: State = {entity: dict(fields) for entity, fields in (sets or {}).items()}

    def __bool__(self) -> bool:
        return bool(self.dels or self.sets)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Delta) and (self.dels, self.sets) == (other.dels, other.sets)

    __hash__ = None  # type: ignore[assignment]  # a delta is mutable

    def __repr__(self) -> str:
        return f"Delta(dels={sorted(self.dels)}, sets={self.sets})"

    def extend(self, dels: Iterable[str], sets: Sets) -> None:
        """Become the delta that does what this one did and then `dels` and `sets`."""
        for entity in dels:
            self.sets.pop(entity, None)
            self.dels.add(entity)
        for entity, fields in sets.items():
            known = self.sets.get(entity)
            if known is None:
                known = self.sets[entity] = {}
            if entity in self.dels:
                _merge(known, fields)
            else:
                known.update(fields)


def apply(state: State, dels: Iterable[str], sets: Sets) -> None:
    """Change `state` in place; entities it did not have are created, their fields copied."""
    for entity in dels:
        state.pop(entity, None)
    for entity, fields in sets.items():
        known = state.get(entity)
        if known is None:
            known = state[entity] = {}
        _merge(known, fields)


def _merge(known: dict[str, Any], fields: Mapping[str, Any]) -> None:
    for field, value in fields.items():
        if value is None:
            known.pop(field, None)
        else:
            known[field] = value


def difference(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, Any]:
    """The fields to set (None: to remove) that turn `before` into `after`."""
    if before is None:
        return dict(after)
    changed = {
        field: value for field, value in after.items() if field not in before or not identical(before[field], value)
    }
    changed.update((field, None) for field in before if field not in after)
    return changed


def identical(one: Any, other: Any) -> bool:
    """Equal and of the same type throughout: unlike ==, 1, 1.0 and True differ, as they do on the wire."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if type(one) is list:
        return len(one) == len(other) and all(map(identical, one, other))
    if type(one) is dict:
        return one.keys() == other.keys() and all(identical(value, other[key]) for key, value in one.items())
    return bool(one == other)
