"""The worlds under load: rooms whose contents a tick changes, and commands that do next to nothing.

Little of the time is the game's own, so what is measured is the bus. Players are spread evenly over the rooms by the
number their id ends with.
"""

from __future__ import annotations

from gameserver import Context, Game, f32
from gameserver.context import PLACEMENT

ROOMS = 20
SHIPS = 40
CHANGED = 5
"""Entities that one tick changes in a room: the pulse and four ships."""
HZ = 20.0
SIGN = "@S:here"
"""Stands in every sector, and in no other message than its snapshot: who has read it has arrived."""
ITEMS = 200
SHELVES = "team:shelves"
"""A room that nobody is in: commands on its items are answered, and cause no deliveries."""
ATTIC = "team:attic"
"""A second one; items are moved between the two."""
UNLIMITED = "1000000/s"


def room_of(number: int) -> str:
    """The room of player, or of room, `number`."""
    return f"sector:{number % ROOMS}"


def rooms() -> list[str]:
    return [room_of(number) for number in range(ROOMS)]


def item(number: int) -> str:
    return f"item:{number % ITEMS}"


def crate(number: int) -> str:
    return f"crate:{number % ITEMS}"


def build(name: str, *, ticking: bool) -> Game:
    """A world; `ticking` ones change by themselves."""
    game = Game(name, start=room_of(0))
    declare_entities(game)
    declare_sectors(game)
    declare_shelves(game)
    declare_commands(game)
    if ticking:
        declare_tick(game)
    return game


def declare_entities(game: Game) -> None:
    @game.entity
    class Me:
        marks: int = 0

    @game.entity
    class Gate:
        sign: str = SIGN

    @game.entity
    class Ship:
        x: f32 = 0.0
        y: f32 = 0.0

    @game.entity
    class Pulse:
        """`stamp` is when the tick began, in seconds since the Unix epoch: receivers measure latency from it."""

        stamp: float = 0.0
        turn: int = 0

    @game.entity
    class Item:
        number: int = 0
        weight: float = 0.0

    @game.entity
    class Crate:
        """Like an item, but wandering between two rooms."""

        number: int = 0
        weight: float = 0.0


def declare_sectors(game: Game) -> None:
    @game.on_create
    def furnish(ctx: Context) -> None:
        for room in rooms():
            ctx.room(room).create("gate")
            ctx.room(room).create("pulse")
            for number in range(SHIPS):
                ctx.room(room).create(f"ship:{number}", x=float(number))
            for number in range(ITEMS // ROOMS):
                ctx.room(room).create(item(number))

    @game.on_first_join
    def spread(ctx: Context) -> None:
        ctx.private()[PLACEMENT].sector = room_of(int(ctx.player.rpartition("-")[2]))


def declare_shelves(game: Game) -> None:
    """What the commands below are about."""

    @game.on_create
    def stock(ctx: Context) -> None:
        for number in range(ITEMS):
            ctx.room(SHELVES).create(item(number))
            ctx.room(SHELVES if number % 2 else ATTIC).create(crate(number))


def declare_commands(game: Game) -> None:
    @game.command(rate=UNLIMITED)
    def nothing(ctx: Context, what: int, by: int) -> None:
        """Validated, run and answered, but nothing is committed."""

    @game.command(rate=UNLIMITED)
    def bump(ctx: Context, what: int, by: int) -> None:
        """Change an item of a room nobody is in."""
        ctx.room(SHELVES)[item(what)].number += by

    @game.command(rate=UNLIMITED)
    def shift(ctx: Context, what: int, by: int) -> None:
        """Take a crate from one room to another: two rooms, one commit."""
        move_crate(ctx, crate(what))


def move_crate(ctx: Context, name: str) -> None:
    origin, target = ctx.room(SHELVES), ctx.room(ATTIC)
    if name not in origin:
        origin, target = target, origin
    content = vars(origin[name])
    origin.delete(name)
    target.create(name, **content)


def declare_tick(game: Game) -> None:
    @game.tick(hz=HZ, rooms="sector:*")
    def drift(ctx: Context, dt: float) -> None:
        """Change a few ships, each time others, and the pulse."""
        pulse = ctx.sector["pulse"]
        pulse.stamp = ctx.now
        turn = pulse.turn = pulse.turn + 1
        for number in range(CHANGED - 1):
            ship = ctx.sector[f"ship:{(turn * (CHANGED - 1) + number) % SHIPS}"]
            ship.x += dt
            ship.y -= dt


game = build("bench", ticking=True)
quiet = build("bench-quiet", ticking=False)
