"""W1 and W2: one message of 150 bytes to everybody in its room, as fast as it goes, and at a game's pace."""

from __future__ import annotations

from typing import Any

from benchmarks.contestants import Contestant
from benchmarks.plan import Plan
from benchmarks.script import STAMP, Script
from benchmarks.tables import PACED, SATURATED
from gameserver.bench.figures import per
from gameserver.bench.machine import Cores
from gameserver.bench.processes import BenchmarkFailed

SIZE = 150
"""Bytes of a message."""
FILLING = "'t':'d','x':12.5,'y':-3.25,'hp':97,'anim':'run','ent':[1,2,3],'flags':7;"
WINDOW = 64
"""Messages on the way to a room in the saturated workload."""
ROOMS = 20
HZ = 20.0
BURST = 5


def payload(size: int = SIZE) -> str:
    """The stamp and what fills the rest; it looks like JSON and needs no escapes in it."""
    return STAMP + (FILLING * (size // len(FILLING) + 1))[: size - len(STAMP)]


def script(contestant: Contestant, running: Any, clients: int, rooms: int) -> Script:
    """Listeners spread over the rooms, then one publisher per room."""
    made = Script()
    # A message's marks are not closer to each other than this.
    made.say("stride", SIZE - 20)
    made.group(
        "listeners",
        contestant.listeners(),
        [contestant.listener(running, number % rooms, number) for number in range(clients)],
    )
    made.group("publishers", contestant.publishers(), [contestant.publisher(running, room) for room in range(rooms)])
    made.join("listeners")
    made.join("publishers")
    return made


def saturate(contestant: Contestant, cores: Cores, plan: Plan) -> None:
    """W1."""
    with contestant.start(cores, 1) as running:
        made = script(contestant, running, plan.clients, 1)
        made.phase(
            "saturated",
            "window",
            "publishers",
            contestant.message(payload()),
            WINDOW,
            seconds=plan.fanout,
            warm_up=plan.warm_up,
            subscribers=plan.clients + contestant.publishers_listen,
        )
        found = made.run(running.port, cores.load, running.processes)[-1]
    expect_delivered(contestant, found)
    cpu, seconds = found["cpu"]["server"], found["seconds"]
    SATURATED.add(
        contestant.name,
        per_s=found["delivered"] / seconds,
        per_cpu_s=per(found["delivered"], cpu),
        us=per(cpu * 1e6, found["delivered"]),
        server=100 * cpu / seconds,
        bytes=found["bytes"] / found["delivered"],
        load=100 * found["cpu"]["load"] / seconds,
    )


def keep_pace(contestant: Contestant, cores: Cores, plan: Plan) -> None:
    """W2."""
    with contestant.start(cores, ROOMS) as running:
        made = script(contestant, running, plan.clients, ROOMS)
        made.phase(
            "paced",
            "paced",
            "publishers",
            contestant.message(payload()),
            ROOMS * HZ,
            many=BURST,
            seconds=plan.fanout,
            warm_up=plan.warm_up,
            subscribers=plan.clients // ROOMS + contestant.publishers_listen,
        )
        found = made.run(running.port, cores.load, running.processes)[-1]
    expect_delivered(contestant, found)
    cpu, seconds, latency = found["cpu"]["server"], found["seconds"], found["delivery"]
    if not latency["count"]:
        raise BenchmarkFailed(f"{contestant.name} could not keep the pace: what was due came after the measurement.")
    PACED.add(
        contestant.name,
        server=100 * cpu / seconds,
        share=100 * found["delivered_in_all"] / found["expected"],
        p50_ms=1e3 * latency["p50"],
        p99_ms=1e3 * latency["p99"],
        worst_ms=1e3 * latency["worst"],
        bytes=found["bytes"] / found["delivered"],
        redis=100 * found["cpu"]["redis"] / seconds if "redis" in found["cpu"] else None,
        load=100 * found["cpu"]["load"] / seconds,
    )


def expect_delivered(contestant: Contestant, found: dict[str, Any]) -> None:
    if not found["delivered"]:
        raise BenchmarkFailed(f"{contestant.name}: nothing was delivered, so nothing was measured.")
    if found["refused"]:
        raise BenchmarkFailed(f"{contestant.name}: {found['refused']} commands were refused.")
