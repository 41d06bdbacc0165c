"""Trading with ports: goods go one way and credits the other, in one commit."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gameserver import Context, InvalidArgument, Rejected
from gameserver.worlds.frontier.entities import DEPOSIT, Deposit, Me, Port, free_hold, game
from gameserver.worlds.frontier.goods import GOODS, GoodName, price, price_of_buying, price_of_selling, restock

Amount = Annotated[int, Meta(ge=1, le=1_000)]


@game.command(priority="trade", rate="20/s")
def buy(ctx: Context, port: str, good: GoodName, amount: Amount) -> None:
    """Buy from a port of this sector, all of the amount or nothing."""
    seller = find_port(ctx, port)
    me: Me = ctx.me
    stock: int = getattr(seller, good)
    if stock < amount:
        raise Rejected("out_of_stock", have=stock)
    if free_hold(me) < amount:
        raise Rejected("hold_full", free=free_hold(me))
    cost = price_of_buying(good, stock, amount)
    if me.credits < cost:
        raise Rejected("not_enough_credits", have=me.credits, cost=cost)
    transfer(good, amount, seller, me)
    transfer("credits", cost, me, seller)
    show_prices(seller)
    ctx.sector.event("trade", player=ctx.player, port=port, deal="buy", good=good, amount=amount, credits=cost)


@game.command(priority="trade", rate="20/s")
def sell(ctx: Context, port: str, good: GoodName, amount: Amount) -> None:
    """Sell to a port of this sector, all of the amount or nothing."""
    buyer = find_port(ctx, port)
    me: Me = ctx.me
    have: int = getattr(me, good)
    if have < amount:
        raise Rejected("not_enough_cargo", have=have)
    proceeds = price_of_selling(good, getattr(buyer, good), amount)
    if buyer.credits < proceeds:
        raise Rejected("port_out_of_credits", have=buyer.credits, cost=proceeds)
    transfer(good, amount, me, buyer)
    transfer("credits", proceeds, buyer, me)
    show_prices(buyer)
    ctx.sector.event("trade", player=ctx.player, port=port, deal="sell", good=good, amount=amount, credits=proceeds)


@game.tick(hz=0.2, rooms="sector:*", priority="trade")
def market(ctx: Context, dt: float) -> None:
    """Ports make what they make out of the sector's deposit, and return to it what they use up."""
    deposit: Deposit = ctx.sector[DEPOSIT]
    port: Port
    for _, port in ctx.sector.all("port"):
        for good, terms in GOODS.items():
            target = terms.plenty if port.makes == good else terms.scarce
            amount = restock(getattr(port, good), target, terms.flow, getattr(deposit, good))
            transfer(good, amount, deposit, port)
        show_prices(port)


def find_port(ctx: Context, port: str) -> Port:
    """Raises InvalidArgument for what is not a port's id, NotFound when this sector has no such port."""
    if not port.startswith("port:"):
        raise InvalidArgument(f"{port!r} is not a port")
    found: Port = ctx.sector[port]
    return found


def transfer(what: str, amount: int, giver: object, taker: object) -> None:
    """Move goods or credits from one account to another: the one way anything booked ever changes hands."""
    setattr(giver, what, getattr(giver, what) - amount)
    setattr(taker, what, getattr(taker, what) + amount)


def show_prices(port: Port) -> None:
    """Bring the prices into line with the stock."""
    for good in GOODS:
        setattr(port, f"{good}_price", price(good, getattr(port, good)))
