"""Ticks: one worker of the world owns the lease and runs them; its fence keeps a former owner's late writes out.

The switches (`running`, `paused`, `rate`) are the entity `ticking` of the control room: any worker may turn them, the
owner obeys.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gameserver.buses.base import Bus, Lease
from gameserver.context import Context
from gameserver.errors import GameserverError, Rejected, Unavailable
from gameserver.game import Game, Tick
from gameserver.rooms.names import CONTROL, GLOBAL, matches
from gameserver.runtime.clock import Clock
from gameserver.runtime.committer import Committer
from gameserver.runtime.replication import Replication
from gameserver.runtime.work import FunctionWork, Settled
from gameserver.state.draft import Draft

log = logging.getLogger("gameserver")

LEASE_TTL = 2.0
RENEW_EVERY = 0.5
LOOK_FOR_ROOMS = 5.0
TICKING = "ticking"
LONGEST_STEP = 8
"""Periods a late tick makes up for at most."""


@dataclass(slots=True)
class TickerStats:
    """Counters since start; `skipped` ticks found the one before still uncommitted."""

    ticks: int = 0
    skipped: int = 0
    failed: int = 0
    acquired: int = 0


@dataclass(slots=True)
class _Track:
    """One tick in one room. `due` and `last` are monotonic seconds."""

    tick: Tick
    room: str
    due: float
    last: float
    busy: bool = False


@dataclass(slots=True)
class Ticker:
    """`sweep` is awaited by the owner now and then: what only one worker should do."""

    game: Game
    bus: Bus
    committer: Committer
    replication: Replication
    clock: Clock
    worker: str
    sweep: Callable[[], Awaitable[None]]
    stats: TickerStats = field(default_factory=TickerStats)
    _token: int = 0
    _until: float = 0.0
    _acquired: asyncio.Event = field(default_factory=asyncio.Event)
    _tracks: dict[tuple[str, str], _Track] = field(default_factory=dict)

    @property
    def owner(self) -> bool:
        """Whether the lease is ours, as far as our own clock can tell."""
        return self._token > 0 and self.clock.monotonic() < self._until

    async def run(self) -> None:
        """Hold the lease when it can be had, and do what comes with it: the lease waits for nothing of that."""
        await self._renew()
        async with asyncio.TaskGroup() as both:
            both.create_task(self._hold_lease())
            both.create_task(self._do_duties())

    async def _hold_lease(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY)
            await self._renew()

    async def _do_duties(self) -> None:
        looked = 0.0
        while True:
            self._acquired.clear()
            if self.owner:
                try:
                    await self._ensure_world()
                    if self.clock.monotonic() - looked >= LOOK_FOR_ROOMS or not self._tracks:
                        await self._find_rooms()
                        looked = self.clock.monotonic()
                    await self.sweep()
                except GameserverError as error:
                    log.warning("the lease's duties have to wait: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._acquired.wait(), RENEW_EVERY)

    async def _renew(self) -> None:
        asked = self.clock.monotonic()
        try:
            lease: Lease = await self.bus.acquire(self.worker, LEASE_TTL)
        except GameserverError:
            return
        if lease.owner != self.worker:
            self._drop()
            return
        if lease.token != self._token:
            log.info("this worker ticks now, with fence %d", lease.token)
            self.stats.acquired += 1
            self._token = lease.token
            self._acquired.set()
        self._until = asked + LEASE_TTL

    def _drop(self) -> None:
        if self._token:
            log.info("this worker ticks no more")
            for track in self._tracks.values():
                self.replication.release(track.room)
        self._token = 0
        self._tracks.clear()

    async def release(self) -> None:
        """Let another worker have the lease at once."""
        if self._token:
            self._drop()
            await self.bus.release(self.worker)

    # -- the world's beginning ------------------------------------------------------------------------

    async def _ensure_world(self) -> None:
        replica = await self.replication.hold(GLOBAL)
        try:
            if "world" in replica.entities or not self.owner:
                return
            log.info("creating the world %s", self.game.name)
            now, seed = self.clock.wall(), self.clock.seed()
            await self.committer.perform(lambda draft: self._create(draft, now, seed), fence=self._token)
        finally:
            self.replication.release(GLOBAL)

    def _create(self, draft: Draft, now: float, seed: int) -> None:
        everywhere = draft.room(GLOBAL)
        if "world" in everywhere:
            return
        self.game.run_hooks("create", Context(draft, now=now, seed=seed, here=GLOBAL))
        everywhere.create("world", name=self.game.name, created=int(now * 1000))
        if TICKING not in draft.room(CONTROL):
            draft.room(CONTROL).create(TICKING)

    # -- ticking --------------------------------------------------------------------------------------

    async def _find_rooms(self) -> None:
        # Not all there are: every player who was ever here has a room.
        rooms = {
            prefix: await self.bus.rooms(prefix)
            for prefix in {tick.rooms.removesuffix("*") for tick in self.game.ticks}
        }
        now = self.clock.monotonic()
        for tick in self.game.ticks:
            fitting = [room for room in rooms[tick.rooms.removesuffix("*")] if matches(tick.rooms, room)]
            for place, room in enumerate(fitting):
                key = (tick.name, room)
                if key in self._tracks:
                    continue
                await self.replication.hold(room)
                if not self.owner:
                    self.replication.release(room)
                    return
                # Rooms tick one after the other within a period, so that no moment carries them all.
                offset = place / len(fitting) / tick.hz
                self._tracks[key] = _Track(tick, room, now + offset, now + offset - 1 / tick.hz)

    def _switches(self) -> tuple[bool, float]:
        """Whether to tick, and at how many times the declared rate."""
        control = self.replication.replica(CONTROL)
        fields = control.entities.get(TICKING, {}) if control is not None else {}
        going = bool(fields.get("running", True)) and not fields.get("paused", False)
        return going, float(fields.get("rate", 1.0))

    async def beat(self) -> None:
        """Run ticks when they are due, for ever."""
        while True:
            now = self.clock.monotonic()
            going, rate = self._switches()
            wake = now + 0.25
            for track in list(self._tracks.values()) if self.owner else ():
                if not going or rate <= 0:
                    # The world's time stands still with it.
                    track.last = now
                    continue
                if track.due <= now:
                    self._start(track, now, rate)
                wake = min(wake, track.due)
            await asyncio.sleep(max(0.001, wake - self.clock.monotonic()))

    def _start(self, track: _Track, now: float, rate: float) -> None:
        period = 1 / (track.tick.hz * rate)
        behind = now - track.due
        track.due = now + period if behind > LONGEST_STEP * period else track.due + period
        if track.busy:
            self.stats.skipped += 1
            return
        elapsed = min(now - track.last, LONGEST_STEP * period) * rate
        track.last = now
        track.busy = True
        tick, room = track.tick, track.room
        wall, seed = self.clock.wall(), self.clock.seed()

        def run(draft: Draft) -> None:
            tick.handler(Context(draft, now=wall, seed=seed, here=room), elapsed)

        def settle(settled: Settled) -> None:
            track.busy = False
            self._count(settled, track)

        self.committer.submit(FunctionWork(run, settle, fence=self._token, alone=True, lane=int(tick.priority)))

    def _count(self, settled: Settled, track: _Track) -> None:
        self.stats.ticks += 1
        if isinstance(settled, dict | Rejected):
            return
        self.stats.failed += 1
        if not isinstance(settled, Unavailable):
            log.warning("the tick %s of %s failed: %s", track.tick.name, track.room, settled)

    # -- switches -------------------------------------------------------------------------------------

    async def switch(self, **fields: bool | float) -> None:
        """Turn `running`, `paused` or `rate` for the whole world, from any worker. Raises Unavailable."""

        def run(draft: Draft) -> None:
            control = draft.room(CONTROL)
            ticking = control.get(TICKING) or control.create(TICKING)
            for name, value in fields.items():
                setattr(ticking, name, value)

        await self.committer.perform(run)

    async def start(self) -> None:
        await self.switch(running=True, paused=False)

    async def stop(self) -> None:
        await self.switch(running=False)

    async def pause(self) -> None:
        await self.switch(paused=True)

    async def resume(self) -> None:
        await self.switch(paused=False)

    async def set_rate(self, rate: float) -> None:
        """`rate` multiplies every tick's declared frequency. Raises ValueError unless 0 < rate <= 20."""
        if not 0 < rate <= 20:
            raise ValueError("the rate lies above 0 and at most at 20")
        await self.switch(rate=rate)
