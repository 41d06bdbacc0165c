"""W6: worlds that move by themselves, and what receiving a commit costs."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.bus import FLYING, Bus
from benchmarks.contestants import Running
from benchmarks.plan import Plan
from benchmarks.script import Script
from benchmarks.tables import RECEIVING, TICKS
from gameserver.asgi.server import spare_the_collector
from gameserver.bench.machine import Cores
from gameserver.protocol import outgoing
from gameserver.protocol.codec import JSON, MSGPACK
from gameserver.runtime.ticker import LOOK_FOR_ROOMS
from gameserver.state.commit import FORMAT, Header, Part, decode_commit, encode_commit, encode_part
from gameserver.state.replica import Replica

SECTORS, SHIPS, HZ = 20, 40, 10.0
AGENTS, AGENTS_HZ, WATCHERS = 500, 60.0, 10
COMMANDERS, RATE = 50, 1000.0
COMMITS = 20_000
ROOM = "sector:1"
AT = 1_750_000_000_000


def sectors(cores: Cores, plan: Plan) -> None:
    """Twenty rooms of forty ships tick beside a thousand commands a second."""
    bus, warm_up = _flying(SHIPS, HZ), plan.warm_up + LOOK_FOR_ROOMS
    with bus.start(cores, SECTORS) as running:
        made = _watched(bus, running, SECTORS, SECTORS)
        made.group("commanders", bus.listeners(), [bus.commander(running, number) for number in range(COMMANDERS)])
        made.join("commanders")
        made.phase("ticks", "paced", "commanders", bus.sent("bump"), RATE, seconds=plan.ticks, warm_up=warm_up)
        found = made.run(running.port, cores.load, running.processes)[-1]
    _note(f"{SECTORS} sectors x {SHIPS} ships at {HZ:.0f} Hz, {RATE:,.0f} commands/s", found, SECTORS * HZ)


def agents(cores: Cores, plan: Plan) -> None:
    """Five hundred agents in one room, at the pace of a screen."""
    bus, warm_up = _flying(AGENTS, AGENTS_HZ), plan.warm_up + LOOK_FOR_ROOMS
    with bus.start(cores, 1) as running:
        made = _watched(bus, running, 1, WATCHERS)
        made.phase("ticks", "quiet", "nobody", None, 0, seconds=plan.ticks, warm_up=warm_up)
        found = made.run(running.port, cores.load, running.processes)[-1]
    row = f"{AGENTS} agents in one room at {AGENTS_HZ:.0f} Hz, {WATCHERS} watchers"
    _note(row, found, WATCHERS * AGENTS_HZ)


def _flying(ships: int, hz: float) -> Bus:
    return Bus(MSGPACK, world=FLYING, environ={"BENCHMARK_SHIPS": str(ships), "BENCHMARK_HZ": str(hz)})


def _watched(bus: Bus, running: Running, rooms: int, watchers: int) -> Script:
    made = Script()
    made.group("watchers", bus.listeners(), [bus.listener(running, each % rooms, each) for each in range(watchers)])
    made.join("watchers")
    return made


def _note(row: str, found: dict[str, Any], due: float) -> None:
    cpu, seconds, latency = found["cpu"], found["seconds"], found["delivery"]
    TICKS.add(
        row,
        server=100 * cpu["server"] / seconds,
        p50_ms=1e3 * latency.get("p50", 0.0),
        p99_ms=1e3 * latency.get("p99", 0.0),
        worst_ms=1e3 * latency["worst"],
        share=100 * found["delivered"] / (due * seconds),
        answer_ms=1e3 * found["answer"]["p99"] if found["answer"]["count"] else None,
        redis=100 * cpu["redis"] / seconds,
    )


def receive() -> None:
    """Small commits, sectors' ticks and agents' ticks, in this process, its collector as a served worker has it."""
    spare_the_collector()
    for name, entities in (("one entity, one field", 1), ("40 ships, x and y", SHIPS), ("500 agents, x and y", AGENTS)):
        many = max(200, COMMITS // entities)
        RECEIVING.add(name, **_receive(entities, many))


def _receive(entities: int, many: int) -> dict[str, float]:
    """Microseconds of each part, of commits that follow each other."""
    replica = Replica(ROOM)
    state: dict[str, dict[str, Any]] = {f"ship:{ship}": {"x": 0.0, "y": 0.0} for ship in range(entities)}
    replica.load(1, 0, 0, state)
    payloads = []
    for seq in range(1, many + 1):
        fields = {"x": seq * 0.5} if entities == 1 else {"x": seq * 0.5, "y": seq * -0.25}
        part = encode_part(Part(sets=dict.fromkeys(state, fields)))
        payloads.append(encode_commit(Header(FORMAT, 1, seq, 0, AT + seq, "worker", seq), [part]))
    clock = time.process_time
    started = clock()
    commits = [decode_commit(payload) for payload in payloads]
    decoded = clock()
    for commit in commits:
        replica.receive(commit)
    applied = clock()
    messages = [
        outgoing.delta(ROOM, commit.header.seq - 1, commit.header.seq, sets=commit.parts[0].sets) for commit in commits
    ]
    begun = clock()
    for message in messages:
        JSON.frame(message)
    as_json = clock()
    for message in messages:
        MSGPACK.frame(message)
    as_msgpack = clock()
    spent = {
        "decode_us": decoded - started,
        "apply_us": applied - decoded,
        "json_us": as_json - begun,
        "msgpack_us": as_msgpack - as_json,
        "all_us": as_msgpack - started,
    }
    return {name: 1e6 * seconds / many for name, seconds in spent.items()}
