"""A world that writes down every command by its number, so that a lost one and a doubled one can be told apart.

A player called `<room>.<name>` lives in the sector of that number.
"""

from __future__ import annotations

from gameserver import Context, Game
from gameserver.context import PLACEMENT

game = Game("register")


@game.entity
class Me:
    numbers: list[int] | None = None


@game.entity
class Tally:
    """How often anybody in the sector signed."""

    count: int = 0


@game.on_first_join
def settle(ctx: Context) -> None:
    sector = f"sector:{ctx.player.partition('.')[0]}"
    ctx.private()[PLACEMENT].sector = sector
    if "tally" not in ctx.room(sector):
        ctx.room(sector).create("tally")


@game.command(priority="trade", rate="1000/s")
def sign(ctx: Context, number: int) -> None:
    ctx.me.numbers = [*(ctx.me.numbers or ()), number]
    ctx.sector["tally"].count += 1
    ctx.sector.event("signed", by=ctx.player, number=number)
