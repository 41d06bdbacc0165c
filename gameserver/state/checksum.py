"""The checksum of a room: the sum modulo 2^32 of a CRC-32 per (entity, field, value).

A sum does not depend on order, so a committer updates it from what it changes alone and a replica
recomputes only what changed. Rule and vectors: docs/protocol.md, Checksum.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from zlib import crc32

import msgspec

from gameserver.state.delta import identical
from gameserver.state.values import canonical

MASK = 0xFFFFFFFF

Fields = Mapping[str, Any]

_encode = msgspec.msgpack.Encoder().encode


@lru_cache(maxsize=1 << 10)
def _field_bytes(field: str) -> bytes:
    return b"%b\0" % field.encode()


def field_sum(entity: str, field: str, value: Any) -> int:
    """What one field contributes."""
    return crc32(canonical(value), crc32(_field_bytes(field), _entity_prefix(entity)))


def _entity_prefix(entity: str) -> int:
    # Of all entities there ever were the prefixes are too many to be remembered.
    return crc32(b"%b\0" % entity.encode())


def entity_sum(entity: str, fields: Fields) -> int:
    """What an existing entity contributes; one without fields contributes too."""
    prefix = _entity_prefix(entity)
    if not fields:
        return prefix
    total = 0
    for field, value in fields.items():
        total += crc32(canonical(value), crc32(_field_bytes(field), prefix))
    return total & MASK


def room_sum(state: Mapping[str, Fields]) -> int:
    """The checksum of a whole state, from nothing."""
    return sum(entity_sum(entity, fields) for entity, fields in state.items()) & MASK


def change_sum(entity: str, before: Fields | None, after: Fields | None) -> int:
    """By how much (mod 2^32) the sum changes when an entity goes from `before` to `after`; None is absent."""
    if not before or not after:
        gone = 0 if before is None else entity_sum(entity, before)
        come = 0 if after is None else entity_sum(entity, after)
        return (come - gone) & MASK
    total = 0
    for field, value in after.items():
        old = before.get(field)
        if old is None:
            total += field_sum(entity, field, value)
        elif not identical(old, value):
            total += field_sum(entity, field, value) - field_sum(entity, field, old)
    for field, old in before.items():
        if field not in after:
            total -= field_sum(entity, field, old)
    return total & MASK


def fields_sum(entity: str, before: Fields, changed: Fields) -> int:
    """`change_sum` of an entity whose fields `changed` differ from `before`; None removes a field.

    It may have no empty content, neither before nor after: an entity without fields has a sum of its own.
    """
    total, start = 0, _entity_prefix(entity)
    for field, new in changed.items():
        prefix = crc32(_field_bytes(field), start)
        if new is not None:
            # Most of what changes are numbers in motion: a float that is no integer is encoded as it is.
            total += crc32(_encode(new) if type(new) is float and not new.is_integer() else canonical(new), prefix)
        old = before.get(field)
        if old is not None:
            total -= crc32(_encode(old) if type(old) is float and not old.is_integer() else canonical(old), prefix)
    return total & MASK
