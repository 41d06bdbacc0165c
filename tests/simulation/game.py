"""A game that can be audited: every command says in an event of its own commit what it changed.

So the log of events is a second account of the state, kept by the same atomic step: the two must agree.
"""

from __future__ import annotations

from typing import Any

from gameserver import Game, Rejected
from gameserver.context import Context

SECTORS = ("sector:1", "sector:2")
COUNTERS = tuple(f"counter:{number}" for number in range(1, 4))
AT_FIRST = 3
"""What every counter is created with."""
DID = "did"
TICKED = "ticked"
TICK_HZ = 2.0


def audited() -> Game:
    """The game anew: what is declared belongs to one run."""
    game = Game("audited", start=SECTORS[0])

    @game.entity(kind="counter")
    class Counted:
        n: int = 0

    @game.entity(kind="clock")
    class Ticked:
        n: int = 0

    @game.entity(kind="item")
    class Item:
        by: str = ""

    @game.entity
    class Me:
        done: int = 0

    @game.on_create
    def create(ctx: Context) -> None:
        for name in (*SECTORS, "global"):
            room = ctx.room(name)
            for counter in COUNTERS:
                room.create(counter, n=AT_FIRST)
            if name != "global":
                room.create("clock:1")

    def did(ctx: Context, room: Any, tag: str, **changes: Any) -> None:
        ctx.me.done += 1
        room.event(DID, tag=tag, **changes)

    @game.command(rate="1000/s")
    def add(ctx: Context, tag: str, counter: str) -> None:
        ctx.sector[counter].n += 1
        did(ctx, ctx.sector, tag, plus=counter)

    @game.command(rate="1000/s")
    def trade(ctx: Context, tag: str, giver: str, taker: str) -> None:
        if ctx.sector[giver].n <= 0:
            raise Rejected("empty")
        ctx.sector[giver].n -= 1
        ctx.sector[taker].n += 1
        did(ctx, ctx.sector, tag, minus=giver, plus=taker)

    @game.command(rate="1000/s")
    def shout(ctx: Context, tag: str, counter: str) -> None:
        ctx.world[counter].n += 1
        did(ctx, ctx.world, tag, plus=counter)

    @game.command(rate="1000/s")
    def go(ctx: Context, tag: str, to: str) -> None:
        ctx.move(to)
        did(ctx, ctx.sector, tag)

    @game.command(rate="1000/s")
    def place(ctx: Context, tag: str) -> None:
        ctx.sector.create(f"item:{tag}", by=ctx.player)
        did(ctx, ctx.sector, tag, placed=f"item:{tag}")

    @game.command(rate="1000/s")
    def take(ctx: Context, tag: str) -> None:
        items = ctx.sector.ids("item")
        if not items:
            raise Rejected("nothing_there")
        first = min(items)
        ctx.sector.delete(first)
        did(ctx, ctx.sector, tag, taken=first)

    @game.tick(hz=TICK_HZ, rooms="sector:*")
    def tick(ctx: Context, dt: float) -> None:
        ctx.sector["clock:1"].n += 1
        ctx.sector.event(TICKED)

    return game
