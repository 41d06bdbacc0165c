"""One worker's way to the store of a simulated world: requests and answers travel, and anything may happen to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, fields
from random import Random
from typing import Any, TypeVar

from gameserver.buses.base import Batch, BatchReply, BusStats, Lease, OnCommit, OnLoss, RoomSnapshot
from gameserver.buses.memory import MemoryBus
from gameserver.buses.memory_store import MemoryStore
from gameserver.errors import GameserverError, Unavailable
from tests.simulation.loop import Domain, current
from tests.simulation.trace import Trace

T = TypeVar("T")

DEADLINE = 1.0
"""Seconds a call waits for its answer."""
NEAR, FAR = 0.0002, 0.002
"""Seconds one way."""
LATE, LATEST = 0.01, 2.5
"""Seconds by which a late request or publication is late."""
_STORE: Context = copy_context()
"""What happens at the store happens in no worker's domain."""


@dataclass(slots=True)
class Weather:
    """How likely what is to happen to each message, 0 to 1."""

    publications_lost: float = 0.0
    publications_doubled: float = 0.0
    publications_late: float = 0.0
    publications_mangled: float = 0.0
    requests_lost: float = 0.0
    requests_late: float = 0.0
    replies_lost: float = 0.0

    @property
    def fair(self) -> bool:
        return not any(getattr(self, each.name) for each in fields(self))


def done(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine that waits for nothing comes to."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


class SimulatedBus:
    """Keeps the contract of `gameserver.buses.base` in all weathers. `away` while the store cannot be reached."""

    def __init__(self, store: MemoryStore, worker: str, domain: Domain, random: Random, trace: Trace) -> None:
        self._bus = MemoryBus(store, worker)
        self._domain = domain
        self._random = random
        self._trace = trace
        self._loop = current()
        self._on_commit: OnCommit = lambda room, payload: None
        self._on_loss: OnLoss = lambda: None
        self._under_way: dict[asyncio.Future[Any], None] = {}
        self._last_arrival = 0.0
        self._gone = False
        self._line = 0
        """Counts connections: what was under way on a former one is not answered."""
        self.weather = Weather()
        self.away = False
        self.stats: BusStats = self._bus.stats

    # -- faults -----------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        return self._bus.connected and not self.away

    def go_away(self) -> None:
        """The connection breaks; requests under way may arrive, answers do not."""
        self.away = True
        self._line += 1
        for future in list(self._under_way):
            self._loop.call_soon(_fail, future, context=self._domain.context)

    def come_back(self) -> None:
        """A new connection stands, with all subscriptions in force."""
        self.away = False
        self._stats_reconnected()
        self._loop.call_soon(self._on_loss, context=self._domain.context)

    def die(self) -> None:
        """The worker was killed: nothing reaches it any more, and nothing comes from it but what is under way."""
        self._gone = True
        self._line += 1
        self._loop.call_later(LATEST + DEADLINE, self._forgotten, context=_STORE)

    def _forgotten(self) -> None:
        done(self._bus.close())

    def _stats_reconnected(self) -> None:
        self.stats.reconnects += 1

    def _happens(self, what: str, chance: float) -> bool:
        if chance and self._random.random() < chance:
            self._trace.counts[f"fault {what}"] += 1
            self._trace.note("weather", f"{what} at {self._bus.worker_id}")
            return True
        return False

    def _latency(self) -> float:
        return NEAR + (FAR - NEAR) * self._random.random()

    # -- messages ---------------------------------------------------------------------------------------------

    async def _call(self, act: Callable[[], Coroutine[Any, Any, T]], may_fail: bool = False) -> T:
        if self._gone:
            await self._loop.create_future()
        if self.away:
            await asyncio.sleep(NEAR)
            raise Unavailable("the store cannot be reached")
        future: asyncio.Future[T] = self._loop.create_future()
        self._under_way[future] = None
        wait = self._latency()
        if may_fail and self._happens("request lost", self.weather.requests_lost):
            pass
        else:
            if may_fail and self._happens("request late", self.weather.requests_late):
                wait += LATE + (LATEST - LATE) * self._random.random()
            self._loop.call_later(wait, self._arrive, act, future, self._line, may_fail, context=_STORE)
        try:
            async with asyncio.timeout(DEADLINE):
                return await future
        except TimeoutError:
            self.stats.deadlines += 1
            raise Unavailable("no answer in time") from None
        finally:
            self._under_way.pop(future, None)

    def _arrive(
        self, act: Callable[[], Coroutine[Any, Any, T]], future: asyncio.Future[T], line: int, may_fail: bool
    ) -> None:
        """At the store."""
        if self.away:
            return
        result: T | None = None
        fault: GameserverError | None = None
        try:
            result = done(act())
        except GameserverError as raised:
            fault = raised
        if line == self._line and not (may_fail and self._happens("reply lost", self.weather.replies_lost)):
            self._come_in(_answer, future, result, fault)

    def _come_in(self, callback: Callable[..., object], *arguments: Any) -> None:
        """On the one connection: in order."""
        at = max(self._loop.time() + self._latency(), self._last_arrival + 1e-7)
        self._last_arrival = at
        self._loop.call_at(at, callback, *arguments, context=self._domain.context)

    def _published(self, room: str, payload: bytes) -> None:
        """The store tells its subscribers."""
        if self.away or self._gone:
            return
        weather = self.weather
        if self._happens("publication lost", weather.publications_lost):
            return
        if self._happens("publication mangled", weather.publications_mangled):
            payload = payload[:-2]
        if self._happens("publication late", weather.publications_late):
            wait = LATE + (LATEST - LATE) * self._random.random() ** 3
            self._loop.call_later(wait, self._tell, room, payload, context=self._domain.context)
            return
        self._come_in(self._tell, room, payload)
        if self._happens("publication doubled", weather.publications_doubled):
            self._come_in(self._tell, room, payload)

    def _tell(self, room: str, payload: bytes) -> None:
        if not self._gone:
            self._on_commit(room, payload)

    # -- the contract -----------------------------------------------------------------------------------------

    async def start(self, on_commit: OnCommit, on_loss: OnLoss) -> None:
        self._on_commit, self._on_loss = on_commit, on_loss
        await self._call(lambda: self._bus.start(self._published, on_loss))

    async def close(self) -> None:
        self._gone = True
        await self._bus.close()

    async def epoch(self) -> int:
        return await self._call(self._bus.epoch)

    async def subscribe(self, rooms: Iterable[str]) -> None:
        wanted = list(rooms)
        await self._call(lambda: self._bus.subscribe(wanted))

    async def unsubscribe(self, rooms: Iterable[str]) -> None:
        unwanted = list(rooms)
        await self._call(lambda: self._bus.unsubscribe(unwanted))

    async def commit(self, batch: Batch) -> BatchReply:
        return await self._call(lambda: self._bus.commit(batch), may_fail=True)

    def publish(self, room: str, payload: bytes) -> None:
        if self.connected:
            self._bus.publish(room, payload)

    async def load(self, room: str) -> RoomSnapshot:
        return await self._call(lambda: self._bus.load(room))

    async def follow(self, rooms: Sequence[str]) -> list[RoomSnapshot]:
        return await self._call(lambda: self._bus.follow(rooms))

    async def read_log(self, room: str, after: int, limit: int = 1000) -> list[bytes]:
        return await self._call(lambda: self._bus.read_log(room, after, limit))

    async def positions(self, rooms: Sequence[str]) -> tuple[int, list[int]]:
        return await self._call(lambda: self._bus.positions(rooms))

    async def rooms(self, prefix: str = "") -> list[str]:
        return await self._call(lambda: self._bus.rooms(prefix))

    async def acquire(self, owner: str, ttl: float) -> Lease:
        return await self._call(lambda: self._bus.acquire(owner, ttl))

    async def release(self, owner: str) -> None:
        await self._call(lambda: self._bus.release(owner))

    async def probe(self) -> None:
        await self._call(self._bus.probe)


def _answer(future: asyncio.Future[T], result: T, fault: GameserverError | None) -> None:
    if future.done():
        return
    if fault is None:
        future.set_result(result)
    else:
        future.set_exception(fault)


def _fail(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(Unavailable("the connection to the store was lost"))
