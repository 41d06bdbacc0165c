"""What the Redis bus does when the connection, the server or the cluster does not do its part."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from gameserver.buses.base import Group, Outcome, StoreLimits
from gameserver.buses.redis.bus import RedisBus
from gameserver.buses.redis.topology import parse_url, world_key
from gameserver.errors import SettingsError, Unavailable
from tests.buses.batches import Seat, key, say, write
from tests.buses.seats import A, B, lost, until
from tests.redis_server import RedisServer, redis_server

WORLD = "faults"
TAG = "{gs:faults}"
DEADLINE = 0.5


@pytest.fixture
def victim() -> Iterator[RedisServer]:
    """A server of the test's own, to be harmed."""
    with redis_server() as server:
        yield server


def bus_of(server: RedisServer, worker_id: str = "w1", deadline: float = DEADLINE) -> RedisBus:
    return RedisBus(server.url, WORLD, worker_id, StoreLimits(), deadline)


@pytest.fixture
async def seat(victim: RedisServer) -> AsyncIterator[Seat]:
    seat = Seat(bus_of(victim))
    await seat.open()
    yield seat
    await seat.bus.close()


def cut(server: RedisServer) -> None:
    """Kill every connection but the one that asks."""
    with server.client() as client:
        client.execute_command("CLIENT", "KILL", "SKIPME", "yes")


class Proxy:
    """A TCP proxy that swallows replies on demand, so that a commit is executed and never answered."""

    def __init__(self, target: RedisServer) -> None:
        self.target = target
        self.swallow_and_cut = asyncio.Event()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, outward = await asyncio.open_connection("127.0.0.1", self.target.port)
        tasks = [asyncio.create_task(self._pass(reader, outward)), asyncio.create_task(self._answer(onward, writer))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        writer.close()
        outward.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.swallow_and_cut.is_set():
                self.swallow_and_cut.clear()
                return
            writer.write(data)


class TestConnection:
    async def test_a_killed_connection_is_replaced(self, victim: RedisServer, seat: Seat) -> None:
        """All rooms are subscribed again before on_loss is called, and publications arrive."""
        await seat.bus.subscribe([A, B, "team:x"])
        await seat.bus.unsubscribe(["team:x"])
        await seat.write(say(A, "one"))
        cut(victim)
        await lost(seat)
        other = await Seat(bus_of(victim, "w2")).open()
        await other.write(say(A, "two"), say(B, "two"), say("team:x", "two"))
        await seat.bus.probe()
        assert [room for room, _ in seat.received] == [A, A, B]
        assert seat.losses == seat.bus.stats.reconnects == 1
        await other.bus.close()

    async def test_the_first_connection_is_no_loss(self, seat: Seat) -> None:
        """Nothing was subscribed before it."""
        await seat.bus.probe()
        assert seat.losses == 0

    async def test_a_commit_waits_for_a_new_connection(self, victim: RedisServer, seat: Seat) -> None:
        """Within its deadline, so that a short loss is not seen by the caller."""
        cut(victim)

        async def noticed() -> bool:
            return not seat.bus.connected or seat.losses > 0

        await until(noticed)
        assert (await seat.write(say(A, "one"))).outcome is Outcome.ACCEPTED

    @pytest.mark.parametrize("executed", [True, False])
    async def test_a_lost_reply(self, victim: RedisServer, executed: bool) -> None:
        """The same batch again is answered from memory when it was executed, and executed when it was not."""
        async with Proxy(victim) as proxy:
            seat = Seat(RedisBus(f"redis://127.0.0.1:{proxy.port}", WORLD, "w1", None, DEADLINE))
            await seat.open()
            await seat.write(say(A, "before"))
            batch = seat.batch(Group([write(A, 1, {"ship:1": {}})], [key("ann", "s1", A)]), Group([say(B, "x")]))
            with victim.client() as client:
                if executed:
                    proxy.swallow_and_cut.set()
                else:
                    client.execute_command("CLIENT", "PAUSE", 100_000, "WRITE")
                with pytest.raises(Unavailable):
                    await seat.bus.commit(batch)
                assert seat.bus.stats.batches == 1
                client.execute_command("CLIENT", "UNPAUSE")
            await lost(seat)
            reply = await seat.bus.commit(batch)
            assert [result.outcome for result in reply.results] == [Outcome.ACCEPTED] * 2
            assert reply.seq == {A: 2, B: 1}
            assert len(await seat.log(A)) == 2
            assert await seat.bus.commit(batch) == reply
            await seat.bus.close()

    async def test_a_late_copy_of_a_batch_given_up(self, victim: RedisServer, seat: Seat) -> None:
        """Writes paused until the deadline passed: what is sent afterwards under a new number is alone in force."""
        with victim.client() as client:
            client.execute_command("CLIENT", "PAUSE", 100_000, "WRITE")
            with pytest.raises(Unavailable):
                await seat.write(say(A, "given up"))
            client.execute_command("CLIENT", "UNPAUSE")
        await lost(seat)
        await seat.write(say(A, "new"))
        names = [event.name for commit in await seat.log(A) for event in commit.events]
        assert names in (["given up", "new"], ["new"])


class TestServer:
    async def test_a_frozen_server(self, victim: RedisServer, seat: Seat) -> None:
        """Every call raises Unavailable within the deadline; after the thaw everything goes on."""
        await seat.bus.subscribe([A])
        await seat.write(say(A, "before"))
        victim.freeze()
        calls = [
            seat.write(say(A, "frozen")),
            seat.bus.load(A),
            seat.bus.read_log(A, 0),
            seat.bus.positions([A]),
            seat.bus.probe(),
            seat.bus.subscribe([B]),
            seat.bus.acquire("w1", 10),
        ]
        started = time.monotonic()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert time.monotonic() - started < DEADLINE + 0.2
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * len(calls)
        assert all(outcome.retry_after for outcome in outcomes if isinstance(outcome, Unavailable))
        assert not seat.bus.connected
        assert seat.bus.stats.deadlines == 1
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await seat.bus.load(A)
        assert time.monotonic() - started < DEADLINE + 0.2
        victim.thaw()
        await lost(seat)
        await seat.write(say(A, "after"), say(B, "after"))
        assert B not in [room for room, _ in seat.received]
        assert seat.commits(A)[-1].events[0].name == "after"

    async def test_a_server_that_freezes_while_nobody_asks(self, victim: RedisServer, seat: Seat) -> None:
        """An idle connection is asked from time to time, so that it is noticed all the same."""

        async def noticed() -> bool:
            return not seat.bus.connected

        victim.freeze()
        await asyncio.wait_for(until(noticed), 4)

    async def test_a_server_that_starts_late(self, victim: RedisServer) -> None:
        """Start raises Unavailable and goes on trying; on_loss tells when the bus stands."""
        victim.kill()
        seat = Seat(bus_of(victim))
        with pytest.raises(Unavailable, match="cannot connect"):
            await seat.open()
        victim.start()
        await lost(seat)
        seat.epoch = await seat.bus.epoch()
        assert (await seat.write(say(A, "one"))).outcome is Outcome.ACCEPTED
        await seat.bus.close()

    async def test_a_server_that_comes_back_empty(self, victim: RedisServer, seat: Seat) -> None:
        """Nothing of the old epoch is taken; the new one is above it."""
        await seat.write(say(A, "before"))
        lease = await seat.bus.acquire("w1", 60)
        victim.kill()
        victim.start()
        await lost(seat)
        old = seat.epoch
        seat.epoch = await seat.bus.epoch()
        assert seat.epoch > old
        assert (await seat.bus.acquire("w1", 60)).token > lease.token
        assert (await seat.write(say(A, "after"))).outcome is Outcome.ACCEPTED

    async def test_flushed_scripts_are_loaded_again(self, victim: RedisServer, seat: Seat) -> None:
        """Without the caller noticing."""
        with victim.client() as client:
            client.script_flush()
        assert (await seat.write(say(A, "one"))).outcome is Outcome.ACCEPTED
        assert seat.losses == 0

    async def test_a_full_server_publishes_nothing(self, victim: RedisServer, seat: Seat) -> None:
        """Out of memory is Unavailable, and neither log nor state nor subscribers saw the batch."""
        await seat.bus.subscribe([A])
        with victim.client() as client:
            client.config_set("maxmemory", "1")
            with pytest.raises(Unavailable, match="OOM"):
                await seat.write(write(A, 0, {"ship:1": {}}))
            client.config_set("maxmemory", "0")
        assert seat.received == []
        assert await seat.bus.positions([A]) == (seat.epoch, [0])
        assert (await seat.write(write(A, 0, {"ship:1": {}}))).outcome is Outcome.ACCEPTED

    async def test_a_demoted_server_is_left(self, victim: RedisServer, seat: Seat) -> None:
        """A replica takes no writes and is no store to stand on until it is primary again."""
        with victim.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(Unavailable, match="READONLY"):
                await seat.write(say(A, "stale"))
            assert not seat.bus.connected
            with pytest.raises(Unavailable, match="primary"):
                await seat.bus.probe()
            client.execute_command("REPLICAOF", "NO", "ONE")
        await lost(seat)
        await seat.bus.probe()

    async def test_a_lost_publication_fails_the_probe(self, victim: RedisServer, seat: Seat) -> None:
        """A write that goes through does not yet prove that publications do."""
        bus: Any = seat.bus
        await bus._connection.unsubscribe([bus._probe_channel])
        with pytest.raises(Unavailable, match="did not come back"):
            await bus.probe()

    async def test_what_is_pending_is_bounded(self, victim: RedisServer) -> None:
        """Beyond it calls are refused at once instead of queueing for ever."""
        bus = RedisBus(victim.url, WORLD, "w1", None, DEADLINE, max_pending=20)
        await bus.start(lambda room, payload: None, lambda: None)
        outcomes = await asyncio.gather(*(bus.rooms() for _ in range(30)), return_exceptions=True)
        assert sum(isinstance(outcome, Unavailable) for outcome in outcomes) == 10
        assert outcomes.count([]) == 20
        await bus.close()

    async def test_the_memory_of_commands_and_batches_runs_out(self, victim: RedisServer, seat: Seat) -> None:
        """Every key that grows with time has a time to live; the world's state has none."""
        await seat.write(write(A, 0, {"ship:1": {}}), commands=[key("ann", "s1", A)])
        with victim.client() as client:
            keys = {name.decode(): client.pttl(name) for name in client.scan_iter()}
        mortal = {name.split(":")[2] for name, left in keys.items() if left > 0}
        assert mortal == {"i", "b", "l"}
        assert all(0 < left <= 1_200_000 for left in keys.values() if left != -1)
        assert all(name.startswith(TAG) for name in keys)

    async def test_commands_are_remembered_across_a_generation(self, victim: RedisServer) -> None:
        """Answers are kept by spans of store time; what the span before remembers still counts."""
        seat = await Seat(RedisBus(victim.url, WORLD, "w1", StoreLimits(command_memory=1.0), 5.0)).open()
        with victim.client() as client:

            async def begins() -> bool:
                return client.time()[1] < 200_000

            async def turned() -> bool:
                return client.time()[0] > second

            await until(begins)
            second = client.time()[0]
            await seat.write(say(A, "one"), commands=[key("ann", "s1", A)])
            await until(turned)
        assert (await seat.write(say(A, "two"), commands=[key("ann", "s1", A)])).outcome is Outcome.ANSWERED
        await seat.bus.close()

    async def test_the_entities_are_never_a_listpack(self, victim: RedisServer, seat: Seat) -> None:
        """There every write walks the whole; one long value keeps Redis from it."""
        await seat.write(write(A, 0, {"ship:1": {}}))
        with victim.client() as client:
            assert client.object("ENCODING", f"{TAG}:e:{A}") == b"hashtable"

    async def test_garbage_on_a_rooms_channel(self, victim: RedisServer, seat: Seat) -> None:
        """It is handed on as it is: what a commit looks like is for the reader to say."""
        await seat.bus.subscribe([A])
        with victim.client() as client:
            client.execute_command("SPUBLISH", f"{TAG}:c:{A}", b"\xff\x00garbage\xc1")
            client.execute_command("SPUBLISH", f"{TAG}:p:w1", b"\xff")
        await seat.bus.probe()
        assert seat.received == [(A, b"\xff\x00garbage\xc1")]

    async def test_blobs_are_bytes(self, seat: Seat) -> None:
        """Content that is no UTF-8 and holds every byte value comes back unchanged, from state and log."""
        part = write(A, 0, {"ship:1": {}})
        part.writes["ship:1"] = blob = msgspec.msgpack.encode({"b": bytes(range(256)) * 300})
        await seat.write(part)
        assert (await seat.bus.load(A)).entities == {"ship:1": blob}


@pytest.mark.parametrize(
    ("url", "word"),
    [("http://x", "redis://"), ("redis://", "host"), ("redis://x:y", "read"), ("redis://x/one", "read")],
)
def test_a_url_that_cannot_work(url: str, word: str) -> None:
    """It is named in a sentence, before anything is connected."""
    with pytest.raises(SettingsError, match=word):
        parse_url(url)


def test_a_url_in_full() -> None:
    """Credentials are unquoted, the database read, TLS set up for rediss."""
    address = parse_url("rediss://me:p%40ss@[::1]:7000/3")
    assert (address.username, address.password, address.host, address.port) == ("me", "p@ss", "::1", 7000)
    assert address.database == 3
    assert address.tls is not None
    assert parse_url("redis://h").tls is None


async def test_credentials_and_database() -> None:
    """A password is sent with HELLO; a wrong one is told apart in the error's text."""
    with redis_server("--requirepass", "secret word") as server:
        server_url = f"redis://:secret%20word@127.0.0.1:{server.port}/5"
        seat = await Seat(RedisBus(server_url, WORLD, "w1", None, DEADLINE)).open()
        await seat.bus.probe()
        await seat.bus.close()
        seat = Seat(RedisBus(f"redis://:wrong@127.0.0.1:{server.port}", WORLD, "w1", None, DEADLINE))
        with pytest.raises(Unavailable, match="WRONGPASS"):
            await seat.open()
        await seat.bus.close()


def test_a_world_needs_a_name_that_can_be_a_tag() -> None:
    """Braces would move its keys to other slots."""
    with pytest.raises(SettingsError):
        world_key("a}b")
