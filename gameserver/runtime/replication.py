"""Keeps replicas of the rooms this worker needs at the store's position: subscribe, buffer, load, merge, repair.

A room is *ready* when its replica stands at a known position and nothing is known to be missing. While it is
loaded or repaired, publications are buffered. What publications lost is found by a gap in `seq`, by the
seq that a commit's reply proves (`expect`), or by comparing positions with the store (`check`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from itertools import zip_longest
from typing import Protocol

from gameserver.buses.base import Bus, RoomSnapshot
from gameserver.errors import ForeignEpoch, GameserverError, Unavailable
from gameserver.runtime.followed import Followed, Mending, ReplicationStats
from gameserver.runtime.supervise import Supervisor
from gameserver.state.commit import Commit, PoisonCommit, decode_commit
from gameserver.state.draft import RoomNotLoaded
from gameserver.state.position import Position
from gameserver.state.replica import Receipt, Replica, decode_entities
from gameserver.state.signal import decode_signal, is_signal

MAX_BUFFERED = 4096
"""Publications kept for a room that is being loaded; beyond it is loaded again."""
LOADS_AT_ONCE = 32
FOLLOWED_AT_ONCE = 64
"""Rooms whose first load is asked for in one go."""
CHECKED_AT_ONCE = 256
"""Rooms whose positions are asked for in one go: thousands would hold up everybody else, here and in the store."""
READ_AT_ONCE = 1000
RETRY_FIRST, RETRY_LAST = 0.05, 1.0
LINGER = 30.0
"""Seconds a replica nobody holds is kept: the next command probably wants it again."""


class Listener(Protocol):
    """Who is told, synchronously and in order, what happens to replicas."""

    def applied(self, replica: Replica, commit: Commit) -> None: ...

    def reloading(self, replica: Replica) -> None:
        """The replica is about to jump to a snapshot."""

    def reloaded(self, replica: Replica, before: Position) -> None:
        """The replica jumped to a snapshot; `before` is where it stood."""

    def signalled(self, room: str, key: str, data: object, sender: str | None) -> None: ...


class Replication:
    """All replicas of one worker."""

    def __init__(self, bus: Bus, listener: Listener, supervisor: Supervisor, now: Callable[[], float]) -> None:
        self._bus = bus
        self._listener = listener
        self._supervisor = supervisor
        self._now = now
        self._rooms: dict[str, Followed] = {}
        self._loads = asyncio.Semaphore(LOADS_AT_ONCE)
        self._newcomers: dict[str, Followed] = {}
        """Rooms to be loaded for the first time, together, in the loop's next turn."""
        self.stats = ReplicationStats()
        self.epoch = 0

    async def start(self) -> None:
        """Connect the bus and learn the epoch. Raises Unavailable."""
        await self._bus.start(self._receive, self._lost)
        self.epoch = await self._bus.epoch()

    # -- who needs which room -------------------------------------------------------------------------

    def ready(self, room: str) -> Replica:
        """The replica, for game code. Raises RoomNotLoaded while it is not known to be complete."""
        entry = self._rooms.get(room)
        if entry is None or entry.mending is not None or not entry.loaded:
            raise RoomNotLoaded(room)
        entry.used = self._now()
        return entry.replica

    def replica(self, room: str) -> Replica | None:
        """The replica as it is, perhaps behind; None when the room was never loaded."""
        entry = self._rooms.get(room)
        return entry.replica if entry is not None and entry.loaded else None

    def follows(self, room: str) -> bool:
        """Whether commits of this room are applied here."""
        entry = self._rooms.get(room)
        return entry is not None and entry.loaded

    def rooms(self) -> list[str]:
        return list(self._rooms)

    def want(self, room: str) -> asyncio.Future[Replica]:
        """A future of the ready replica; loading starts now and is shared by all who want it."""
        entry = self._entry(room)
        future: asyncio.Future[Replica] = asyncio.get_running_loop().create_future()
        if entry.loaded and entry.mending is None:
            future.set_result(entry.replica)
        else:
            self._mend(room, entry).waiters.append(future)
        return future

    async def hold(self, room: str, deadline: float = 5.0) -> Replica:
        """Follow the room until `release`, and return its ready replica. Raises Unavailable after `deadline` s."""
        entry = self._entry(room)
        entry.holders += 1
        if entry.loaded and entry.mending is None:
            return entry.replica
        try:
            async with asyncio.timeout(deadline):
                return await self.want(room)
        except BaseException as error:
            self.release(room)
            if isinstance(error, TimeoutError):
                raise Unavailable(f"{room} could not be loaded in time", retry_after=1.0) from None
            raise

    def release(self, room: str) -> None:
        entry = self._rooms.get(room)
        if entry is not None and entry.holders:
            entry.holders -= 1
            entry.used = self._now()

    async def sweep(self) -> None:
        """Forget replicas that nobody has held or used for a while."""
        oldest = self._now() - LINGER
        idle = [
            room
            for room, entry in self._rooms.items()
            if not entry.holders and entry.used < oldest and entry.mending is None
        ]
        for room in idle:
            del self._rooms[room]
        if idle:
            await self._bus.unsubscribe(idle)

    def _entry(self, room: str) -> Followed:
        entry = self._rooms.get(room)
        if entry is None:
            entry = self._rooms[room] = Followed(Replica(room, self.epoch))
        entry.used = self._now()
        return entry

    # -- what the bus says ------------------------------------------------------------------------------

    def _receive(self, room: str, payload: bytes) -> None:
        entry = self._rooms.get(room)
        if entry is None:
            return
        try:
            if is_signal(payload):
                key, data, sender = decode_signal(payload)
                self._listener.signalled(room, key, data, sender)
                return
            commit = decode_commit(payload)
        except PoisonCommit:
            self.stats.poison += 1
            return
        if entry.mending is not None:
            self._buffer(entry, entry.mending, commit)
        else:
            self._take(room, entry, commit)

    def _take(self, room: str, entry: Followed, commit: Commit) -> None:
        receipt = entry.replica.receive(commit)
        if receipt is Receipt.APPLIED:
            self.stats.applied += 1
            self._listener.applied(entry.replica, commit)
        elif receipt is Receipt.DUPLICATE:
            self.stats.duplicates += 1
        else:
            self.stats.gaps += receipt is Receipt.GAP
            entry.reload = entry.reload or receipt is Receipt.FOREIGN_EPOCH
            self._buffer(entry, self._mend(room, entry), commit)

    def _buffer(self, entry: Followed, mending: Mending, commit: Commit) -> None:
        if len(mending.buffer) >= MAX_BUFFERED:
            mending.buffer.clear()
            entry.reload = True
        mending.buffer.append(commit)

    def _lost(self) -> None:
        self._supervisor.start(self._check_soon(), "positions after a lost connection")

    async def _check_soon(self) -> None:
        delay = RETRY_FIRST
        while True:
            try:
                await self.check()
                return
            except Unavailable:
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_LAST)

    def expect(self, room: str, seq: int) -> None:
        """A commit's reply said the room is at `seq`: its publication came before, so what is missing now is lost."""
        entry = self._rooms.get(room)
        if entry is not None and entry.loaded and entry.mending is None and entry.replica.seq < seq:
            self.stats.lost_echoes += 1
            self._mend(room, entry)

    def distrust(self, room: str) -> None:
        """The replica was found to be wrong: take a snapshot."""
        entry = self._rooms.get(room)
        if entry is not None:
            entry.reload = True
            self._mend(room, entry)

    async def check(self) -> None:
        """Compare every replica's position with the store's; repair what is behind. Raises Unavailable."""
        rooms = list(self._rooms)
        for first in range(0, max(len(rooms), 1), CHECKED_AT_ONCE):
            await self._check(rooms[first : first + CHECKED_AT_ONCE])

    async def _check(self, rooms: list[str]) -> None:
        asked = {
            room: entry.replica.seq
            for room in rooms
            if (entry := self._rooms.get(room)) is not None and entry.mending is None
        }
        epoch, positions = await self._bus.positions(list(asked))
        if epoch != self.epoch:
            self.epoch = await self._bus.epoch()
            # Nothing of the old world may be built upon in the new one, wherever a repair of it stands.
            for known in self._rooms.values():
                known.reload = known.reload or known.replica.epoch != self.epoch
        for (room, before), seq in zip(asked.items(), positions, strict=True):
            entry = self._rooms.get(room)
            if entry is None or entry.mending is not None:
                continue
            # Ahead of the answer proves nothing, it is a moment old; ahead of it when asking does.
            if entry.replica.epoch != self.epoch or before > seq:
                entry.reload = True
                self._mend(room, entry)
            elif entry.replica.seq < seq:
                self.stats.lost_tails += 1
                self._mend(room, entry)

    # -- mending -----------------------------------------------------------------------------------------

    def _mend(self, room: str, entry: Followed) -> Mending:
        if entry.mending is None:
            entry.mending = Mending()
            if entry.loaded:
                self._start_mending(room, entry, entry.mending)
            else:
                self._follow_soon(room, entry)
        return entry.mending

    def _start_mending(self, room: str, entry: Followed, mending: Mending) -> None:
        self._supervisor.start(self._mending(room, entry, mending), f"mending {room}")

    def _follow_soon(self, room: str, entry: Followed) -> None:
        """Whoever comes in the same turn of the loop is subscribed to and loaded together."""
        if not self._newcomers or len(self._newcomers) >= FOLLOWED_AT_ONCE:
            self._newcomers = {}
            self._supervisor.start(self._follow(self._newcomers), f"loading {room} and others")
        self._newcomers[room] = entry

    async def _follow(self, newcomers: dict[str, Followed]) -> None:
        """The first load of several rooms; one that is not complete after it goes on by itself."""
        async with self._loads:
            if newcomers is self._newcomers:
                self._newcomers = {}
            snapshots: list[RoomSnapshot] = []
            with contextlib.suppress(GameserverError):
                snapshots = await self._bus.follow(list(newcomers))
        for (room, entry), snapshot in zip_longest(newcomers.items(), snapshots):
            mending = entry.mending
            if mending is None:
                continue
            try:
                complete = snapshot is not None and self._begin(entry, mending, snapshot)
            except Exception:
                # Whatever it is comes up again where it concerns this room alone.
                complete = False
            if complete:
                entry.mending = None
                self._tell_waiters(entry.replica, mending)
            else:
                self._start_mending(room, entry, mending)

    def _begin(self, entry: Followed, mending: Mending, snapshot: RoomSnapshot) -> bool:
        """Stand at the first snapshot; whether with what was published since then nothing is missing."""
        if not snapshot.epoch:
            # The store is empty: it becomes a world again before anybody is shown that.
            return False
        self._jump(entry, snapshot)
        return self._drain(entry, mending) and not entry.reload

    async def _mending(self, room: str, entry: Followed, mending: Mending) -> None:
        delay, mended = RETRY_FIRST, False
        try:
            while not mended and self._rooms.get(room) is entry:
                try:
                    async with self._loads:
                        mended = await self._mend_once(room, entry, mending)
                except ForeignEpoch:
                    entry.reload = True
                    with contextlib.suppress(GameserverError):
                        await self.check()
                except (Unavailable, PoisonCommit) as error:
                    if isinstance(error, PoisonCommit):
                        # It stays in the log: only a snapshot leads past it.
                        self.stats.poison += 1
                        entry.reload = True
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, RETRY_LAST)
        finally:
            entry.mending = None
        self._tell_waiters(entry.replica, mending)

    async def _mend_once(self, room: str, entry: Followed, mending: Mending) -> bool:
        """One attempt; whether nothing is missing any more."""
        if not entry.loaded:
            await self._bus.subscribe([room])
        if entry.reload or not await self._fill(room, entry):
            await self._load(room, entry)
        return self._drain(entry, mending) and not entry.reload

    async def _fill(self, room: str, entry: Followed) -> bool:
        """Fetch the missing commits from the log; False when the log no longer has them."""
        fetched = READ_AT_ONCE
        while fetched == READ_AT_ONCE:
            payloads = await self._bus.read_log(room, entry.replica.seq, READ_AT_ONCE)
            fetched = len(payloads)
            for payload in payloads:
                receipt = entry.replica.receive(commit := decode_commit(payload))
                if receipt is Receipt.APPLIED:
                    self.stats.applied += 1
                    self._listener.applied(entry.replica, commit)
                elif receipt is not Receipt.DUPLICATE:
                    return False
        if not payloads:
            # An empty answer also comes from a log that has aged away.
            epoch, (seq,) = await self._bus.positions([room])
            if epoch != entry.replica.epoch or entry.replica.seq < seq:
                return False
        self.stats.repairs += 1
        return True

    async def _load(self, room: str, entry: Followed) -> None:
        snapshot = await self._bus.load(room)
        if not snapshot.epoch:
            # The store is empty: it becomes a world again before anybody is shown that.
            await self.check()
            snapshot = await self._bus.load(room)
        self._jump(entry, snapshot)

    def _jump(self, entry: Followed, snapshot: RoomSnapshot) -> None:
        entities = decode_entities(snapshot.entities)
        before = entry.replica.position
        if entry.loaded:
            self._listener.reloading(entry.replica)
        entry.replica.load(snapshot.epoch, snapshot.seq, snapshot.sum, entities)
        entry.reload = False
        self.stats.loads += 1
        if entry.loaded:
            self.stats.reloads += 1
            self._listener.reloaded(entry.replica, before)
        entry.loaded = True

    def _drain(self, entry: Followed, mending: Mending) -> bool:
        buffered, mending.buffer = sorted(mending.buffer, key=lambda commit: commit.header.seq), []
        for place, commit in enumerate(buffered):
            receipt = entry.replica.receive(commit)
            if receipt is Receipt.APPLIED:
                self.stats.applied += 1
                self._listener.applied(entry.replica, commit)
            elif receipt is Receipt.GAP:
                mending.buffer = buffered[place:]
                return False
            elif receipt is Receipt.FOREIGN_EPOCH and commit.header.epoch > entry.replica.epoch:
                entry.reload = True
                return False
        return True

    @staticmethod
    def _tell_waiters(replica: Replica, mending: Mending) -> None:
        for waiter in mending.waiters:
            if not waiter.done():
                waiter.set_result(replica)
