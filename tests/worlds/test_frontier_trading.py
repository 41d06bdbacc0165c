"""Buying, selling, prices and the market."""

import pytest

from gameserver.errors import InvalidArgument, NotFound, Rejected
from gameserver.worlds.frontier.entities import HOLD
from gameserver.worlds.frontier.goods import GOODS, price, price_of_buying


def refused(player, command, **arguments):
    """The refusal of a command that has to be refused without a trace."""
    world = player._world
    before = world.states()
    with pytest.raises(Rejected) as caught:
        player.send(command, **arguments)
    assert world.states() == before
    return caught.value


def port(world, number=1):
    return world.entity(f"sector:{number}", f"port:{number}")


def test_buying_moves_goods_one_way_and_credits_the_other(world, ada):
    """Stock, prices, both accounts and the hold change in one commit."""
    before = port(world)
    cost = price_of_buying("ore", before.ore, 20)
    seqs = ada.buy(port="port:1", good="ore", amount=20)
    after = port(world)
    assert seqs.keys() == {"sector:1", "private:ada"}
    assert (ada.me.ore, ada.me.credits) == (20, 1_000 - cost)
    assert (after.ore, after.credits) == (before.ore - 20, before.credits + cost)
    assert after.ore_price == price("ore", after.ore)


def test_selling_is_the_way_back(world, ada):
    """Selling what was just bought restores everything."""
    before, me = port(world), ada.me
    ada.buy(port="port:1", good="ore", amount=20)
    ada.sell(port="port:1", good="ore", amount=20)
    assert vars(port(world)) == vars(before)
    assert vars(ada.me) == vars(me)


def test_the_sector_hears_of_a_trade(ada, bob):
    """Everybody in the sector gets the event, in the lane of trade."""
    ada.buy(port="port:1", good="ore", amount=3)
    (trade,) = bob.heard("trade")
    cost = 1_000 - ada.me.credits
    assert trade.data == {
        "player": "ada",
        "port": "port:1",
        "deal": "buy",
        "good": "ore",
        "amount": 3,
        "credits": cost,
    }
    assert (trade.sender, trade.priority) == ("ada", "trade")


def test_a_trade_pays_where_the_good_is_scarce(world, ada):
    """Sector 1 makes ore and sector 2 uses it up: carrying it over earns."""
    ada.buy(port="port:1", good="ore", amount=50)
    ada.move(to="sector:2")
    ada.sell(port="port:2", good="ore", amount=50)
    assert ada.me.credits > 1_400


def test_the_last_unit_goes_to_exactly_one(world, ada, bob):
    """Two workers at the same moment: one commits, the other runs again and finds nothing left."""
    world.arrange("sector:1", "port:1", ore=1)
    wishes = [player.intend("buy", port="port:1", good="ore", amount=1) for player in (ada, bob)]
    first, second = world.at_once(*wishes)
    assert isinstance(first, dict)
    assert (second.code, second.details) == ("out_of_stock", {"have": 0})
    assert (ada.me.ore, bob.me.ore, port(world).ore) == (1, 0, 0)


def test_a_port_cannot_sell_what_it_does_not_have(world, ada):
    """All or nothing, and the refusal says how much there is."""
    world.arrange("sector:1", "port:1", ore=4)
    refusal = refused(ada, "buy", port="port:1", good="ore", amount=5)
    assert (refusal.code, refusal.details) == ("out_of_stock", {"have": 4})


def test_a_hold_is_only_so_large(world, ada):
    """Drones take room like all goods."""
    world.arrange("private:ada", "me", credits=1_000_000)
    refusal = refused(ada, "buy", port="port:1", good="ore", amount=HOLD - 9)
    assert (refusal.code, refusal.details) == ("hold_full", {"free": HOLD - 10})


def test_one_cannot_spend_what_one_does_not_have(world, ada):
    """The refusal says what it would have cost."""
    world.arrange("private:ada", "me", credits=25)
    refusal = refused(ada, "buy", port="port:1", good="ore", amount=3)
    cost = price_of_buying("ore", port(world).ore, 3)
    assert (refusal.code, refusal.details) == ("not_enough_credits", {"have": 25, "cost": cost})


def test_one_cannot_sell_what_one_does_not_have(ada):
    """Nor on credit."""
    refusal = refused(ada, "sell", port="port:1", good="gas", amount=1)
    assert (refusal.code, refusal.details) == ("not_enough_cargo", {"have": 0})


def test_a_port_without_credits_buys_nothing(world, ada):
    """A port's account never falls below zero."""
    world.arrange("sector:1", "port:1", credits=10)
    world.arrange("private:ada", "me", gas=1)
    refusal = refused(ada, "sell", port="port:1", good="gas", amount=1)
    assert refusal.code == "port_out_of_credits"
    assert refusal.details["have"] == 10


@pytest.mark.parametrize("command", ["buy", "sell"])
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"port": "port:2", "good": "ore", "amount": 1}, NotFound),
        ({"port": "port:99", "good": "ore", "amount": 1}, NotFound),
        ({"port": "ship:ada", "good": "ore", "amount": 1}, InvalidArgument),
        ({"port": "deposit", "good": "ore", "amount": 1}, InvalidArgument),
        ({"port": "port:1", "good": "credits", "amount": 1}, InvalidArgument),
        ({"port": "port:1", "good": "ore", "amount": 0}, InvalidArgument),
        ({"port": "port:1", "good": "ore", "amount": -5}, InvalidArgument),
        ({"port": "port:1", "good": "ore", "amount": 1_001}, InvalidArgument),
        ({"port": "port:1", "good": "ore", "amount": 1.5}, InvalidArgument),
        ({"port": "port:1", "good": "ore"}, InvalidArgument),
        ({"port": "port:1", "good": "ore", "amount": 1, "price": 1}, InvalidArgument),
    ],
)
def test_nonsense_is_refused(world, ada, command, arguments, error):
    """Ports of other sectors, things that are no ports, and amounts that are none."""
    before = world.states()
    with pytest.raises(error):
        ada.send(command, **arguments)
    assert world.states() == before


def test_ports_make_and_use_up_goods(world):
    """What was sold out comes back out of the deposit; what was brought goes into it."""
    deposit = world.entity("sector:1", "deposit")
    world.arrange("sector:1", "port:1", ore=0, gas=GOODS["gas"].scarce + 30)
    world.tick(seconds=10)
    after, left = port(world), world.entity("sector:1", "deposit")
    assert (after.ore, left.ore) == (2 * GOODS["ore"].flow, deposit.ore - 2 * GOODS["ore"].flow)
    assert (after.gas, left.gas) == (GOODS["gas"].scarce, deposit.gas + 30)
    assert (after.ore_price, after.gas_price) == (price("ore", after.ore), price("gas", after.gas))


def test_a_market_in_balance_is_not_written(world):
    """A world at rest stays as it was founded."""
    before = {room: state for room, state in world.states().items() if room.startswith("sector:")}
    world.tick(seconds=11)
    assert {room: world.state(room) for room in before} == before


def test_an_empty_deposit_restocks_nothing(world):
    """Goods come from somewhere or do not come."""
    world.arrange("sector:1", "port:1", ore=0)
    world.arrange("sector:1", "deposit", ore=7)
    world.tick(seconds=20)
    assert (port(world).ore, world.entity("sector:1", "deposit").ore) == (7, 0)
