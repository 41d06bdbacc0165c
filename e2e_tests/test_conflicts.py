"""What becomes of commands that are refused, contested or sent twice: exactly what each should have done, no more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from e2e_tests.conftest import StartFleet
from e2e_tests.store import Store
from e2e_tests.waiting import until
from e2e_tests.workers import DEPOT, Fleet, token
from gameserver.client import Client, CommandRejected
from tests.redis_server import RedisServer

SECTOR = "sector:1"
STOCK = 400
BUYERS = 50
ROUNDS = 25


@pytest.fixture(scope="module")
def fleet(start_fleet: StartFleet) -> Fleet:
    return start_fleet(3, world=DEPOT, commands_per_second=1000, commands_burst=1000, forgiven="the author's mistake")


@pytest.fixture(scope="module")
def depot(redis: RedisServer) -> Store:
    return Store(redis.client(), "depot")


class Door:
    """Lets clients in, on the worker named, and out again at the end."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.clients: list[Client] = []

    async def enter(self, player: str, worker: int = 0) -> Client:
        encoding = "json" if len(self.clients) % 2 else "msgpack"
        client = await Client.connect(self._fleet[worker].url(), token(player), encoding=encoding, reconnect=False)
        self.clients.append(client)
        await client.ready()
        return client


@pytest_asyncio.fixture
async def door(fleet: Fleet, depot: Store) -> AsyncIterator[Door]:
    door = Door(fleet)
    yield door
    await asyncio.gather(*(client.close() for client in door.clients))
    # Their departures are commits, and must not fall into the next test.
    players = {f"player:{client.player}" for client in door.clients}

    def gone() -> bool:
        present = depot.state(SECTOR)
        return not any(present.get(player, {}).get("devices") for player in players)

    await until(gone, "everybody's departure")


async def quiet(store: Store, clients: list[Client]) -> None:
    """Everybody has seen everything in their rooms."""
    for client in clients:
        for room in list(client.rooms):
            await client.reached({room: store.seq(room)})


async def refusal(client: Client, name: str, **arguments: Any) -> CommandRejected:
    with pytest.raises(CommandRejected) as refused:
        await client.command(name, **arguments)
    return refused.value


async def test_a_rejected_command_leaves_no_trace(door: Door, depot: Store) -> None:
    """A handler that wrote, created, deleted, moved and told in three rooms, and then raised Rejected, changed nothing;
    the answer carries its code and details ([CMD8], [ERR1], [ERR2])."""
    client = await door.enter("rueful")
    rooms = [SECTOR, "sector:2", "private:rueful", "global"]
    before = depot.at_once(rooms)
    refused = await refusal(client, "overreach", id="again")
    assert refused.code == "overreached"
    assert refused.details["limit"] == 7
    assert refused.details["wanted"] == {"marks": [1, 2]}
    assert refused.retry_after == 1.5
    assert "too much" in str(refused)
    assert depot.at_once(rooms) == before, "not even a seq"

    # A refusal is not remembered: its id may be used for something else.
    ack = await client.command("count", by=3, id="again")
    await client.reached(ack.seq)
    after = depot.at_once(rooms)
    assert after[SECTOR].seq == before[SECTOR].seq + 1
    assert after[SECTOR].state["counter"]["count"] == before[SECTOR].state["counter"]["count"] + 3
    assert after["private:rueful"].state["me"]["runs"] == before["private:rueful"].state["me"]["runs"] + 1
    assert after["sector:2"] == before["sector:2"]


async def test_a_failing_handler_leaves_no_trace(door: Door, depot: Store) -> None:
    """An exception that the author did not mean is answered with `internal`, and nothing was committed ([ERR1])."""
    client = await door.enter("clumsy")
    before = depot.at_once([SECTOR, "private:clumsy"])
    refused = await refusal(client, "stumble")
    assert refused.code == "internal"
    assert "author" not in str(refused), "what went wrong inside is not for players"
    assert depot.at_once([SECTOR, "private:clumsy"]) == before
    assert client.connected


@pytest.mark.timeout(120)
async def test_a_conflict_storm_sells_every_unit_once(door: Door, depot: Store, fleet: Fleet) -> None:
    """Fifty clients on three workers buy one unit at a time from one port until there is none: as many buys are
    accepted as there were units, and everybody else is told that the stock is out."""
    buyers = [await door.enter(f"buyer{number}", number % 3) for number in range(BUYERS)]
    ack = await buyers[0].command("restock", amount=STOCK)
    spent = depot.state(SECTOR)["port:1"]["spent"]
    start = depot.seq(SECTOR)
    await asyncio.gather(*(buyer.reached(ack.seq) for buyer in buyers))
    accepted: Counter[str] = Counter()

    async def buy_out(buyer: Client) -> CommandRejected:
        while True:
            try:
                await buyer.command("buy", timeout=20.0)
            except CommandRejected as refusal:
                return refusal
            accepted[buyer.player] += 1

    refusals = await asyncio.gather(*(buy_out(buyer) for buyer in buyers))
    await quiet(depot, buyers)
    port = depot.state(SECTOR)["port:1"]
    bought = {buyer.player: depot.state(f"private:{buyer.player}")["me"]["bought"] for buyer in buyers}
    trades = [event for commit in depot.log(SECTOR, start) for event in commit.events if event.name == "trade"]
    print(f"\n{STOCK} units to {BUYERS} buyers: {fleet.metrics('conflicts'):.0f} conflicts")
    assert port == {"stock": 0, "spent": spent + STOCK}
    assert accepted.total() == STOCK
    assert {player: count for player, count in bought.items() if count} == accepted
    assert Counter(event.sender for event in trades) == accepted
    # Nobody was sent away before: not for others being quicker, nor for a stock that was not out.
    assert all(each.code == "out_of_stock" and each.details == {"have": 0, "wanted": 1} for each in refusals), refusals
    assert fleet.metrics("conflicts") > 0, "there was a storm"
    for buyer in buyers:
        assert buyer.rooms[SECTOR].state["port:1"] == port


async def test_the_last_unit_goes_to_exactly_one(door: Door, depot: Store) -> None:
    """Two players on two workers buy the last unit at once, again and again: one gets it, the other is told so."""
    one, other = await door.enter("left", 0), await door.enter("right", 1)
    winners: Counter[str] = Counter()
    for _ in range(ROUNDS):
        ack = await one.command("restock", amount=1)
        await asyncio.gather(one.reached(ack.seq), other.reached(ack.seq))
        before = depot.room(SECTOR)
        answers = await asyncio.gather(one.command("buy"), other.command("buy"), return_exceptions=True)
        after = depot.room(SECTOR)
        refused = [answer for answer in answers if isinstance(answer, CommandRejected)]
        assert [(each.code, each.details) for each in refused] == [("out_of_stock", {"have": 0, "wanted": 1})]
        assert after.seq == before.seq + 1
        assert after.state["port:1"] == {"stock": 0, "spent": before.state["port:1"]["spent"] + 1}
        winners["left" if refused[0] is answers[1] else "right"] += 1
    await quiet(depot, [one, other])
    for player, won in winners.items():
        assert depot.state(f"private:{player}")["me"]["bought"] == won
    print(f"\nthe last unit went to {dict(winners)}")


async def test_a_retry_on_another_worker_has_no_further_effect(door: Door, depot: Store) -> None:
    """The same id with the same command is answered as before, on whichever worker; with another body it is a
    conflict of keys, and the original stands ([CMD4], [CMD6], [CMD7])."""
    first = await door.enter("twice", 0)
    before = depot.state(SECTOR)["counter"]["count"]
    ack = await first.command("count", by=5, id="k-1")
    await first.close()

    second, third = await door.enter("twice", 1), await door.enter("twice", 2)
    start = depot.at_once([SECTOR, "private:twice"])
    for client in (second, third, second):
        assert (await client.command("count", by=5, id="k-1")).seq == ack.seq
    for body in ({"by": 6}, {}):
        assert (await refusal(third, "count", id="k-1", **body)).code == "key_conflict"
    assert (await refusal(third, "buy", id="k-1")).code == "key_conflict"
    after = depot.at_once([SECTOR, "private:twice"])
    assert after == start
    assert after[SECTOR].state["counter"]["count"] == before + 5
    assert after["private:twice"].state["me"]["runs"] == 1


async def test_a_retry_is_answered_as_before_though_it_could_not_be_done_again(door: Door, depot: Store) -> None:
    """Whoever bought the last unit and asks again with the same id, there or elsewhere, is not told that the stock is
    out; nor does a command that changes nothing the second time forget what it did the first time ([CMD6])."""
    first, second = await door.enter("lucky", 0), await door.enter("lucky", 1)
    await first.command("restock", amount=1, id="fill")
    bought = await first.command("buy", id="last one")
    filled = await first.command("restock", amount=2, id="fill again")
    emptied = await first.command("buy", amount=2, id="last two")
    start = depot.room(SECTOR)
    assert start.state["port:1"]["stock"] == 0
    for client in (first, second):
        assert (await client.command("buy", id="last one")).seq == bought.seq
        assert (await client.command("buy", amount=2, id="last two")).seq == emptied.seq
        assert (await client.command("restock", amount=2, id="fill again")).seq == filled.seq
        assert (await refusal(client, "buy", id="another")).code == "out_of_stock"
        assert (await refusal(client, "buy", amount=3, id="last two")).code == "key_conflict"
    assert depot.room(SECTOR) == start
    nothing = await first.command("restock", amount=0, id="nothing")
    assert nothing.seq == {}
    assert (await second.command("restock", amount=0, id="nothing")).seq == {}
    assert depot.room(SECTOR) == start
    assert depot.state("private:lucky")["me"]["bought"] == 3


async def test_an_int_and_its_text_are_two_ids(door: Door, depot: Store) -> None:
    """`7` and `"7"` differ, and ids of one player are not those of another ([CMD3], [CMD4])."""
    one, other = await door.enter("int", 0), await door.enter("str", 1)
    before = depot.state(SECTOR)["counter"]["count"]
    await one.command("count", by=1, id=7)
    await one.command("count", by=10, id="7")
    await other.command("count", by=100, id=7)
    assert (await one.command("count", by=1, id=7)).seq
    assert depot.state(SECTOR)["counter"]["count"] == before + 111


async def test_one_id_sent_to_three_workers_at_once_counts_once(door: Door, depot: Store) -> None:
    """Devices of one player that send the same command at the same moment get the same answer ([CMD4], [CMD6])."""
    devices = [await door.enter("thrice", worker) for worker in range(3)]
    before = depot.state(SECTOR)["counter"]["count"]
    for number in range(10):
        acks = await asyncio.gather(*(device.command("count", by=1, id=number) for device in devices))
        assert acks[0].seq == acks[1].seq == acks[2].seq
    assert depot.state(SECTOR)["counter"]["count"] == before + 10
    assert depot.state("private:thrice")["me"]["runs"] == 10
