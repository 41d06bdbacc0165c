"""The bus over Redis 7 or newer, alone or as a cluster: scripts, sharded publications, one connection.

The connection is supervised for ever: when it ends, a new one is made to whichever node now keeps the world,
all subscriptions are put in force again, and only then is `on_loss` called and are commands taken again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import ssl
from collections.abc import Awaitable, Iterable, Sequence
from itertools import islice
from typing import Any

from gameserver.buses.base import (
    Batch,
    BatchReply,
    BusStats,
    Lease,
    OnCommit,
    OnLoss,
    Room,
    RoomSnapshot,
    StaleBatch,
    StoreLimits,
)
from gameserver.buses.redis.connection import Argument, Connection, connect
from gameserver.buses.redis.faults import StoreRefused, unavailable
from gameserver.buses.redis.request import decode_reply, decode_snapshots, encode_batch, glob
from gameserver.buses.redis.scripts import scripts
from gameserver.buses.redis.topology import Node, greet, owner_of, parse_url, primaries, slot_of, world_key
from gameserver.errors import ForeignEpoch, GameserverError, Unavailable

logger = logging.getLogger(__name__)

MAX_PENDING = 10_000
CHANNELS_AT_ONCE = 500
SCANNED_AT_ONCE = 1000
BACKOFF_FIRST = 0.05
BACKOFF_CAP = 1.0
PROVEN_AFTER = 1.0
"""A connection that lasted this many seconds was good: the next backoff starts from the beginning."""
PING_EVERY = 1.0


class RedisBus:
    """One worker's `Bus` over Redis.

    `worker_id` must be new for each start of a worker, since batch numbers start again with it.
    `deadline` is in seconds and holds for every call, waiting for a connection included.
    """

    def __init__(
        self,
        url: str,
        world: str,
        worker_id: str,
        limits: StoreLimits | None = None,
        deadline: float = 1.0,
        *,
        ssl_context: ssl.SSLContext | None = None,
        max_pending: int = MAX_PENDING,
    ) -> None:
        self._address = parse_url(url, ssl_context)
        self._key = world_key(world)
        self.worker_id = worker_id
        self.stats = BusStats()
        self.connected = False
        self._limits = limits or StoreLimits()
        self._deadline = deadline
        self._max_pending = max_pending
        self._rooms: dict[bytes, Room] = {}
        self._on_commit: OnCommit | None = None
        self._on_loss: OnLoss | None = None
        self._connection: Connection | None = None
        self._standing = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._fault = "the bus is not started"
        self._nodes: list[Node] = [(self._address.host, self._address.port)]
        self._seen_epoch = 0
        self._seen_token = 0
        self._probe_channel = f"{self._key}:p:{worker_id}".encode()
        self._probes: dict[bytes, asyncio.Future[None]] = {}

    # Connecting

    async def start(self, on_commit: OnCommit, on_loss: OnLoss) -> None:
        """Raises Unavailable when the store is not reached within the deadline; the bus goes on trying until
        `close`, and calls `on_loss` when it stands."""
        self._on_commit, self._on_loss = on_commit, on_loss
        self._supervisor = asyncio.create_task(self._supervise(), name=f"redis bus of {self.worker_id}")
        await self._live()

    async def close(self) -> None:
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await supervisor
        self._fault = "the bus is closed"
        self._rooms.clear()

    async def _supervise(self) -> None:
        failures = 0
        started = False
        loop = asyncio.get_running_loop()
        while True:
            connection = None
            try:
                connection = await self._connect()
                since = loop.time()
                self._stand(connection, lost=started)
                await self._watch(connection)
                if loop.time() - since > PROVEN_AFTER:
                    failures = 0
                self._note(connection.fault)
            except GameserverError as error:
                self._note(str(error))
            except Exception as error:
                # Whatever it is, the way back is the same: a worker without a store is of no use.
                logger.exception("the connection to the store failed unexpectedly")
                self._note(repr(error))
            finally:
                self._fall()
                if connection is not None:
                    connection.abort("the bus is closed")
            delay = random.uniform(0, min(BACKOFF_CAP, BACKOFF_FIRST * 2 ** min(failures, 10)))
            failures += 1
            started = True
            await asyncio.sleep(delay)

    def _note(self, fault: str) -> None:
        if fault != self._fault:
            logger.warning("store unavailable to %s: %s", self.worker_id, fault)
        self._fault = fault

    def _stand(self, connection: Connection, *, lost: bool) -> None:
        self._connection = connection
        self.connected = True
        if lost:
            self.stats.reconnects += 1
            assert self._on_loss is not None
            try:
                self._on_loss()
            except Exception:
                logger.exception("on_loss failed")
        self._standing.set()

    def _fall(self) -> None:
        self._connection = None
        self.connected = False
        self._standing.clear()

    async def _watch(self, connection: Connection) -> None:
        """Return when the connection ended. A silent one is asked, so that a dead peer is noticed."""
        while not connection.closed.done():
            heard = connection.heard
            await asyncio.wait((connection.closed,), timeout=PING_EVERY)
            if connection.heard == heard and not connection.closed.done():
                with contextlib.suppress(Unavailable):
                    await connection.call("PING")

    async def _connect(self) -> Connection:
        """A connection to the primary that keeps the world, ready for use."""
        asked = self._nodes[0]
        # Should this one fail, another known node is asked next; the configured address stays in the circle.
        self._nodes = [*self._nodes[1:], asked]
        connection = await self._open(asked)
        try:
            greeting = await greet(connection, self._address)
            if greeting[b"mode"] == b"cluster":
                ranges = await primaries(connection, asked)
                owner = owner_of(slot_of(self._key), ranges)
                if owner != asked:
                    connection.abort("the world is kept elsewhere")
                    connection = await self._open(owner)
                    greeting = await greet(connection, self._address)
                configured = (self._address.host, self._address.port)
                others = {node for _, _, node in ranges} | {configured}
                self._nodes = [owner, *sorted(others - {owner})]
            else:
                self._nodes = [asked]
            if greeting.get(b"role") != b"master":
                raise unavailable("the node is not a primary")
            await self._prepare(connection)
        except BaseException:
            connection.abort("the connection could not be prepared")
            raise
        return connection

    async def _open(self, node: Node) -> Connection:
        return await connect(
            *node,
            self._pushed,
            self._fall,
            deadline=self._deadline,
            max_pending=self._max_pending,
            stats=self.stats,
            tls=self._address.tls,
        )

    async def _prepare(self, connection: Connection) -> None:
        channels = list(self._rooms)
        waiting = self._load_scripts(connection)
        waiting.append(connection.subscribe((self._probe_channel,)))
        waiting += [connection.subscribe(chunk) for chunk in _chunks(channels)]
        await asyncio.gather(*waiting)
        given_up = [channel for channel in channels if channel not in self._rooms]
        await asyncio.gather(*(connection.unsubscribe(chunk) for chunk in _chunks(given_up)))

    def _load_scripts(self, connection: Connection) -> list[asyncio.Future[Any]]:
        return [connection.call("SCRIPT", "LOAD", script.source) for script in scripts().values()]

    # Calling

    async def _live(self) -> tuple[Connection, float]:
        """The connection, and what is left of the deadline after waiting for it."""
        connection = self._connection
        left = self._deadline
        if connection is None and self._supervisor is not None:
            loop = asyncio.get_running_loop()
            due = loop.time() + left
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    connection = await self._next_connection()
            left = due - loop.time()
        if connection is None:
            raise unavailable(self._fault)
        return connection, left

    async def _next_connection(self) -> Connection | None:
        await self._standing.wait()
        return self._connection

    async def _script(self, name: str, *arguments: Argument) -> Any:
        connection, left = await self._live()
        loop = asyncio.get_running_loop()
        due = loop.time() + left
        script = scripts()[name]
        try:
            return await connection.call("EVALSHA", script.sha, 1, self._key, *arguments, deadline=left)
        except StoreRefused as error:
            if error.word != "NOSCRIPT":
                raise
        # Somebody flushed the scripts. Nothing was run, so running it now is not a second time.
        loads = self._load_scripts(connection)
        reply = connection.call("EVALSHA", script.sha, 1, self._key, *arguments, deadline=due - loop.time())
        await asyncio.gather(*loads)
        return await reply

    async def epoch(self) -> int:
        self._seen_epoch = int(await self._script("epoch", self._seen_epoch))
        return self._seen_epoch

    async def commit(self, batch: Batch) -> BatchReply:
        try:
            packed = await self._script("commit", encode_batch(self.worker_id, batch, self._limits))
        except StoreRefused as error:
            if error.word == "FOREIGNEPOCH":
                raise ForeignEpoch(error.message) from None
            if error.word == "STALEBATCH":
                raise StaleBatch(error.message) from None
            raise
        reply = decode_reply(packed)
        self.stats.batches += 1
        self.stats.published += len(reply.seq)
        return reply

    def publish(self, room: Room, payload: bytes) -> None:
        if self._connection is not None:
            sent = self._connection.call("SPUBLISH", self._channel(room), payload)
            # Nobody waits for it: a failure is the connection's, which is supervised.
            sent.add_done_callback(_forget)

    async def load(self, room: Room) -> RoomSnapshot:
        (snapshot,) = decode_snapshots(await self._script("load", room))
        return snapshot

    async def read_log(self, room: Room, after: int, limit: int = 1000) -> list[bytes]:
        if limit < 1:
            return []
        connection, left = await self._live()
        entries = await connection.call(
            "XRANGE", f"{self._key}:l:{room}", f"({max(after, 0)}-0", "+", "COUNT", limit, deadline=left
        )
        return [fields[1] for _, fields in entries]

    async def positions(self, rooms: Sequence[Room]) -> tuple[int, list[int]]:
        epoch, *seqs = await self._script("positions", *rooms)
        return epoch, seqs

    async def rooms(self, prefix: str = "") -> list[Room]:
        # In small portions, and filtered over there: most rooms are those of players who were here once.
        found: set[bytes] = set()
        cursor = b"0"
        while True:
            connection, left = await self._live()
            pattern = glob(prefix) + "*"
            cursor, some = await connection.call(
                "SSCAN", f"{self._key}:rooms", cursor, "MATCH", pattern, "COUNT", SCANNED_AT_ONCE, deadline=left
            )
            found.update(some)
            if cursor == b"0":
                return sorted(member.decode() for member in found)

    async def acquire(self, owner: str, ttl: float) -> Lease:
        holder, token = await self._script("acquire", owner, int(ttl * 1000), self._seen_token)
        self._seen_token = max(self._seen_token, token)
        return Lease(holder.decode(), token)

    async def release(self, owner: str) -> None:
        await self._script("release", owner)

    async def probe(self) -> None:
        word = secrets.token_hex(8).encode()
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._probes[word] = arrived
        try:
            await self._script("probe", self.worker_id, word)
            # Published on the connection the reply came by, so it is either here already or lost.
            if not arrived.done():
                raise unavailable("a write went through, but its publication did not come back")
        finally:
            del self._probes[word]

    # Publications

    async def subscribe(self, rooms: Iterable[Room]) -> None:
        await self._subscribe(rooms)

    async def follow(self, rooms: Sequence[Room]) -> list[RoomSnapshot]:
        *_, loaded = await self._subscribe(rooms, load=True)
        return decode_snapshots(loaded)

    async def _subscribe(self, rooms: Iterable[Room], *, load: bool = False) -> list[Any]:
        wanted = {self._channel(room): room for room in rooms}
        added = wanted.keys() - self._rooms.keys()
        self._rooms.update(wanted)
        try:
            connection, left = await self._live()
            sent: list[Awaitable[Any]] = [connection.subscribe(channels, left) for channels in _chunks(wanted)]
            if load:
                # Sent behind the subscriptions by the same connection: nothing can be published between the two.
                sent.append(self._script("load", *wanted.values()))
            answers = await asyncio.gather(*sent)
        except BaseException:
            for channel in added:
                self._rooms.pop(channel, None)
            raise
        self._rooms.update(wanted)
        return answers

    async def unsubscribe(self, rooms: Iterable[Room]) -> None:
        channels = [channel for room in rooms if self._rooms.pop(channel := self._channel(room), None) is not None]
        connection = self._connection
        if connection is None:
            return
        # Should it fail, the connection is gone, and its subscriptions with it.
        with contextlib.suppress(Unavailable):
            await asyncio.gather(*(connection.unsubscribe(chunk) for chunk in _chunks(channels)))

    def _channel(self, room: Room) -> bytes:
        return f"{self._key}:c:{room}".encode()

    def _pushed(self, channel: bytes, payload: bytes) -> None:
        room = self._rooms.get(channel)
        if room is None:
            arrived = self._probes.get(payload) if channel == self._probe_channel else None
            if arrived is not None and not arrived.done():
                arrived.set_result(None)
            return
        assert self._on_commit is not None
        try:
            self._on_commit(room, payload)
        except Exception:
            # One bad publication must not cost the connection, and with it every room.
            self.stats.poison += 1
            logger.exception("a publication of %s could not be taken", room)


def _forget(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def _chunks(channels: Iterable[bytes]) -> Iterable[list[bytes]]:
    iterator = iter(list(channels))
    while chunk := list(islice(iterator, CHANNELS_AT_ONCE)):
        yield chunk
