"""Flying: within a sector by steering, between sectors along the links."""

from __future__ import annotations

import math

from gameserver import Context, Rejected
from gameserver.worlds.frontier.entities import SECTOR, Ship, game, ship_of

EDGE = 1_000.0
"""A sector reaches from -EDGE to EDGE in x and in y."""
SPEED = 100.0
"""The fastest a ship flies, in units per second."""


@game.command(priority="movement", rate="10/s")
def move(ctx: Context, to: str) -> None:
    """Fly through a link into another sector. `to` is the name of a room in the sector's `links`."""
    origin = ctx.sector
    links: list[str] = origin[SECTOR].links
    if to != origin.room and to not in links:
        raise Rejected("no_link", f"no link leads from {origin.room} to {to}", links=links)
    ship: Ship = origin[ship_of(ctx.player)]
    ctx.move(to)
    origin.delete(ship_of(ctx.player))
    # What flies out on one side comes in on the other.
    ctx.sector.create(ship_of(ctx.player), **{**vars(ship), "x": -ship.x, "y": -ship.y})
    origin.event("leave", player=ctx.player, name=ctx.name, destination=to)
    ctx.sector.event("enter", player=ctx.player, name=ctx.name, origin=origin.room)


@game.command(priority="movement", rate="20/s")
def steer(ctx: Context, vx: float, vy: float) -> None:
    """Set the ship's velocity. A wish for more than the ship can do keeps its direction."""
    ship: Ship = ctx.sector[ship_of(ctx.player)]
    speed = math.hypot(vx, vy)
    scale = min(1.0, SPEED / speed) if speed else 1.0
    ship.vx, ship.vy = vx * scale, vy * scale


@game.tick(hz=10, rooms="sector:*")
def drift(ctx: Context, dt: float) -> None:
    """Fly all ships on. Those at rest are not written, and a ship that reaches the edge comes to rest there."""
    ship: Ship
    for _, ship in ctx.sector.all("ship"):
        if ship.vx or ship.vy:
            ship.x, ship.vx = glide(ship.x, ship.vx, dt)
            ship.y, ship.vy = glide(ship.y, ship.vy, dt)


def glide(position: float, velocity: float, dt: float) -> tuple[float, float]:
    """Position and velocity along one axis after `dt` seconds."""
    position += velocity * dt
    if abs(position) < EDGE:
        return position, velocity
    return math.copysign(EDGE, position), 0.0
