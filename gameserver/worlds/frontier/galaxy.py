"""The map: twenty sectors and the links between them. Pure and always the same, so that everybody can plan by it.

The sectors lie on a ring; chords across it make the way between any two of them short. Numbers run
from 1, and a sector's number is also that of its room (`sector:8`) and of its port (`port:8`).
"""

from __future__ import annotations

from gameserver.worlds.frontier.goods import GOODS

NAMES = (
    "Harbour",
    "Candle",
    "Low Reach",
    "Brine",
    "Threshold",
    "Old Foundry",
    "Kestrel",
    "Lantern",
    "The Narrows",
    "Salt Gate",
    "Mirror",
    "Drum",
    "Far Orchard",
    "Cinder",
    "Quiet Deep",
    "Anvil",
    "Windfall",
    "Tallow",
    "Second Light",
    "World's Edge",
)
SECTORS = range(1, len(NAMES) + 1)
CHORD = 7
CHORD_FROM = range(1, len(NAMES) - CHORD + 1, 2)


def room_of(number: int) -> str:
    return f"sector:{number}"


def number_of(room: str) -> int:
    """The number of a sector by its room's name."""
    return int(room.removeprefix("sector:"))


def port_of(number: int) -> str:
    return f"port:{number}"


def produce_of(number: int) -> str:
    """The good that a sector's port makes; it uses up the others."""
    goods = list(GOODS)
    return goods[(number - 1) % len(goods)]


def _links() -> dict[str, list[str]]:
    neighbours: dict[int, set[int]] = {number: set() for number in SECTORS}
    ring = [(number, number % len(NAMES) + 1) for number in SECTORS]
    chords = [(number, number + CHORD) for number in CHORD_FROM]
    for one, other in ring + chords:
        neighbours[one].add(other)
        neighbours[other].add(one)
    return {room_of(number): [room_of(other) for other in sorted(neighbours[number])] for number in SECTORS}


LINKS = _links()
"""Room to the rooms one can move to from there; links go both ways."""
