"""Commits: one batch is in flight, and everything that waits meanwhile goes into the next.

Game code runs only while a batch is built, over replicas that hold everything committed so far; so a batch
is refused only for what other workers did at the same time, and then runs again over the new state.

A command with an id that game code refuses, or that changes nothing, may be the retry of one that was committed
and for which there is no more room now. So the store is asked first whether it was answered before.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gameserver.buses.base import Answered, Batch, BatchReply, Bus, CommandKey, GroupResult, Outcome
from gameserver.buses.base import Group as BusGroup
from gameserver.context import lane_of
from gameserver.errors import Conflict, ForeignEpoch, GameserverError, KeyConflict, RateLimited, Unavailable
from gameserver.runtime.batch import BatchBuilder, Group, Place
from gameserver.runtime.replication import Replication
from gameserver.runtime.supervise import Supervisor
from gameserver.runtime.work import FunctionWork, Settled, Work
from gameserver.state.draft import Draft
from gameserver.state.kinds import Schema

log = logging.getLogger("gameserver")

WORKS_AT_ONCE = 256
RUNS_AT_ONCE = 1024
"""Runs for one batch, those included that are refused: others on the event loop get their turn in between."""
MAX_WAITING = 20_000
MAX_CONFLICTS = 30
MAX_REFUSALS = 200
HOT_BATCHES = 64
"""For how many batches a contested entity keeps its commands in groups of their own."""
GIVE_UP = 2.0
"""Seconds a batch whose reply was lost is asked for again before its commands are refused."""
WAIT_FOR_ROOM = 5.0


@dataclass(slots=True)
class CommitterStats:
    """Counters since start; `last` and `slowest` are seconds from sending a batch to its reply."""

    batches: int = 0
    works: int = 0
    accepted: int = 0
    rejected: int = 0
    conflicts: int = 0
    claimed: int = 0
    fenced: int = 0
    answered: int = 0
    suspended: int = 0
    resent: int = 0
    unavailable: int = 0
    last: float = 0.0
    slowest: float = 0.0


class Committer:
    """Takes works in, gives each its answer."""

    def __init__(
        self,
        schema: Schema,
        bus: Bus,
        replication: Replication,
        supervisor: Supervisor,
        worker: str,
        now: Callable[[], float],
    ) -> None:
        self._schema = schema
        self._bus = bus
        self._replication = replication
        self._supervisor = supervisor
        self._worker = worker
        self._now = now
        self._waiting: deque[Work] = deque()
        self._wake = asyncio.Event()
        self._parked: dict[str, deque[Work]] = {}
        """Works behind a suspended one of the same player."""
        self._suspended = 0
        self._hot: dict[Place, int] = {}
        self._serial = 0
        self._number = 0
        self._down = False
        self._doubtful: list[tuple[Work, Settled]] = []
        """What is to be answered unless the store knows better: the next batch asks."""
        self.stats = CommitterStats()

    @property
    def backlog(self) -> int:
        return len(self._waiting) + self._suspended + sum(map(len, self._parked.values()))

    def submit(self, work: Work) -> None:
        """Have it run in the next batch. Over capacity it is refused at once."""
        if len(self._waiting) >= MAX_WAITING:
            work.answer(RateLimited("the worker is over capacity", retry_after=1.0))
            return
        self._serial += 1
        work.serial = self._serial
        self._waiting.append(work)
        self._wake.set()

    async def perform(
        self, run: Callable[[Draft], object], *, fence: int = 0, player: str = "", lane: int = 0
    ) -> dict[str, int]:
        """Submit and await: the new seqs. Raises what refused it, Unavailable after a deadline."""
        future: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()

        def settle(settled: Settled) -> None:
            if not future.done():
                future.set_result(settled)

        self.submit(FunctionWork(run, settle, player=player, fence=fence, lane=lane, alone=bool(fence)))
        try:
            settled = await asyncio.wait_for(future, WAIT_FOR_ROOM + GIVE_UP)
        except TimeoutError:
            raise Unavailable("no commit in time", retry_after=1.0) from None
        if isinstance(settled, dict):
            return settled
        raise settled

    async def run(self) -> None:
        """Commit for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting or self._doubtful:
                if self._down and not self._bus.connected:
                    self._refuse_all()
                    break
                builder = self._build()
                groups = self._worth_sending(builder)
                if groups or self._doubtful:
                    await self._commit(builder, groups)
                # A store in this process answers at once: others must get their turn all the same.
                await asyncio.sleep(0)

    # -- building ------------------------------------------------------------------------------------

    def _build(self) -> BatchBuilder:
        builder = BatchBuilder(self._schema, self._replication.ready, self._hot, lane_of)
        later: list[Work] = []
        held: set[str] = set()
        for _ in range(min(len(self._waiting), RUNS_AT_ONCE)):
            if builder.size + len(self._doubtful) >= WORKS_AT_ONCE:
                break
            work = self._waiting.popleft()
            if work.player and work.player in self._parked:
                self._parked[work.player].append(work)
                continue
            if work.player in held:
                later.append(work)
                continue
            ran = builder.run(work)
            if ran.idle:
                # Had it been committed before, it would have done nothing then either: no need to ask the store.
                self.stats.accepted += 1
                work.answer({})
            elif ran.missing is not None:
                self._suspend(work, ran.missing)
            elif ran.postponed:
                later.append(work)
                held.add(work.player)
            elif ran.refused is not None:
                self._refuse(work, ran.refused)
        self._waiting.extendleft(reversed(later))
        return builder

    def _refuse(self, work: Work, refused: GameserverError) -> None:
        if work.id:
            self._doubtful.append((work, refused))
        else:
            self.stats.rejected += 1
            work.answer(refused)

    def _worth_sending(self, builder: BatchBuilder) -> list[Group]:
        """Groups that change something; of the others there is nothing to commit."""
        worth = []
        for group in builder.groups:
            if any(work.changed for work in group.works):
                worth.append(group)
                continue
            self._doubtful += [(work, {}) for work in group.works if work.id]
            group.works = [work for work in group.works if not work.id]
            self._settle_accepted(group, {})
        return worth

    def _suspend(self, work: Work, room: str) -> None:
        """Run it again when the room is there; the player's later works wait behind it."""
        self.stats.suspended += 1
        self._suspended += 1
        if work.player:
            self._parked[work.player] = deque()
        self._supervisor.start(self._resume_with(work, room), f"a command waits for {room}")

    async def _resume_with(self, work: Work, room: str) -> None:
        loaded = True
        try:
            await asyncio.wait_for(self._replication.want(room), WAIT_FOR_ROOM)
        except TimeoutError:
            loaded = False
        finally:
            self._suspended -= 1
            parked = self._parked.pop(work.player, deque()) if work.player else deque()
            again = [work, *parked] if loaded else list(parked)
            # One that came before it may have lost a conflict meanwhile, and been parked with those that came after.
            self._requeue(again)
            self._wake.set()
        if not loaded:
            work.answer(Unavailable(f"{room} could not be loaded in time", retry_after=1.0))

    # -- sending -------------------------------------------------------------------------------------

    async def _commit(self, builder: BatchBuilder, groups: list[Group]) -> None:
        doubtful, self._doubtful = self._doubtful, []
        everybody = [work for group in groups for work in group.everybody] + [work for work, _ in doubtful]
        try:
            await self._commit_groups(builder, groups, doubtful, everybody)
        except Exception as fault:
            log.exception("a batch could not be committed")
            for work in everybody:
                work.answer(GameserverError(f"the commit failed: {type(fault).__name__}"))

    async def _commit_groups(
        self,
        builder: BatchBuilder,
        groups: list[Group],
        doubtful: list[tuple[Work, Settled]],
        everybody: list[Work],
    ) -> None:
        self._number += 1
        sent = [builder.for_bus(group, self._worker) for group in groups]
        if doubtful:
            sent.append(BusGroup([], [CommandKey(work.player, work.id, work.body(), []) for work, _ in doubtful]))
        batch = Batch(self._replication.epoch, self._number, sent)
        started = self._now()
        try:
            reply = await self._send(batch)
        except ForeignEpoch:
            self._requeue(everybody)
            await self._learn_epoch()
            return
        except GameserverError as error:
            self._down = isinstance(error, Unavailable)
            for work in everybody:
                self.stats.unavailable += 1
                work.answer(error)
            return
        self._down = False
        stats = self.stats
        stats.batches += 1
        stats.works += builder.size
        stats.last = self._now() - started
        stats.slowest = max(stats.slowest, stats.last)
        self._cool()
        if doubtful:
            self._settle_doubtful(doubtful, reply.results[-1].answered)
        self._settle(groups, batch, reply)

    async def _send(self, batch: Batch) -> BatchReply:
        """A lost reply is asked for again with the same number, which the store answers from memory."""
        until = self._now() + GIVE_UP
        while True:
            try:
                return await self._bus.commit(batch)
            except Unavailable:
                if self._now() >= until:
                    raise Unavailable("the store does not answer", retry_after=1.0) from None
                self.stats.resent += 1
                await asyncio.sleep(0.02)

    async def _learn_epoch(self) -> None:
        try:
            await self._replication.check()
        except GameserverError:
            self._down = True

    def _refuse_all(self) -> None:
        waiting = [*self._waiting, *(work for work, _ in self._doubtful)]
        self._waiting, self._doubtful = deque(), []
        for work in waiting:
            self.stats.unavailable += 1
            work.answer(Unavailable("the store cannot be reached", retry_after=1.0))

    # -- settling ------------------------------------------------------------------------------------

    def _settle(self, groups: list[Group], batch: Batch, reply: BatchReply) -> None:
        again: list[Work] = []
        for group, sent, result in zip(groups, batch.groups, reply.results, strict=False):
            if result.outcome is Outcome.ACCEPTED:
                self._settle_accepted(group, reply.seq)
            elif result.outcome is Outcome.ANSWERED:
                again.extend(self._settle_answered(group, result.answered))
            elif result.outcome is Outcome.FENCED:
                again.extend(self._settle_fenced(group))
            else:
                bases = {part.room: part.base for part in sent.rooms}
                again.extend(self._contested(group, result, bases.get(result.room, 0)))
        for room, seq in reply.seq.items():
            self._replication.expect(room, seq)
        self._requeue(again)

    def _settle_accepted(self, group: Group, seq: dict[str, int]) -> None:
        self.stats.accepted += len(group.works)
        for work in group.works:
            work.answer({room: seq[room] for room in work.changed if room in seq})
        for work, refused in group.rejected:
            self._refuse(work, refused)

    def _settle_answered(self, group: Group, answered: list[Answered]) -> list[Work]:
        """Those answered before are answered again; the rest of the group has yet to run."""
        done = self._answer([work for work in group.works if work.id], answered)
        return [work for work in group.everybody if work.serial not in done]

    def _settle_doubtful(self, doubtful: list[tuple[Work, Settled]], answered: list[Answered]) -> None:
        """What the store does not know stands."""
        done = self._answer([work for work, _ in doubtful], answered)
        for work, settled in doubtful:
            if work.serial not in done:
                accepted = isinstance(settled, dict)
                self.stats.accepted += accepted
                self.stats.rejected += not accepted
                work.answer(settled)

    def _answer(self, asked: list[Work], answered: list[Answered]) -> set[int]:
        """Answer what was answered before; the serials of those works."""
        done: set[int] = set()
        for answer in answered:
            work = asked[answer.command]
            done.add(work.serial)
            self.stats.answered += 1
            if answer.seq is None:
                work.answer(KeyConflict("this id was used for another command"))
            else:
                work.answer(answer.seq)
        return done

    def _settle_fenced(self, group: Group) -> list[Work]:
        again = []
        for work in group.everybody:
            if work.fence:
                self.stats.fenced += 1
                work.answer(Conflict("the lease was lost"))
            else:
                again.append(work)
        return again

    def _contested(self, group: Group, result: GroupResult, base: int) -> list[Work]:
        self._hot[(result.room, result.entity)] = self._number + HOT_BATCHES
        claimed = result.outcome is Outcome.CLAIMED
        if not claimed:
            # What refused us was published before this reply: a replica that does not know it yet has lost it.
            self._replication.expect(result.room, base + 1 if base >= 0 else 0)
        self.stats.claimed += claimed
        again = []
        for work in group.everybody:
            work.refusals += 1
            if not claimed:
                work.conflicts += 1
                self.stats.conflicts += 1
            if work.conflicts > MAX_CONFLICTS or work.refusals > MAX_REFUSALS:
                work.answer(Conflict("too many others at once", retry_after=0.2))
            else:
                again.append(work)
        return again

    def _requeue(self, works: list[Work]) -> None:
        works.sort(key=lambda work: work.serial)
        self._waiting.extendleft(reversed(works))
        if works:
            self._wake.set()

    def _cool(self) -> None:
        if self._hot:
            self._hot = {place: until for place, until in self._hot.items() if until > self._number}
