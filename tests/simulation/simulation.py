"""One seed: a world, its players, its faults, and what came of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass, field

from gameserver.sessions.claims import Claims
from tests.simulation.faults import inject, plan
from tests.simulation.loop import Hot, run
from tests.simulation.player import Player
from tests.simulation.verdict import Agreement, check_bounds, check_events, unsettled
from tests.simulation.world import START_MS, World

ENCODINGS = ("json", "msgpack", "compact", "json")


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a run is. `agreement` is the X of invariant D, in virtual seconds."""

    workers: int = 3
    players: int = 20
    commands: int = 500
    faults: int = 5
    begin: float = 1.5
    end: float = 14.0
    agreement: float = 12.0
    settled: float = 30.0


@dataclass(slots=True)
class Outcome:
    """What came of one seed. `virtual` and `took` in seconds; `violations` in order."""

    seed: int
    faults: list[str] = field(default_factory=list)
    virtual: float = 0.0
    took: float = 0.0
    callbacks: int = 0
    applied: int = 0
    digest: str = ""
    agreed_after: float = 0.0
    settled_after: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)

    @property
    def first(self) -> str:
        """The letter of the first invariant that was violated, empty for none."""
        return self.violations[0].partition(":")[0] if self.violations else ""

    def report(self, lines: int = 60) -> str:
        """What somebody needs who wants to know what went wrong."""
        parts = [f"seed {self.seed}: {self.violations[0] if self.violations else 'nothing is wrong'}"]
        parts += [f"  fault: {fault}" for fault in self.faults]
        parts += [f"  also: {violation}" for violation in self.violations[1:6]]
        parts += [f"  {line[:300]}" for line in self.tail[-lines:]]
        return "\n".join(parts)


class _Errors(logging.Handler):
    """What the server logs as an error is one."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        fault = record.exc_info[1] if record.exc_info else None
        self._world.trace.violated("L", f"{record.getMessage()} {fault!r}")


def simulate(seed: int, scale: Scale | None = None) -> Outcome:
    """Run the seed to its end, or to the first violation."""
    outcome = Outcome(seed)
    started = time.process_time()
    try:
        run(lambda: _simulate(outcome, scale or Scale()))
    except Hot as hot:
        outcome.violations.append(f"E: {hot}")
    outcome.took = time.process_time() - started
    return outcome


async def _simulate(outcome: Outcome, scale: Scale) -> None:
    world = World(outcome.seed, scale.workers)
    logger = logging.getLogger("gameserver")
    handler = _Errors(world)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        await _live(world, outcome, scale)
    finally:
        trace = world.trace
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
        outcome.virtual = world.loop.time()
        outcome.callbacks = world.loop.ran
        outcome.applied = sum(map(len, world.ledger.effects.values()))
        outcome.counts = trace.counts
        outcome.digest = trace.digest
        outcome.violations += [str(violation) for violation in trace.violations]
        outcome.tail = trace.violated_at or list(trace.tail)
        for player in world.players:
            player.stop()
        for worker in world.workers:
            await worker.kill()


async def _live(world: World, outcome: Outcome, scale: Scale) -> None:
    for slot in range(scale.workers):
        world.begin(slot)
    faults = plan(world.random("plan"), scale.faults, scale.begin, scale.end)
    outcome.faults = [str(fault) for fault in faults]
    _invite(world, scale)
    await _watched(world, inject(world, faults, scale.end))
    over = world.loop.time()
    agreement = Agreement(world)
    if await _until(world, agreement.wanting, over + scale.agreement, "D"):
        outcome.agreed_after = world.loop.time() - over
        world.ledger.audit(world.store)
        check_events(world)
    if await _until(world, lambda: unsettled(world), over + scale.settled, "E"):
        outcome.settled_after = world.loop.time() - over
        world.ledger.audit(world.store)


def _invite(world: World, scale: Scale) -> None:
    """The last tenth of the devices are second ones of the first players."""
    random = world.random("players")
    people = scale.players - scale.players // 10
    each = -(-scale.commands // scale.players)
    # Faster than the faults, so that they meet commands.
    pause = (scale.end - 2.0) / each
    for number in range(scale.players):
        person = number % people
        claims = Claims(
            f"p{person}",
            f"P{person}",
            "player",
            ("red", "blue", None)[person % 3],
            START_MS / 1000 + 1e6,
            f"jti{number}",
        )
        encoding = ENCODINGS[number % len(ENCODINGS)]
        player = Player(world, f"d{number}", claims, encoding, each, world.random(f"player {number}"))
        world.players.append(player)
        world.loop.call_later(0.2 + random.random(), player.dial)
        world.loop.call_later(1.0 + random.random(), player.play, pause)


async def _watched(world: World, work) -> None:  # type: ignore[no-untyped-def]
    """Until the work is done or the first invariant is violated."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done() and not world.trace.violations:
            await asyncio.wait((task,), timeout=0.25)
            check_bounds(world)
    finally:
        if not task.done():
            task.cancel()
        await asyncio.gather(task, return_exceptions=not task.done())


async def _until(world: World, wanting, deadline: float, letter: str) -> bool:  # type: ignore[no-untyped-def]
    """Whether nothing was wanting any more before the deadline."""
    while not world.trace.violations:
        missing = wanting()
        if missing is None:
            return True
        if world.loop.time() > deadline:
            world.trace.violated(letter, f"not in time: {missing}")
            break
        await asyncio.sleep(0.1)
    return False
