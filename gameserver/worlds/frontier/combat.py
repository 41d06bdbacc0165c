"""Fighting: drones against another player's ship, or against a port to take control of it.

Nothing is lost from the books: shot drones lie as wrecks in the sector's deposit, the cargo of a destroyed ship goes to
the victor as far as it fits and else into the deposit.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Annotated

from msgspec import Meta

from gameserver import Context, InvalidArgument, Rejected
from gameserver.worlds.frontier.entities import DEPOSIT, SECTOR, Me, Port, Ship, free_hold, game, grant, ship_of
from gameserver.worlds.frontier.goods import GOODS
from gameserver.worlds.frontier.trading import find_port, show_prices, transfer

COMBAT_MS = 10_000
"""For how long after the last shot a player counts as in combat."""
SHIELD_MS = 10_000
"""For how long a ship that was destroyed cannot be attacked again."""
BEST, WORST = 80, 40
"""Per cent of the drones sent that hit."""
PRIZE = 10
"""The victor takes one credit in this many."""
STAKE = 200
"""What the insurance makes up for after a loss, so that nobody is out of the game."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What both sides lost; `through` when hits were left after the last defending drone."""

    attacker_lost: int
    target_lost: int
    through: bool


def exchange(attacking: int, defending: int, random: Random) -> Exchange:
    """Both sides shoot at once; each hit costs the other side a drone."""
    landed, answered = hits(attacking, random), hits(defending, random)
    return Exchange(min(attacking, answered), min(defending, landed), landed > defending)


def hits(drones: int, random: Random) -> int:
    """At least one hit from any drone at all."""
    return -(-drones * random.randint(WORST, BEST) // 100)


@game.command(priority="combat", rate="10/s")
def attack(ctx: Context, target: str, drones: Annotated[int, Meta(ge=1, le=1_000)]) -> None:
    """Send drones against a port (`port:3`) or a player's ship (`ship:ana` or `player:ana`) in this sector."""
    me: Me = ctx.me
    if me.drones < drones:
        raise Rejected("not_enough_drones", have=me.drones)
    kind, _, name = target.partition(":")
    if kind == "port":
        attack_port(ctx, me, target, drones)
    elif kind in ("ship", "player") and name:
        attack_ship(ctx, me, name, drones)
    else:
        raise InvalidArgument(f"{target!r} is neither a port nor a ship")


def attack_ship(ctx: Context, me: Me, victim: str, drones: int) -> None:
    if victim == ctx.player:
        raise Rejected("own_ship")
    ship: Ship = ctx.sector[ship_of(victim)]
    if ctx.team and ctx.team == ctx.presence(victim).team:
        raise Rejected("same_team")
    now = milliseconds(ctx)
    if ship.shielded_until > now:
        raise Rejected("shielded", until=ship.shielded_until)
    open_fire(ctx)
    enter_combat(ctx, victim, ship)
    theirs: Me = ctx.private(victim)["me"]
    result = exchange(drones, theirs.drones, ctx.random)
    wreck(ctx, me, result.attacker_lost)
    wreck(ctx, theirs, result.target_lost)
    if result.through:
        loot(ctx, me, theirs)
        respawn(ship, now)
    report(ctx, ship_of(victim), drones, result, "destroyed" if result.through else "held")
    alert(ctx, victim, "ship_attacked", ship_of(victim), "destroyed" if result.through else "held")


def attack_port(ctx: Context, me: Me, target: str, drones: int) -> None:
    port = find_port(ctx, target)
    if port.owner == ctx.player:
        raise Rejected("own_port")
    if ctx.team and port.team == ctx.team:
        raise Rejected("same_team")
    open_fire(ctx)
    owner = port.owner
    result = exchange(drones, port.drones, ctx.random)
    wreck(ctx, me, result.attacker_lost)
    wreck(ctx, port, result.target_lost)
    show_prices(port)
    if result.through:
        take_over(ctx, me, port)
    report(ctx, target, drones, result, "taken" if result.through else "held")
    if owner:
        alert(ctx, owner, "port_attacked", target, "taken" if result.through else "held")


def open_fire(ctx: Context) -> None:
    """Whoever shoots is in combat, and has no shield any more."""
    ship: Ship = ctx.sector[ship_of(ctx.player)]
    ship.shielded_until = 0
    enter_combat(ctx, ctx.player, ship)


def wreck(ctx: Context, side: Me | Port, drones: int) -> None:
    """Shot drones lie in the sector as wrecks, until a port makes new ones of them."""
    transfer("drones", drones, side, ctx.sector[DEPOSIT])


def loot(ctx: Context, victor: Me, loser: Me) -> None:
    """Divide what a destroyed ship carried, and see to it that its owner can go on."""
    for good in GOODS:
        carried: int = getattr(loser, good)
        taken = min(carried, free_hold(victor))
        transfer(good, taken, loser, victor)
        transfer(good, carried - taken, loser, ctx.sector[DEPOSIT])
    transfer("credits", loser.credits // PRIZE, loser, victor)
    grant(loser, credits=max(0, STAKE - loser.credits))
    victor.kills += 1
    loser.losses += 1


def respawn(ship: Ship, now: int) -> None:
    """A new ship of the same player, at rest by the port and shielded for a while."""
    ship.x = ship.y = ship.vx = ship.vy = 0.0
    ship.shielded_until = now + SHIELD_MS


def take_over(ctx: Context, victor: Me, port: Port) -> None:
    """Control of the port, and with it of the sector, changes hands; a part of its account is the prize."""
    port.owner = ctx.sector[SECTOR].owner = ctx.player
    port.team = ctx.team
    transfer("credits", port.credits // PRIZE, port, victor)
    ctx.world.event("announcement", "system", text=f"{ctx.name} has taken {port.name}.")
    if ctx.team:
        ctx.team_room.event("activity", player=ctx.player, name=ctx.name, what="port_taken", sector=ctx.here)


def report(ctx: Context, target: str, drones: int, result: Exchange, outcome: str) -> None:
    """Show the exchange to everybody in the sector."""
    ctx.sector.event(
        "combat",
        attacker=ctx.player,
        target=target,
        drones=drones,
        attacker_lost=result.attacker_lost,
        target_lost=result.target_lost,
        outcome=outcome,
    )


def alert(ctx: Context, owner: str, reason: str, target: str, outcome: str) -> None:
    """Tell the one who was attacked, wherever they are. Only appends: their room need not be loaded here for it."""
    ctx.private(owner).event(
        "alert", reason=reason, target=target, sector=ctx.here, by=ctx.player, name=ctx.name, outcome=outcome
    )


def enter_combat(ctx: Context, player: str, ship: Ship) -> None:
    """From now on, or for longer, the player is in combat."""
    if not ship.combat_until:
        ship.status_before = ctx.presence(player).status
        ctx.set_status("in_combat", player)
    ship.combat_until = milliseconds(ctx) + COMBAT_MS


@game.tick(hz=1, rooms="sector:*", priority="combat")
def cease_fire(ctx: Context, dt: float) -> None:
    """Players whose last fight is over go back to the status they had before; shields wear off."""
    now = milliseconds(ctx)
    ship: Ship
    for entity, ship in ctx.sector.all("ship"):
        if 0 < ship.combat_until <= now:
            player = entity.removeprefix("ship:")
            if ctx.is_present(player):
                ctx.set_status(ship.status_before or "online", player)
            ship.combat_until = 0
            ship.status_before = None
        if 0 < ship.shielded_until <= now:
            ship.shielded_until = 0


def milliseconds(ctx: Context) -> int:
    """Now, as it is kept in state."""
    return int(ctx.now * 1000)
