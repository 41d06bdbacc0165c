"""The embedded bus: the workers of one process share a store in its memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from gameserver.buses.base import (
    Batch,
    BatchReply,
    BusStats,
    Lease,
    OnCommit,
    OnLoss,
    Room,
    RoomSnapshot,
)
from gameserver.buses.memory_store import MemoryStore as MemoryStore
from gameserver.errors import Unavailable

logger = logging.getLogger(__name__)


class MemoryBus:
    """One worker's `Bus` over a store in the same process. Never loses a publication, so never calls `on_loss`."""

    def __init__(self, store: MemoryStore, worker_id: str) -> None:
        self.store = store
        self.worker_id = worker_id
        self.stats = BusStats()
        self.connected = False
        self._on_commit: OnCommit | None = None
        self._subscribed: set[Room] = set()
        self._seen_epoch = 0
        self._seen_token = 0

    def _opened(self) -> MemoryStore:
        if not self.connected:
            raise Unavailable("the bus is closed")
        return self.store

    def _deliver(self, room: Room, payload: bytes) -> None:
        assert self._on_commit is not None
        try:
            self._on_commit(room, payload)
        except Exception:
            # One reader's fault must not become the committing worker's.
            self.stats.poison += 1
            logger.exception("a publication of %s could not be taken", room)

    async def start(self, on_commit: OnCommit, on_loss: OnLoss) -> None:
        self._on_commit = on_commit
        self.connected = True

    async def close(self) -> None:
        self.connected = False
        for room in self._subscribed:
            self.store.unsubscribe(room, self._deliver)
        self._subscribed.clear()

    async def epoch(self) -> int:
        self._seen_epoch = self._opened().epoch(self._seen_epoch)
        return self._seen_epoch

    async def subscribe(self, rooms: Iterable[Room]) -> None:
        store = self._opened()
        for room in rooms:
            self._subscribed.add(room)
            store.subscribe(room, self._deliver)

    async def unsubscribe(self, rooms: Iterable[Room]) -> None:
        for room in rooms:
            self._subscribed.discard(room)
            self.store.unsubscribe(room, self._deliver)

    async def commit(self, batch: Batch) -> BatchReply:
        reply = self._opened().commit(self.worker_id, batch)
        self.stats.batches += 1
        self.stats.published += len(reply.seq)
        return reply

    def publish(self, room: Room, payload: bytes) -> None:
        if self.connected:
            self.store.publish(room, payload)

    async def load(self, room: Room) -> RoomSnapshot:
        return self._opened().load(room)

    async def follow(self, rooms: Sequence[Room]) -> list[RoomSnapshot]:
        await self.subscribe(rooms)
        return [self._opened().load(room) for room in rooms]

    async def read_log(self, room: Room, after: int, limit: int = 1000) -> list[bytes]:
        return self._opened().read_log(room, after, limit)

    async def positions(self, rooms: Sequence[Room]) -> tuple[int, list[int]]:
        return self._opened().positions(rooms)

    async def rooms(self, prefix: str = "") -> list[Room]:
        return [room for room in self._opened().rooms() if room.startswith(prefix)]

    async def acquire(self, owner: str, ttl: float) -> Lease:
        lease = self._opened().acquire(owner, ttl, self._seen_token)
        self._seen_token = max(self._seen_token, lease.token)
        return lease

    async def release(self, owner: str) -> None:
        self._opened().release(owner)

    async def probe(self) -> None:
        self._opened()
