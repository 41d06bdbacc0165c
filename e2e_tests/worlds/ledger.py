"""A world that keeps account of numbered commands: what was applied, and how often, stands in its state."""

from __future__ import annotations

from gameserver import Context, Game

game = Game("ledger")

TALLY = "tally"
CLOCK = "clock"
CLOCKED = "sector:2"
"""Where nothing but ticks write, and no player is."""


@game.entity
class Tally:
    """`total` counts what was entered by anybody."""

    total: int = 0


@game.entity
class Mark:
    """One numbered command of one player, in their private room."""

    times: int = 0


@game.entity
class Clock:
    beats: int = 0


@game.entity
class Me:
    entered: int = 0


@game.on_create
def found(ctx: Context) -> None:
    ctx.room("sector:1").create(TALLY)
    ctx.room(CLOCKED).create(CLOCK)


@game.command(priority="trade", rate="1000/s")
def enter(ctx: Context, number: int) -> None:
    """Two rooms in one commit: everybody's tally, and the player's own mark of this number."""
    mark = f"mark:{number}"
    private = ctx.private()
    held = private.get(mark) or private.create(mark)
    held.times += 1
    ctx.me.entered += 1
    ctx.sector[TALLY].total += 1
    ctx.sector.event("entered", by=ctx.player, number=number)


@game.command(priority="trade", rate="1000/s")
def stuff(ctx: Context, key: int, size: int) -> None:
    """Fill the player's private room: `size` bytes under one of several keys."""
    name = f"stuff:{key}"
    private = ctx.private()
    held = private.get(name) or private.create(name)
    held.text = f"{ctx.random.randrange(10**9):09d}" * (size // 9 + 1)


@game.entity
class Stuff:
    text: str = ""


@game.tick(hz=10, rooms=CLOCKED)
def beat(ctx: Context, dt: float) -> None:
    ctx.sector[CLOCK].beats += 1
