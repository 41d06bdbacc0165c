"""The ids of entities: their grammar, and the kind in them."""

from __future__ import annotations

from typing import Any, TypeGuard

from gameserver.errors import InvalidValue

MAX_ENTITY = 96
"""In characters."""


def is_entity(value: Any) -> TypeGuard[str]:
    """Whether this can name an entity: 1 to 96 printable characters."""
    # Entities are keys of maps: in JavaScript this one would reach every object's prototype.
    return type(value) is str and 0 < len(value) <= MAX_ENTITY and value.isprintable() and value != "__proto__"


def check_entity_id(value: Any) -> str:
    """Raises InvalidValue for what cannot name an entity."""
    if not is_entity(value):
        raise InvalidValue(f"an entity id is 1 to {MAX_ENTITY} printable characters, not {value!r:.120}")
    return value


def kind_of(entity: str) -> str:
    """The entity's kind: what stands before the first colon, or the whole id."""
    return entity.partition(":")[0]
