"""What a subscription shows of a room: all of it, or some entities and some fields.

An entity that is shown but has no visible field counts as one without fields: a narrowed
view is a room of its own, with its own state and checksum.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gameserver.rooms.names import kind_of
from gameserver.state.checksum import MASK, entity_sum

Fields = Mapping[str, Any]
State = Mapping[str, Fields]


@dataclass(frozen=True, slots=True)
class View:
    """`entities` are ids or `kind:*`, `fields` are names; None shows all."""

    entities: frozenset[str] | None = None
    fields: frozenset[str] | None = None

    @property
    def whole(self) -> bool:
        return self.entities is None and self.fields is None

    def sees(self, entity: str) -> bool:
        if self.entities is None:
            return True
        return entity in self.entities or f"{kind_of(entity)}:*" in self.entities

    def of_fields(self, fields: Fields) -> Fields:
        if self.fields is None:
            return fields
        return {name: value for name, value in fields.items() if name in self.fields}

    def of_entity(self, state: State, entity: str) -> Fields | None:
        """The entity as this view shows it, None when absent or hidden."""
        fields = state.get(entity)
        return None if fields is None or not self.sees(entity) else self.of_fields(fields)

    def of_state(self, state: State) -> State:
        if self.whole:
            return state
        return {entity: self.of_fields(fields) for entity, fields in state.items() if self.sees(entity)}

    def of_change(self, dels: Iterable[str], sets: State, created: Collection[str]) -> tuple[Collection[str], State]:
        """What of a change is visible. `created` are entities the view did not have before."""
        if self.whole:
            return list(dels), sets
        visible: dict[str, Fields] = {}
        for entity, fields in sets.items():
            if self.sees(entity):
                shown = self.of_fields(fields)
                if shown or entity in created:
                    visible[entity] = shown
        return [entity for entity in dels if self.sees(entity)], visible

    def sum(self, state: State) -> int:
        """The checksum of the narrowed view."""
        return sum(entity_sum(entity, fields) for entity, fields in self.of_state(state).items()) & MASK


WHOLE = View()
