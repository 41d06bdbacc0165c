"""W7: what a delivery costs as the world grows, with as many commits in every flush."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.bus import Bus
from benchmarks.fanout import BURST, payload, script
from benchmarks.plan import Plan
from benchmarks.tables import GROWTH
from gameserver.bench.figures import per
from gameserver.bench.machine import Cores
from gameserver.bench.processes import BenchmarkFailed

DELIVERIES = 40_000
"""A second."""
SLOTS = 100
"""Entities of a room that are written to in turn."""


@dataclass(frozen=True, slots=True)
class Size:
    row: str
    clients: int
    rooms: int
    entities: int = SLOTS
    workers: int = 1


def sizes(plan: Plan) -> Iterator[Size]:
    """One thing grows at a time. Clients come in rooms of fifty, rooms in tens of clients."""
    for clients in (100, 1_000, 10_000):
        if clients <= plan.most_clients:
            yield Size(f"{clients:,} clients, 50 in a room", clients, clients // 50)
    for rooms in (1, 10, 100, 1_000):
        if rooms <= plan.most_rooms:
            yield Size(f"{rooms:,} rooms of 10 clients", 10 * rooms, rooms)
    for entities in (10, 100, 1_000, 5_000):
        if entities <= plan.most_entities:
            yield Size(f"{entities:,} entities in each of 5 rooms", 250, 5, entities)
    for workers in (1, 2, 4):
        yield Size(f"{workers} workers, 20 rooms of 50", 1_000, 20, workers=workers)


def grow(size: Size, cores: Cores, plan: Plan) -> None:
    # Several workers do not fit on the server's core: they and everything else take what there is.
    placed = cores if size.workers == 1 else Cores(None, None, None)
    bus = Bus(workers=size.workers, environ={"BENCHMARK_ENTITIES": str(size.entities)})
    members = size.clients // size.rooms
    with bus.start(placed, size.rooms) as running:
        made = script(bus, running, size.clients, size.rooms)
        made.say("turns", min(size.entities, SLOTS))
        made.phase(
            size.row,
            "paced",
            "publishers",
            bus.message(payload()),
            DELIVERIES / (BURST * members),
            many=BURST,
            seconds=plan.growth,
            warm_up=plan.warm_up,
            subscribers=members,
        )
        found = made.run(running.port, placed.load, running.processes)[-1]
    if not found["delivered"] or found["refused"]:
        raise BenchmarkFailed(f"{size.row}: {found['delivered']} delivered, {found['refused']} commands refused.")
    GROWTH.add(
        size.row,
        us=per(1e6 * found["cpu"]["server"], found["delivered"]),
        commits=found["sent"] / found["seconds"],
        share=100 * found["delivered_in_all"] / found["expected"],
        p99_ms=1e3 * found["delivery"]["p99"],
        server=100 * found["cpu"]["server"] / found["seconds"],
    )
