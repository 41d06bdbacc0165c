"""W3: commands with validated arguments, answered alone, committed in memory, and committed on Redis by two workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.bus import Bus
from benchmarks.contestants import Contestant, Running
from benchmarks.plan import Plan
from benchmarks.script import Message, Script
from benchmarks.tables import ANSWERS, COMMANDS, COMMITS
from gameserver.bench.figures import per
from gameserver.bench.machine import Cores
from gameserver.bench.processes import BenchmarkFailed
from gameserver.protocol.codec import JSON, MSGPACK

CLIENTS = 200
DEPTHS = (1, 4)
DEPTH = 4
RATE = 5000.0
WARM_UP = 0.5
SHARED = Cores(None, None, None)
"""Two workers, Redis and the load on two cores: the system deals them out better than we would."""
COMMITTED = {"independent": ("bump", False), "hot": ("bump", True), "moves": ("shift", False)}


@dataclass(frozen=True, slots=True)
class Place:
    """Where commits go to; `shared` cores are everybody's."""

    name: str
    bus: Bus
    shared: bool = False


PLACES = (
    Place("memory, one worker", Bus(JSON, redis=False)),
    Place("memory, one worker", Bus(MSGPACK, redis=False)),
    Place("Redis, two workers", Bus(JSON, workers=2), shared=True),
)


def script(contestant: Contestant, running: Running) -> Script:
    made = Script()
    arguments = [contestant.commander(running, number) for number in range(CLIENTS)]
    made.group("commanders", contestant.listeners(), arguments)
    made.join("commanders")
    return made


def saturate(made: Script, name: str, message: Message, depth: int, seconds: float) -> None:
    made.phase(name, "saturated", "commanders", message, depth, seconds=seconds, warm_up=WARM_UP)


def answer(contestant: Contestant, cores: Cores, plan: Plan) -> None:
    """(a): nothing is committed."""
    with contestant.start(cores, 1) as running:
        made = script(contestant, running)
        for depth in DEPTHS:
            saturate(made, f"{contestant.name}, depth {depth}", contestant.command(), depth, plan.commands)
        found = made.run(running.port, cores.load, running.processes)[1:]
    for phase in found:
        expect_answered(phase)
        cpu, seconds = phase["cpu"]["server"], phase["seconds"]
        COMMANDS.add(
            phase["phase"],
            per_s=phase["accepted"] / seconds,
            per_cpu_s=per(phase["accepted"], cpu),
            p50_ms=1e3 * phase["answer"]["p50"],
            p99_ms=1e3 * phase["answer"]["p99"],
            server=100 * cpu / seconds,
            load=100 * phase["cpu"]["load"] / seconds,
        )


def commit(place: Place, cores: Cores, plan: Plan) -> None:
    """(b) and (c)."""
    bus = place.bus
    cores = SHARED if place.shared else cores
    with bus.start(cores, 1) as running:
        made = script(bus, running)
        made.phase("paced", "paced", "commanders", bus.sent("bump"), RATE, seconds=plan.commands, warm_up=WARM_UP)
        for name, (command, hot) in COMMITTED.items():
            saturate(made, name, bus.sent(command, hot=hot), DEPTH, plan.commands)
        _, paced, *found = made.run(running.port, cores.load, running.processes)
    where = f"{place.name}, {bus.encoding}"
    _note_answers(where, paced)
    for phase in found:
        expect_answered(phase)
        cpu, seconds = phase["cpu"], phase["seconds"]
        COMMITS.add(
            f"{where}: {phase['phase']}",
            per_s=phase["accepted"] / seconds,
            per_cpu_s=per(phase["accepted"], cpu["server"]),
            p50_ms=1e3 * phase["answer"]["p50"],
            p99_ms=1e3 * phase["answer"]["p99"],
            workers=100 * cpu["server"] / seconds,
            redis=100 * cpu["redis"] / seconds if "redis" in cpu else None,
            load=100 * cpu["load"] / seconds,
        )


def _note_answers(where: str, phase: dict[str, Any]) -> None:
    expect_answered(phase)
    ANSWERS.add(
        where,
        p50_ms=1e3 * phase["answer"]["p50"],
        p99_ms=1e3 * phase["answer"]["p99"],
        p999_ms=1e3 * phase["answer"]["p999"],
        worst_ms=1e3 * phase["answer"]["worst"],
        late_ms=1e3 * phase["sent_late"]["p99"],
        workers=100 * phase["cpu"]["server"] / phase["seconds"],
    )


def expect_answered(phase: dict[str, Any]) -> None:
    if phase["refused"] or phase["unanswered"] or not phase["accepted"]:
        raise BenchmarkFailed(
            f"{phase['phase']}: {phase['accepted']} commands were accepted, {phase['refused']} refused and "
            f"{phase['unanswered']} never answered."
        )
