"""The books: what the world holds in all, computed from its rooms' states alone.

Trading, combat and ticks only move goods and credits between entities. So this holds at every moment at which no
commit is half seen, for credits and for each good:

    sum of the field over every port, deposit and `me`  -  sum of `granted_<field>` over every `me`  =  FOUNDED

What a player starts with is not taken from some common treasury: an entity that every first join
writes would make all of them wait for each other. It is granted, and noted beside in the same entity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gameserver.worlds.frontier.galaxy import SECTORS, produce_of
from gameserver.worlds.frontier.goods import GOODS

States = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Room to entity to field to value."""

BOOKED = ("credits", *GOODS)
KINDS = ("port", "deposit", "me")

PORT_CREDITS = 50_000
RESERVE = 50
"""A deposit holds this many times the usual stock of what its sector's port makes."""


def stock_at_founding(good: str, number: int) -> int:
    terms = GOODS[good]
    return terms.plenty if produce_of(number) == good else terms.scarce


def reserve_at_founding(good: str, number: int) -> int:
    return GOODS[good].usual * RESERVE if produce_of(number) == good else 0


def _founded(field: str) -> int:
    if field == "credits":
        return PORT_CREDITS * len(SECTORS)
    return sum(stock_at_founding(field, number) + reserve_at_founding(field, number) for number in SECTORS)


FOUNDED: dict[str, int] = {field: _founded(field) for field in BOOKED}
"""The totals of a new world, and so of every later one."""


def totals(states: States) -> dict[str, int]:
    """The left side of the invariant for every booked field. Needs the states of all sectors and all private rooms."""
    entities = list(_booked_entities(states))
    return {
        field: sum(entity.get(field, 0) - entity.get(f"granted_{field}", 0) for entity in entities) for field in BOOKED
    }


def negative(states: States) -> list[tuple[str, str, str]]:
    """(room, entity, field) of every account below zero; none ever is."""
    return [
        (room, entity, field)
        for room, state in states.items()
        for entity, fields in state.items()
        for field in BOOKED
        if _is_booked(entity) and fields.get(field, 0) < 0
    ]


def _booked_entities(states: States) -> Iterator[Mapping[str, Any]]:
    for state in states.values():
        for entity, fields in state.items():
            if _is_booked(entity):
                yield fields


def _is_booked(entity: str) -> bool:
    return entity.partition(":")[0] in KINDS
