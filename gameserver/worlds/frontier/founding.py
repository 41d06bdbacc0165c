"""How the world begins, and what a player begins with."""

from __future__ import annotations

from gameserver import Context
from gameserver.worlds.frontier.books import PORT_CREDITS, reserve_at_founding, stock_at_founding
from gameserver.worlds.frontier.entities import (
    DEPOSIT,
    GALAXY,
    SECTOR,
    START_CREDITS,
    START_DRONES,
    Me,
    game,
    grant,
    ship_of,
)
from gameserver.worlds.frontier.galaxy import LINKS, NAMES, SECTORS, port_of, produce_of, room_of
from gameserver.worlds.frontier.goods import GOODS
from gameserver.worlds.frontier.trading import show_prices


@game.on_create
def found(ctx: Context) -> None:
    """Fill the global room and all sectors."""
    names = {room_of(number): NAMES[number - 1] for number in SECTORS}
    ctx.world.create(GALAXY, links=LINKS, names=names)
    for number in SECTORS:
        room = ctx.room(room_of(number))
        room.create(SECTOR, name=NAMES[number - 1], links=LINKS[room_of(number)])
        room.create(DEPOSIT, **{good: reserve_at_founding(good, number) for good in GOODS})
        port = room.create(
            port_of(number),
            name=f"{NAMES[number - 1]} Port",
            makes=produce_of(number),
            credits=PORT_CREDITS,
            **{good: stock_at_founding(good, number) for good in GOODS},
        )
        show_prices(port)


@game.on_first_join
def equip(ctx: Context) -> None:
    """A new player's grant."""
    me: Me = ctx.private().create("me")
    grant(me, credits=START_CREDITS, drones=START_DRONES)


@game.on_enter
def launch(ctx: Context) -> None:
    """Put the player's ship into the sector they are in."""
    ship = ship_of(ctx.player)
    if ship not in ctx.sector:
        ctx.sector.create(ship)
    ctx.sector.event("enter", player=ctx.player, name=ctx.name)


@game.on_leave
def dock(ctx: Context) -> None:
    """Take the ship out of space. What it carried is the player's, and stays in their private room."""
    ctx.sector.discard(ship_of(ctx.player))
    ctx.sector.event("leave", player=ctx.player, name=ctx.name)
