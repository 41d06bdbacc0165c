"""Real sentinels on 127.0.0.1: the primary is found, and found again after a failover."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gameserver.buses.redis.bus import RedisBus
from gameserver.buses.redis.topology import parse_url
from gameserver.cli.redis_checks import check_redis
from gameserver.errors import SettingsError, Unavailable
from tests.buses.batches import Seat, say
from tests.buses.seats import A
from tests.redis_server import HOST, RedisServer, Sentinels, redis_server, wait_until


class Watched:
    """A primary, its replica, and three sentinels."""

    def __init__(self, stack: ExitStack) -> None:
        self.primary = RedisServer()
        stack.callback(self.primary.stop)
        self.primary.start()
        self.replica = RedisServer("--replicaof", f"{HOST} {self.primary.port}")
        stack.callback(self.replica.stop)
        self.replica.start()
        with self.replica.client() as client:
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", "the replica")
        self.sentinels = Sentinels(self.primary)
        stack.callback(self.sentinels.stop)
        self.sentinels.start()


@pytest.fixture
def watched() -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(stack)


async def test_failover(watched: Watched) -> None:
    """The bus writes to the primary, and when that is dead and another was chosen, to the other; what it was
    subscribed to comes from there. One dead sentinel is nothing."""
    seat = Seat(RedisBus(watched.sentinels.url, "watched", "w1", None, 1.0))
    await seat.open()
    await seat.bus.subscribe([A])
    await seat.write(say(A, "before"))
    watched.sentinels.nodes[0].kill()
    watched.primary.kill()
    async with asyncio.timeout(5):
        while seat.bus.connected:  # noqa: ASYNC110 - the bus has no event for it
            await asyncio.sleep(0.01)
    async with asyncio.timeout(20):
        while True:
            try:
                await seat.bus.probe()
                break
            except Unavailable:
                continue
    with watched.replica.client() as client:
        assert client.info("replication")["role"] == "master"
        before = client.xlen("{gs:watched}:l:" + A)
        await seat.write(say(A, "after"))
        assert client.xlen("{gs:watched}:l:" + A) == before + 1
    assert seat.bus.stats.reconnects >= 1
    await seat.bus.close()


async def test_the_doctor_asks_sentinels(watched: Watched) -> None:
    """It names the primary it was led to; a service nobody knows and sentinels that are gone are told."""
    found = await check_redis(watched.sentinels.url, "watched", 3.0)
    assert not [finding for finding in found if finding.level == "FAIL"]
    assert any(str(watched.primary.port) in finding.text for finding in found)
    unknown = await check_redis(watched.sentinels.url.replace("/world", "/other"), "watched", 3.0)
    assert [finding.level for finding in unknown] == ["FAIL"]
    for node in watched.sentinels.nodes:
        node.kill()
    gone = await check_redis(watched.sentinels.url, "watched", 3.0)
    assert [finding.level for finding in gone] == ["FAIL"]


class Rumour:
    """A sentinel that says what it is told to say."""

    def __init__(self) -> None:
        self.port = 0
        self.primary = 0
        self.failovers = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._asked, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        words = ("ip", HOST, "port", str(self.primary), "config-epoch", str(self.failovers))
        writer.write(f"*{len(words)}\r\n".encode() + b"".join(b"$%d\r\n%b\r\n" % (len(w), w.encode()) for w in words))
        await writer.drain()
        writer.close()


async def test_a_stale_primary_is_left() -> None:
    """A primary that nobody told of the failover still takes writes: the bus hears of the new one from the sentinels,
    and believes those who know of the newest failover."""
    with redis_server() as old, redis_server() as new:
        rumours = [Rumour(), Rumour(), Rumour()]
        servers = [await rumour.start() for rumour in rumours]
        for rumour in rumours:
            rumour.primary = old.port
        places = ",".join(f"{HOST}:{rumour.port}" for rumour in rumours)
        seat = Seat(RedisBus(f"redis+sentinel://{places}/any", "stale", "w1", None, 1.0))
        await seat.open()
        await seat.bus.probe()
        for rumour in rumours[1:]:
            rumour.primary, rumour.failovers = new.port, 1
        with new.client() as client:
            loop = asyncio.get_running_loop()
            began = loop.time()
            while not client.exists("{gs:stale}:p:w1"):
                assert loop.time() - began < 5.0
                with contextlib.suppress(Unavailable):
                    await seat.bus.probe()
                await asyncio.sleep(0.02)
        await seat.bus.close()
        for server in servers:
            server.close()


def test_urls_of_sentinels() -> None:
    """Hosts, ports, the service and the database are read; what lacks one of them is refused."""
    address = parse_url("rediss+sentinel://me:se%40cret@one,two:7000,[::1]:7001/my%20world/3")
    assert address.sentinels == (("one", 26379), ("two", 7000), ("::1", 7001))
    assert (address.service, address.database, address.username, address.password) == ("my world", 3, "me", "se@cret")
    assert address.tls is not None
    for url in ("redis+sentinel://one", "redis+sentinel:///name", "redis://one,two", "redis+sentinel://one:x/name"):
        with pytest.raises(SettingsError):
            parse_url(url)
