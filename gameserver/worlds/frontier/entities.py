"""What there is in the frontier, and the game that all its parts belong to.

Goods and credits stand in fields of the same names wherever they are, so that the books can be checked by adding up
fields (`books`). Times are in milliseconds since the Unix epoch.
"""

from __future__ import annotations

from gameserver import Game, f32
from gameserver.worlds.frontier.goods import GOODS

game = Game("frontier", start="sector:1")

SECTOR = "sector"
DEPOSIT = "deposit"
GALAXY = "galaxy"

HOLD = 100
"""Units of goods a ship can carry, its drones included."""
START_CREDITS = 1_000
START_DRONES = 10


@game.entity
class Galaxy:
    """The map, in the global room: `links` is room to the rooms one can move to."""

    links: dict[str, list[str]]
    names: dict[str, str]


@game.entity
class Sector:
    """`links` are the rooms one can move to; `owner` is the player who controls the sector's port."""

    name: str
    links: list[str]
    owner: str | None = None


@game.entity(priority="trade")
class Port:
    """Stock and prices; `credits` is the account it pays from. The drones it has in stock defend it.

    `owner` is the player who took it, `team` theirs at that time.
    """

    name: str
    makes: str
    owner: str | None = None
    team: str | None = None
    credits: int = 0
    ore: int = 0
    ore_price: int = 0
    gas: int = 0
    gas_price: int = 0
    drones: int = 0
    drones_price: int = 0


@game.entity(priority="cosmetic")
class Deposit:
    """What lies in a sector and is nobody's: raw ore and gas, wrecks of drones, spilled cargo."""

    ore: int = 0
    gas: int = 0
    drones: int = 0


@game.entity
class Ship:
    """A player's ship in a sector: position in units, at most `movement.EDGE`, velocity in units per second.

    `combat_until` is 0 outside combat, `shielded_until` without a shield; `status_before` is what the presence's
    status goes back to.
    """

    x: f32 = 0.0
    y: f32 = 0.0
    vx: f32 = 0.0
    vy: f32 = 0.0
    combat_until: int = 0
    shielded_until: int = 0
    status_before: str | None = None


@game.entity(priority="trade")
class Me:
    """What a player has. `granted_*` is what they were given from outside the economy: the books subtract it."""

    credits: int = 0
    ore: int = 0
    gas: int = 0
    drones: int = 0
    granted_credits: int = 0
    granted_drones: int = 0
    kills: int = 0
    losses: int = 0


def ship_of(player: str) -> str:
    return f"ship:{player}"


def free_hold(me: Me) -> int:
    """How many more units fit."""
    loaded: int = sum(getattr(me, good) for good in GOODS)
    return HOLD - loaded


def grant(me: Me, *, credits: int, drones: int = 0) -> None:
    """Give a player something from outside the economy, on record."""
    me.credits += credits
    me.granted_credits += credits
    me.drones += drones
    me.granted_drones += drones
