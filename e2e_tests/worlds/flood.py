"""A world whose one sector changes by about 50 kB twenty times a second: what a slow reader cannot keep up with."""

from __future__ import annotations

from gameserver import Context, Game

ENTITIES = 400
TEXT = 110

game = Game("flood")


@game.entity(priority="cosmetic")
class Noise:
    text: str = ""


@game.entity
class Beat:
    count: int = 0


@game.on_create
def fill(ctx: Context) -> None:
    sector = ctx.room("sector:1")
    sector.create("beat")
    for number in range(ENTITIES):
        sector.create(f"noise:{number}")


@game.tick(hz=20, rooms="sector:*", priority="cosmetic")
def flood(ctx: Context, dt: float) -> None:
    beat = ctx.sector["beat"]
    beat.count += 1
    for number in range(ENTITIES):
        ctx.sector[f"noise:{number}"].text = f"{beat.count:08d}" * (TEXT // 8)
    if beat.count % 10 == 0:
        ctx.sector.event("babble", priority="chat", count=beat.count)
    if beat.count % 20 == 0:
        ctx.sector.event("blow", priority="combat", count=beat.count)


@game.command(roles=("player",))
def hush(ctx: Context) -> None:
    """Stop the flood: the world stands still and everybody can be compared."""
    ctx.room("control")["ticking"].paused = True
