"""What goes wrong in a run: chosen by the seed, over some seconds each, and all over at a known time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from random import Random

from tests.simulation.bus import Weather
from tests.simulation.world import Worker, World

Cause = Callable[[World, Random, float], Awaitable[None]]
"""Makes it happen for about so many seconds, and returns when it is over."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`at` and `lasting` in seconds of the run."""

    kind: str
    at: float
    lasting: float

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:.2f} s for {self.lasting:.2f} s"


def bad_weather(name: str, mildest: float, worst: float) -> Cause:
    """Messages of one kind, to and from one worker or all of them."""

    async def happen(world: World, random: Random, lasting: float) -> None:
        chance = mildest + (worst - mildest) * random.random() ** 2
        slots = {worker.slot for worker in world.workers}
        if random.random() < 0.6:
            slots = {random.choice(sorted(slots))}
        until = world.loop.time() + lasting
        while world.loop.time() < until:
            # A worker that is started meanwhile has the weather of its slot.
            for worker in world.workers:
                if worker.slot in slots:
                    setattr(worker.bus.weather, name, chance)
            await asyncio.sleep(0.2)
        for worker in world.workers:
            setattr(worker.bus.weather, name, 0.0)

    return happen


async def cut_off(world: World, random: Random, lasting: float) -> None:
    """One worker does not reach the store."""
    worker = random.choice(world.workers)
    if not worker.bus.away:
        worker.bus.go_away()
        await asyncio.sleep(lasting)
        if not world.away:
            worker.bus.come_back()


async def away(world: World, random: Random, lasting: float) -> None:
    """Nobody reaches the store."""
    if not world.away:
        await _away(world, random, lasting, lambda: None)


async def lost_everything(world: World, random: Random, lasting: float) -> None:
    """The store comes back empty."""
    if not world.away:
        await _away(world, random, min(lasting, 2.0), world.store.wipe)


async def _away(world: World, random: Random, lasting: float, meanwhile: Callable[[], None]) -> None:
    world.away = True
    for worker in world.workers:
        if not worker.bus.away:
            worker.bus.go_away()
    await asyncio.sleep(lasting)
    meanwhile()
    world.away = False
    for worker in random.sample(world.workers, len(world.workers)):
        await asyncio.sleep(random.random() * 0.1)
        if worker.bus.away:
            worker.bus.come_back()


async def frozen(world: World, random: Random, lasting: float) -> None:
    """As SIGSTOP and SIGCONT; rather the one who ticks."""
    worker = _victim(world, random)
    if worker is not None:
        world.loop.freeze(worker.domain)
        await asyncio.sleep(lasting)
        world.loop.thaw(worker.domain)


async def killed(world: World, random: Random, lasting: float) -> None:
    worker = _victim(world, random)
    if worker is not None:
        await worker.kill()
        await asyncio.sleep(lasting)
        world.begin(worker.slot)


async def restarted(world: World, random: Random, lasting: float) -> None:
    """As SIGTERM, and started again."""
    worker = _victim(world, random)
    if worker is not None and not worker.domain.frozen:
        await worker.stop(min(lasting, 1.0))
        world.begin(worker.slot)


def _victim(world: World, random: Random) -> Worker | None:
    living = world.living()
    if len(living) < 2:
        return None
    owners = [worker for worker in living if worker.node.ticker.owner]
    return random.choice(owners if owners and random.random() < 0.5 else living)


async def lines_break(world: World, random: Random, lasting: float) -> None:
    """Of many clients, again and again."""
    until = world.loop.time() + lasting
    while world.loop.time() < until:
        for player in random.sample(world.players, len(world.players) // 4):
            player.drop()
        await asyncio.sleep(0.3 + random.random())


async def lines_fall_silent(world: World, random: Random, lasting: float) -> None:
    """Neither side is told."""
    for player in random.sample(world.players, len(world.players) // 4):
        if player.wire is not None:
            player.wire.fall_silent()
    await asyncio.sleep(lasting)


async def slow_readers(world: World, random: Random, lasting: float) -> None:
    """They stop reading for a while, and are owed all of it."""
    wires = [player.wire for player in random.sample(world.players, len(world.players) // 3)]
    for wire in wires:
        if wire is not None:
            wire.stick()
    for wire in wires:
        await asyncio.sleep(lasting / len(wires))
        if wire is not None:
            wire.drain()


KINDS: dict[str, tuple[int, float, Cause]] = {
    "publications lost": (6, 4.0, bad_weather("publications_lost", 0.02, 0.6)),
    "publications doubled": (3, 4.0, bad_weather("publications_doubled", 0.05, 0.6)),
    "publications late": (5, 4.0, bad_weather("publications_late", 0.05, 0.5)),
    "publications mangled": (2, 3.0, bad_weather("publications_mangled", 0.02, 0.2)),
    "requests lost": (3, 3.0, bad_weather("requests_lost", 0.05, 0.4)),
    "requests late": (4, 3.0, bad_weather("requests_late", 0.05, 0.4)),
    "replies lost": (5, 3.0, bad_weather("replies_lost", 0.05, 0.5)),
    "worker cut off": (4, 4.0, cut_off),
    "store away": (3, 3.0, away),
    "store lost everything": (2, 2.0, lost_everything),
    "worker frozen": (6, 7.0, frozen),
    "worker killed": (5, 3.0, killed),
    "worker restarted": (3, 2.0, restarted),
    "lines break": (5, 3.0, lines_break),
    "lines fall silent": (3, 1.0, lines_fall_silent),
    "slow readers": (4, 4.0, slow_readers),
}
"""Each kind's weight, the longest it lasts in seconds, and what it does."""


def plan(random: Random, fewest: int, begin: float, end: float) -> list[Fault]:
    """At least `fewest` faults between `begin` and `end`, in seconds of the run; at most one loss of everything."""
    faults: list[Fault] = []
    names, weights = list(KINDS), [weight for weight, _, _ in KINDS.values()]
    for _ in range(fewest + random.randrange(4)):
        kind = random.choices(names, weights)[0]
        if kind == "store lost everything":
            weights[names.index(kind)] = 0
        lasting = 0.2 + (KINDS[kind][1] - 0.2) * random.random()
        at = begin + (end - begin - lasting) * random.random()
        faults.append(Fault(kind, at, lasting))
    return sorted(faults, key=lambda fault: fault.at)


async def inject(world: World, faults: list[Fault], end: float) -> None:
    """Have them happen; returns at `end`, when the last one is over."""
    random = world.random("faults")

    async def happen(fault: Fault, chance: Random) -> None:
        await asyncio.sleep(max(0.0, fault.at - world.loop.time()))
        world.trace.note("FAULT", str(fault))
        world.trace.counts[f"fault {fault.kind}"] += 1
        await KINDS[fault.kind][2](world, chance, fault.lasting)
        world.trace.note("OVER", str(fault))

    async with asyncio.TaskGroup() as group:
        for fault in faults:
            group.create_task(happen(fault, Random(random.random())))
    await asyncio.sleep(max(0.0, end - world.loop.time()))
    heal(world)


def heal(world: World) -> None:
    """Nothing is wrong with the outside any more."""
    world.over = True
    for worker in world.workers:
        for each in fields(Weather):
            setattr(worker.bus.weather, each.name, 0.0)
        if worker.bus.away:
            worker.bus.come_back()
    for player in world.players:
        if player.wire is not None:
            player.wire.drain()
