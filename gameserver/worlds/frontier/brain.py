"""A pilot that plays by itself, from nothing but what its client sees: for the demonstration, for tests and for load.

It is a pure function of the view and of the dice it is handed, cheap enough for thousands of pilots in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from gameserver.worlds.frontier.entities import HOLD, SECTOR, ship_of
from gameserver.worlds.frontier.goods import GOODS

Fields = Mapping[str, Any]
Wish = tuple[str, dict[str, Any]]
"""A command's name and its arguments."""

LOT = 20
"""The most units moved, and drones sent, at once."""
ESCORT = 30
"""The drones a pilot likes to have."""
CRUISE = 60.0

PHRASES = (
    "Anyone selling gas near here?",
    "Fair skies.",
    "Prices are mad today.",
    "On my way.",
    "Who holds this port?",
    "Mind the wrecks.",
)


@dataclass(frozen=True, slots=True)
class View:
    """What a pilot sees: `rooms` is room to entity to fields, for the rooms the client is in."""

    player: str
    rooms: Mapping[str, Mapping[str, Fields]]

    @property
    def me(self) -> Fields:
        return self.rooms.get(f"private:{self.player}", {}).get("me", {})

    @property
    def sector(self) -> Mapping[str, Fields]:
        """The sector's entities; empty between two sectors."""
        for room, state in self.rooms.items():
            if room.startswith("sector:"):
                return state
        return {}

    @property
    def team(self) -> str | None:
        presence: Fields = self.sector.get(f"player:{self.player}", {})
        return presence.get("team")

    def of_kind(self, kind: str) -> list[tuple[str, Fields]]:
        """This sector's entities of a kind, in an order that does not depend on how the client got them."""
        return sorted((entity, fields) for entity, fields in self.sector.items() if entity.startswith(f"{kind}:"))


def decide(view: View, random: Random) -> Wish:
    """The pilot's next command. It is sensible by what the view shows; others may be quicker all the same."""
    if ship_of(view.player) not in view.sector or SECTOR not in view.sector:
        return talk_to_all(view, random)
    (first,) = random.choices(IDEAS, WEIGHTS)
    return first(view, random) or steer(view, random)


def trade(view: View, random: Random) -> Wish | None:
    """Sell what this port lacks; else buy what it makes."""
    ports = view.of_kind("port")
    if not ports or not view.me:
        return None
    entity, port = random.choice(ports)
    me = view.me
    for good in GOODS:
        have = me[good] - (ESCORT if good == "drones" else 0)
        amount = min(have, LOT, port["credits"] // (2 * GOODS[good].base))
        if good != port["makes"] and amount > 0:
            return "sell", {"port": entity, "good": good, "amount": amount}
    good = port["makes"]
    room = HOLD - sum(me[carried] for carried in GOODS)
    # Each unit is dearer than the one before: half of what the first price allows is surely paid for.
    amount = min(room, LOT, port[good], me["credits"] // (2 * port[f"{good}_price"]))
    return ("buy", {"port": entity, "good": good, "amount": random.randint(1, amount)}) if amount > 0 else None


def move(view: View, random: Random) -> Wish | None:
    links = view.sector[SECTOR]["links"]
    return ("move", {"to": random.choice(links)}) if links else None


def steer(view: View, random: Random) -> Wish:
    return "steer", {"vx": random.uniform(-CRUISE, CRUISE), "vy": random.uniform(-CRUISE, CRUISE)}


def fight(view: View, random: Random) -> Wish | None:
    """Attack somebody's ship or port who is not of the own team, if there are drones for it."""
    drones = view.me.get("drones", 0)
    targets = [entity for entity, ship in view.of_kind("ship") if _may_attack_ship(view, entity, ship)]
    targets += [entity for entity, port in view.of_kind("port") if _may_attack_port(view, port)]
    if not drones or not targets:
        return None
    return "attack", {"target": random.choice(targets), "drones": random.randint(1, min(drones, LOT))}


def _may_attack_ship(view: View, entity: str, ship: Fields) -> bool:
    player = entity.removeprefix("ship:")
    if player == view.player or ship["shielded_until"]:
        return False
    presence: Fields = view.sector.get(f"player:{player}", {})
    return bool(presence) and not _same_team(view, presence)


def _may_attack_port(view: View, port: Fields) -> bool:
    return port.get("owner") != view.player and not _same_team(view, port)


def _same_team(view: View, other: Fields) -> bool:
    return view.team is not None and other.get("team") == view.team


def talk(view: View, random: Random) -> Wish:
    """Say something somewhere."""
    others = [entity.removeprefix("player:") for entity, _ in view.of_kind("player")]
    others = [player for player in others if player != view.player]
    channels = ["global", "sector"] + ["team"] * bool(view.team) + ["private"] * bool(others)
    channel = random.choice(channels)
    said: dict[str, Any] = {"channel": channel, "text": random.choice(PHRASES)}
    if channel == "private":
        said["to"] = random.choice(others)
    return "chat", said


def talk_to_all(view: View, random: Random) -> Wish:
    """What can be done from anywhere."""
    return "chat", {"channel": "global", "text": random.choice(PHRASES)}


def show_up(view: View, random: Random) -> Wish | None:
    """Change the status others see; in combat it is the server's."""
    if view.sector[ship_of(view.player)]["combat_until"]:
        return None
    return "status", {"status": random.choice(("online", "away", "busy"))}


IDEAS: tuple[Callable[[View, Random], Wish | None], ...] = (trade, move, steer, fight, talk, show_up)
WEIGHTS = (35, 20, 20, 12, 10, 3)
