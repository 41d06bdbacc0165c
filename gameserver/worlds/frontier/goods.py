"""What is traded and what it costs: integers and pure functions, so that no credit is ever rounded away.

A port's price for one unit depends on its stock alone: twice the good's base price when there is none, the
base price at the usual stock, and falling further to 1. A unit is bought at the price shown before, and sold at
the price shown after it. So buying and selling again at one port, in any portions, neither gains nor loses, and
whoever wants to earn has to fly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GoodName = Literal["ore", "gas", "drones"]


@dataclass(frozen=True, slots=True)
class Good:
    """`usual` is the stock at which one unit costs `base` credits.

    A port that makes the good strives for `plenty` of it, one that uses it up for `scarce`, in steps of `flow`.
    """

    base: int
    usual: int

    @property
    def plenty(self) -> int:
        return self.usual * 3 // 2

    @property
    def scarce(self) -> int:
        return self.usual // 2

    @property
    def flow(self) -> int:
        return self.usual // 20


GOODS: dict[str, Good] = {
    "ore": Good(base=20, usual=1000),
    "gas": Good(base=40, usual=500),
    "drones": Good(base=100, usual=60),
}


def price(good: str, stock: int) -> int:
    """Credits for one unit at this stock."""
    terms = GOODS[good]
    return max(1, terms.base * (2 * terms.usual - stock) // terms.usual)


def price_of_buying(good: str, stock: int, amount: int) -> int:
    """Credits for `amount` units taken one after the other from a port that has `stock`."""
    return sum(price(good, stock - taken) for taken in range(amount))


def price_of_selling(good: str, stock: int, amount: int) -> int:
    """Credits for `amount` units brought one after the other to a port that has `stock`."""
    return price_of_buying(good, stock + amount, amount)


def restock(stock: int, target: int, flow: int, reserve: int) -> int:
    """How much moves from the reserve into the stock; negative the other way."""
    if stock < target:
        return min(target - stock, flow, reserve)
    return -min(stock - target, flow)
