"""A world in which nothing happens by itself, so that every effect of a command can be counted exactly."""

from __future__ import annotations

from gameserver import Context, Game, Rejected

game = Game("depot")

PORT = "port:1"
COUNTER = "counter"


@game.entity
class Port:
    """`spent` counts units ever taken out."""

    stock: int = 0
    spent: int = 0


@game.entity
class Counter:
    count: int = 0


@game.entity
class Mark:
    """What a command leaves behind that was rejected after all: nobody ever sees one."""

    by: str = ""


@game.entity
class Me:
    bought: int = 0
    runs: int = 0


@game.on_create
def found(ctx: Context) -> None:
    sector = ctx.room("sector:1")
    sector.create(PORT)
    sector.create(COUNTER)
    ctx.room("sector:2").create(COUNTER)


@game.command(priority="trade", rate="1000/s")
def restock(ctx: Context, amount: int) -> None:
    ctx.sector[PORT].stock = amount


@game.command(priority="trade", rate="1000/s")
def buy(ctx: Context, amount: int = 1) -> None:
    port = ctx.sector[PORT]
    if port.stock < amount:
        raise Rejected("out_of_stock", "nothing left", have=port.stock, wanted=amount)
    port.stock -= amount
    port.spent += amount
    ctx.me.bought += amount
    ctx.sector.event("trade", by=ctx.player, amount=amount)


@game.command(priority="trade", rate="1000/s")
def count(ctx: Context, by: int = 1) -> None:
    """Different counts of one command are told apart by their sum."""
    ctx.sector[COUNTER].count += by
    ctx.me.runs += 1
    ctx.sector.event("count", by=by)


@game.command(priority="trade", rate="1000/s")
def overreach(ctx: Context) -> None:
    """Do everything a command can do, in three rooms, and then think better of it."""
    sector, elsewhere = ctx.sector, ctx.room("sector:2")
    sector[COUNTER].count += 1
    sector.create(f"mark:{ctx.player}", by=ctx.player)
    sector.delete(PORT)
    sector.event("overreach", by=ctx.player)
    elsewhere[COUNTER].count += 1
    elsewhere.event("overreach", by=ctx.player)
    ctx.me.runs += 1
    ctx.private().event("overreach")
    ctx.move("sector:2")
    raise Rejected("overreached", "that was too much", limit=7, wanted={"marks": [1, 2]}, retry_after=1.5)


@game.command(priority="trade", rate="1000/s")
def stumble(ctx: Context) -> None:
    """A mistake of the game's author."""
    ctx.sector[COUNTER].count += 1
    ctx.me.runs += 1
    raise ZeroDivisionError("the author's mistake")
