"""The worlds under load in `benchmarks/`: they do as little as possible themselves, so that the bus is measured.

A player's id says where it begins: `p.7.123` in `sector:7`. BENCHMARK_ENTITIES (of each room) and,
for the world that ticks, BENCHMARK_SHIPS and BENCHMARK_HZ say how large a world is.
"""

from __future__ import annotations

import os
import time
from collections import deque

from gameserver import Context, Game
from gameserver.bench.world import UNLIMITED, declare_commands, declare_entities, declare_shelves
from gameserver.context import PLACEMENT
from gameserver.state.draft import RoomDraft

ENTITIES = int(os.environ.get("BENCHMARK_ENTITIES", "100"))
SHIPS = int(os.environ.get("BENCHMARK_SHIPS", "40"))
HZ = float(os.environ.get("BENCHMARK_HZ", "10"))
BACKSTAGE = "backstage"
"""Where players are who only send."""
NO_STAMP = "@T:" + 16 * "0"


def room_called(name: str) -> str:
    return f"sector:{name}"


def player_in(room: str, number: int) -> str:
    return f"p.{room}.{number}"


def build(name: str, *, ticking: bool) -> Game:
    game = Game(name, start=room_called(BACKSTAGE))
    declare_entities(game)
    declare_shelves(game)
    declare_commands(game)
    declare_beacons(game)
    declare_rooms(game, ships=SHIPS if ticking else 0)
    if ticking:
        declare_flight(game)
    return game


def declare_beacons(game: Game) -> None:
    @game.entity
    class Beacon:
        text: str = ""

    @game.command(rate=UNLIMITED)
    def mark(ctx: Context, room: str, slot: str, text: str) -> None:
        """What others' messages are to their rooms: a text, in one entity of a room."""
        ctx.room(room_called(room))[f"beacon:{slot}"].text = text


def declare_rooms(game: Game, ships: int) -> None:
    @game.entity
    class Clock:
        """When the tick of the room was due, as the load reads times."""

        stamp: str = NO_STAMP

    @game.on_create
    def open_backstage(ctx: Context) -> None:
        ctx.room(room_called(BACKSTAGE)).create("gate")

    @game.on_first_join
    def place(ctx: Context) -> None:
        """A room is furnished for whoever comes first: a thousand of them would be too much for one commit."""
        sector = room_called(ctx.player.split(".")[1])
        ctx.private()[PLACEMENT].sector = sector
        here = ctx.room(sector)
        if "gate" not in here:
            here.create("gate")
            furnish(here, ships)


def furnish(room: RoomDraft, ships: int) -> None:
    """Beacons, or else ships and a clock."""
    for ship in range(ships):
        room.create(f"ship:{ship}", x=float(ship))
    if ships:
        room.create("clock")
        return
    for slot in range(ENTITIES):
        room.create(f"beacon:{slot:02}")


def declare_flight(game: Game) -> None:
    beats: dict[str, Beat] = {}

    @game.tick(hz=HZ, rooms="sector:*")
    def fly(ctx: Context, dt: float) -> None:
        """Every ship of the room moves."""
        here = ctx.sector
        if "clock" not in here:
            return
        for _, ship in here.all("ship"):
            ship.x += dt
            ship.y -= dt
        late = beats.setdefault(ctx.here, Beat(1 / HZ)).lateness(ctx.now)
        # From the clock on the wall, which the tick is given, to the one that the load reads.
        due = time.monotonic() - (time.time() - ctx.now) - late
        here["clock"].stamp = f"@T:{int(due * 1e9):016x}"


class Beat:
    """When ticks were due, told from when they began: the punctual ones among the latest show where the beat is."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._number = 0
        self._last = 0.0
        self._offsets: deque[float] = deque(maxlen=30)

    def lateness(self, began: float) -> float:
        """By how many seconds the tick that began now is late. One that was left out is not waited for."""
        self._number += max(1, round((began - self._last) / self._period)) if self._offsets else 0
        self._last = began
        self._offsets.append(began - self._number * self._period)
        return self._offsets[-1] - min(self._offsets)


game = build("bench", ticking=False)
flying = build("bench-flying", ticking=True)
