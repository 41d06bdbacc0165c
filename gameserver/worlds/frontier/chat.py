"""Talking, being there for others, and the news."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from gameserver import Context, InvalidArgument, NotFound, Rejected
from gameserver.context import PLACEMENT
from gameserver.rooms.names import is_id
from gameserver.worlds.frontier.entities import Ship, game, ship_of

Channel = Literal["global", "sector", "team", "private"]
Text = Annotated[str, Meta(min_length=1, max_length=500)]

BULLETINS = (
    "Pilots are reminded that drones left in a hold defend the ship that carries them.",
    "Ports pay best for what they do not make.",
    "Unclaimed wrecks belong to the port of the sector they lie in.",
    "A port is as strong as the drones it has in stock.",
    "The way round is never longer than it looks on the map.",
)


@game.command(priority="chat", rate="10/s")
def chat(ctx: Context, channel: Channel, text: Text, to: str | None = None) -> None:
    """Say something to everybody, to this sector, to one's team, or to one player (`to`, for channel `private`)."""
    if not text.strip():
        raise InvalidArgument("there is nothing to say in that")
    if (to is not None) != (channel == "private"):
        raise InvalidArgument("'to' names the player for the channel private, and only for it")
    if channel == "global":
        ctx.world.event("chat", channel=channel, text=text, name=ctx.name)
    elif channel == "sector":
        ctx.sector.event("chat", channel=channel, text=text, name=ctx.name)
    elif channel == "team":
        ctx.team_room.event("chat", channel=channel, text=text, name=ctx.name)
    else:
        whisper(ctx, to, text)


def whisper(ctx: Context, to: str | None, text: str) -> None:
    """An event in both players' private rooms. All that is read is whether the other was ever here."""
    if not is_id(to):
        raise InvalidArgument(f"{to!r} is not a player's id")
    if to == ctx.player:
        raise Rejected("to_yourself", "you are talking to yourself")
    # Otherwise every name somebody makes up would become a room in the store, for good.
    if PLACEMENT not in ctx.private(to):
        raise NotFound(f"no pilot is called {to}")
    for room in (ctx.private(), ctx.private(to)):
        room.event("chat", channel="private", text=text, name=ctx.name, to=to)


@game.command(priority="movement", rate="10/s")
def status(ctx: Context, status: Literal["online", "away", "busy"]) -> None:
    """Tell the others in sector and team whether one is there. In combat one is: that is for the server to say."""
    ship: Ship = ctx.sector[ship_of(ctx.player)]
    if ship.combat_until:
        raise Rejected("in_combat", until=ship.combat_until)
    ctx.set_status(status)


@game.tick(hz=1 / 60, rooms="global", priority="system")
def bulletin(ctx: Context, dt: float) -> None:
    """Once a minute there is something for all pilots to know."""
    ctx.world.event("announcement", text=ctx.random.choice(BULLETINS))
