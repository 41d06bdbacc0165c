"""Redis carries a commit out and its reply never arrives: every command takes effect once, and is answered at last."""

from __future__ import annotations

import asyncio
import time

import pytest

from e2e_tests.conftest import StartFleet
from e2e_tests.store import Store
from e2e_tests.waiting import until
from e2e_tests.workers import DEPOT, Fleet, Server, token
from gameserver.client import Client, CommandRejected
from gameserver.lab.faulty_redis import FaultyRedis
from tests.redis_server import RedisServer

SECTOR = "sector:1"
ROUNDS = 8


@pytest.fixture(scope="module")
def fleet(start_fleet: StartFleet, proxy: FaultyRedis) -> Fleet:
    """The first worker reaches Redis by the faulty way."""
    return start_fleet(2, world=DEPOT, redis_urls={0: proxy.url}, commands_per_second=1000)


@pytest.fixture(scope="module")
def depot(redis: RedisServer) -> Store:
    return Store(redis.client(), "depot")


async def connect(fleet: Fleet, player: str, worker: int) -> Client:
    client = await Client.connect(fleet[worker].url(), token(player), reconnect=False)
    await client.ready()
    return client


async def persist(client: Client, command_id: str, by: int) -> None:
    """Count, with the same id again for as long as the store cannot be reached."""
    for _ in range(10):
        try:
            await client.command("count", by=by, id=command_id, timeout=15.0)
            return
        except CommandRejected as refused:
            if refused.code != "unavailable":
                raise
            await asyncio.sleep(refused.retry_after or 0.1)
    raise AssertionError(f"{command_id} was never answered")


@pytest.mark.parametrize("executed", [True, False], ids=["reply lost", "request lost"])
async def test_a_lost_reply_applies_once(fleet: Fleet, depot: Store, proxy: FaultyRedis, executed: bool) -> None:
    """The line to Redis breaks right after a commit was carried out, or right before: the worker asks again, and the
    client gets its answer; when it asks again itself, on either worker, it gets the same ([CMD5], [CMD6])."""
    player = f"unlucky-{executed}".lower()
    client, other = await connect(fleet, player, 0), await connect(fleet, player, 1)
    count = depot.state(SECTOR)["counter"]["count"]
    for number in range(ROUNDS):
        before = depot.seq(SECTOR)
        cut = proxy.cut(f"{player}/{number}".encode(), executed=executed)
        ack = await client.command("count", by=1, id=f"{player}/{number}")
        assert cut.is_set()
        assert ack.seq[SECTOR] == depot.seq(SECTOR) == before + 1
        assert depot.state(SECTOR)["counter"]["count"] == count + number + 1
        for again in (client, other):
            assert (await again.command("count", by=1, id=f"{player}/{number}")).seq == ack.seq
    await client.reached({SECTOR: depot.seq(SECTOR)})
    assert depot.state(SECTOR)["counter"]["count"] == count + ROUNDS
    assert depot.state(f"private:{player}")["me"]["runs"] == ROUNDS
    assert client.rooms[SECTOR].state == depot.state(SECTOR)
    assert client.stats.disconnections == 0, "players do not notice that a line behind the worker broke"
    await asyncio.gather(client.close(), other.close())


async def test_many_lost_replies_under_load(fleet: Fleet, depot: Store, proxy: FaultyRedis) -> None:
    """Twenty clients count while the line breaks again and again: each count is there once, by its own weight."""
    clients = [await connect(fleet, f"busy{number}", number % 2) for number in range(20)]
    before = depot.state(SECTOR)["counter"]["count"]
    cuts = [
        proxy.cut(f"busy{number}-{turn}/".encode(), executed=turn % 2 == 0)
        for number in (0, 2, 4)
        for turn in (2, 5, 8)
    ]

    async def count(number: int, client: Client) -> None:
        for turn in range(10):
            await persist(client, f"busy{number}-{turn}/", 1 + number)

    await asyncio.gather(*(count(number, client) for number, client in enumerate(clients)))
    assert all(cut.is_set() for cut in cuts)
    assert depot.state(SECTOR)["counter"]["count"] == before + 10 * sum(range(1, 21))
    for number, client in enumerate(clients):
        assert depot.state(f"private:busy{number}")["me"]["runs"] == 10
        await client.reached({SECTOR: depot.seq(SECTOR)})
        assert client.rooms[SECTOR].state == depot.state(SECTOR)
    print(f"\n{fleet[0].metrics()['batches_resent']:.0f} batches resent for {len(cuts)} cuts")
    await asyncio.gather(*(client.close() for client in clients))


@pytest.mark.timeout(90)
async def test_a_worker_without_store_says_so_and_another_answers(
    fleet: Fleet, depot: Store, proxy: FaultyRedis
) -> None:
    """A commit's reply is lost and the worker cannot reach Redis any more: it answers `unavailable` with a hint, and
    keeps its clients; on another worker the same command is answered as it was committed; once Redis is
    back, so does the first."""
    client, other = await connect(fleet, "stranded", 0), await connect(fleet, "stranded", 1)
    count = depot.state(SECTOR)["counter"]["count"]
    cut = proxy.cut(b"stranded/1", executed=True)
    proxy.refusing = True
    with pytest.raises(CommandRejected) as refused:
        await client.command("count", by=1, id="stranded/1", timeout=15.0)
    assert cut.is_set()
    assert refused.value.code == "unavailable"
    assert refused.value.retry_after is not None
    assert fleet[0].get("/health")[0] == 200
    assert fleet[0].get("/ready")[0] == 503
    committed = depot.seq(SECTOR)

    ack = await other.command("count", by=1, id="stranded/1")
    assert ack.seq[SECTOR] == committed
    assert depot.state(SECTOR)["counter"]["count"] == count + 1

    began = time.monotonic()
    with pytest.raises(CommandRejected) as refused:
        await client.command("count", by=1, id="stranded/1")
    assert refused.value.code == "unavailable"
    assert time.monotonic() - began < 2.0, "it is known that the store is away"
    assert client.connected

    proxy.let_through()
    await until(lambda: fleet[0].get("/ready")[0] == 200, "a worker that is ready again")
    assert (await client.command("count", by=1, id="stranded/1")).seq == ack.seq
    await client.reached({SECTOR: depot.seq(SECTOR)})
    assert client.rooms[SECTOR].state == depot.state(SECTOR)
    assert depot.state(SECTOR)["counter"]["count"] == count + 1
    assert depot.state("private:stranded")["me"]["runs"] == 1
    await asyncio.gather(client.close(), other.close())


async def test_a_worker_without_store_ends_when_told(
    start_fleet: StartFleet, proxy: FaultyRedis, server: Server
) -> None:
    """SIGTERM while Redis cannot be reached: its players are told to come back elsewhere, and the process ends
    ([CLOSE1], [CLOSE2])."""
    (worker,) = start_fleet(1, world=DEPOT, redis_urls={0: proxy.url}).workers
    client = await Client.connect(worker.url(), token("patient"), reconnect=False)
    await client.ready()
    proxy.cut_off()
    try:
        await until(lambda: worker.get("/ready")[0] == 503, "a worker that is not ready")
        faults = await asyncio.to_thread(worker.stop)
    finally:
        proxy.let_through()
    assert faults == []
    closed = await asyncio.wait_for(client.closed, 5.0)
    assert closed.code == 1012
    # Stock uvicorn closes every connection before the application hears of the signal: nobody says when to come back.
    assert (closed.retry_after > 0) is (server == "gameserver")
