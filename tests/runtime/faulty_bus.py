"""A worker's bus over a store in memory that can be told to fail in every way a network can."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from gameserver.buses.base import Batch, BatchReply, BusStats, Lease, OnCommit, OnLoss, RoomSnapshot
from gameserver.buses.memory import MemoryBus
from gameserver.buses.memory_store import MemoryStore
from gameserver.errors import Unavailable
from gameserver.state.signal import is_signal

DELIVER, LOSE, DOUBLE, DELAY = "deliver", "lose", "double", "delay"


class FaultyBus:
    """Keeps the contract of `gameserver.buses.base` until told otherwise.

    `fates` is what becomes of the next publications of commits, one each, and `DELIVER` of those after; `deaf` names
    rooms of which nothing arrives. `lost_replies` commits are applied and not answered, `lost_requests` not even
    applied. `intruders` are called one by one right before a commit is applied. `pauses` gives the seconds the
    next calls of `commit` take before and after they are applied. `calls` counts calls by name.
    """

    def __init__(self, store: MemoryStore, worker: str) -> None:
        self._bus = MemoryBus(store, worker)
        self._on_commit: OnCommit = lambda room, payload: None
        self._on_loss: OnLoss = lambda: None
        self._open = asyncio.Event()
        self._open.set()
        self.store = store
        self.stats: BusStats = self._bus.stats
        self.down = False
        self.fates: deque[str] = deque()
        self.deaf: set[str] = set()
        self.delayed: list[tuple[str, bytes]] = []
        self.lost_replies = 0
        self.lost_requests = 0
        self.intruders: deque[Callable[[], object]] = deque()
        self.pauses: Iterator[float] = iter(())
        self.calls: Counter[str] = Counter()
        self.batches: list[Batch] = []
        self.failing: set[str] = set()
        """Names of calls that are Unavailable."""
        self.hanging: set[str] = set()
        """Names of calls that never return."""
        self.unreadable: dict[str, int] = {}
        """Room to how many of its next publications arrive mangled."""

    # -- faults -------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        return self._bus.connected and not self.down

    def go_down(self) -> None:
        self.down = True

    def come_back(self) -> None:
        self.down = False
        self._on_loss()

    def hold_commits(self) -> None:
        """Commits wait, unapplied, until `let_commits`."""
        self._open.clear()

    def let_commits(self) -> None:
        self._open.set()

    def deliver_delayed(self) -> None:
        """Deliver what was delayed, the newest first."""
        delayed, self.delayed = self.delayed, []
        for room, payload in reversed(delayed):
            self._on_commit(room, payload)

    def inject(self, room: str, payload: bytes) -> None:
        """Have a publication arrive that nobody published."""
        self._on_commit(room, payload)

    def _take(self, room: str, payload: bytes) -> None:
        if self.down or room in self.deaf:
            return
        if self.unreadable.get(room, 0):
            self.unreadable[room] -= 1
            payload = payload[:-3]
        fate = self.fates.popleft() if self.fates and not is_signal(payload) else DELIVER
        if fate == DELAY:
            self.delayed.append((room, payload))
        elif fate != LOSE:
            self._on_commit(room, payload)
            if fate == DOUBLE:
                self._on_commit(room, payload)

    async def _called(self, name: str) -> None:
        self.calls[name] += 1
        # A real bus never answers in the same turn of the loop.
        await asyncio.sleep(0)
        if self.down or name in self.failing:
            raise Unavailable("the store is down")
        if name in self.hanging:
            await asyncio.Event().wait()

    # -- the contract ---------------------------------------------------------------------------------------

    async def start(self, on_commit: OnCommit, on_loss: OnLoss) -> None:
        self._on_commit, self._on_loss = on_commit, on_loss
        await self._called("start")
        await self._bus.start(self._take, on_loss)

    async def close(self) -> None:
        await self._bus.close()

    async def epoch(self) -> int:
        await self._called("epoch")
        return await self._bus.epoch()

    async def subscribe(self, rooms: Iterable[str]) -> None:
        await self._called("subscribe")
        await self._bus.subscribe(rooms)

    async def unsubscribe(self, rooms: Iterable[str]) -> None:
        await self._called("unsubscribe")
        await self._bus.unsubscribe(rooms)

    async def commit(self, batch: Batch) -> BatchReply:
        await self._called("commit")
        await self._open.wait()
        await asyncio.sleep(next(self.pauses, 0.0))
        if self.lost_requests:
            self.lost_requests -= 1
            raise Unavailable("the request was lost")
        if self.intruders:
            self.intruders.popleft()()
        self.batches.append(batch)
        reply = await self._bus.commit(batch)
        await asyncio.sleep(next(self.pauses, 0.0))
        if self.lost_replies:
            self.lost_replies -= 1
            raise Unavailable("the reply was lost")
        return reply

    def publish(self, room: str, payload: bytes) -> None:
        if not self.down:
            self._bus.publish(room, payload)

    async def load(self, room: str) -> RoomSnapshot:
        await self._called("load")
        return await self._bus.load(room)

    async def follow(self, rooms: Sequence[str]) -> list[RoomSnapshot]:
        self.calls["follow"] += 1
        await self.subscribe(rooms)
        return [await self.load(room) for room in rooms]

    async def read_log(self, room: str, after: int, limit: int = 1000) -> list[bytes]:
        await self._called("read_log")
        return await self._bus.read_log(room, after, limit)

    async def positions(self, rooms: Sequence[str]) -> tuple[int, list[int]]:
        await self._called("positions")
        return await self._bus.positions(rooms)

    async def rooms(self, prefix: str = "") -> list[str]:
        await self._called("rooms")
        return await self._bus.rooms(prefix)

    async def acquire(self, owner: str, ttl: float) -> Lease:
        await self._called("acquire")
        return await self._bus.acquire(owner, ttl)

    async def release(self, owner: str) -> None:
        await self._called("release")
        await self._bus.release(owner)

    async def probe(self) -> None:
        await self._called("probe")
