"""The workloads: each takes one measurement per round and adds it to its table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

from gameserver.bench.figures import Column, Table, per
from gameserver.bench.processes import BenchmarkFailed, Settings, measure, redis, server
from gameserver.bench.world import CHANGED, HZ, ROOMS
from gameserver.protocol.codec import JSON, MSGPACK, Codec

NAMES: dict[Codec, str] = {JSON: "JSON", MSGPACK: "MessagePack"}
SENDERS = 200
DEPTH = 4
RATE = 2000.0
"""Commands per second at which latency is measured."""
TICKING, QUIET = "gameserver.bench.world:game", "gameserver.bench.world:quiet"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything: seconds that each figure is measured for in a round, and how many connections."""

    rounds: int = 1
    redis: bool = True
    commits: float = 0.6
    saturated: float = 0.8
    paced: float = 1.5
    deliveries: float = 3.0
    receivers: int = 1000
    idle: int = 500

    @classmethod
    def quick(cls) -> Plan:
        return cls(commits=0.2, saturated=0.3, paced=0.5, deliveries=1.0, receivers=100, idle=50)

    @property
    def stores(self) -> tuple[str, ...]:
        return ("memory", "redis") if self.redis else ("memory",)

    @property
    def store(self) -> str:
        """The one where only one is measured."""
        return self.stores[-1]


COMMITS = Table(
    "commits",
    "Commits of one worker",
    "200 players' works submitted inside the worker, one each at a time: no sockets, no messages.\n"
    "A tick reads and changes all ships of a room; the rooms take turns.",
    (
        Column("per_s", "commits/s"),
        Column("per_cpu_s", "per worker-CPU-s"),
        Column("per_batch", "a batch"),
        Column("redis_us", "us of Redis", 1),
    ),
)
COMMANDS = Table(
    "commands",
    "Commands over WebSockets, saturated",
    f"{SENDERS} connections to one server, {DEPTH} commands on the way each; arguments validated, ids remembered.\n"
    "They change rooms that nobody is in, so no deliveries are caused.",
    (Column("per_s", "accepted/s"), Column("per_cpu_s", "per server-CPU-s"), Column("load", "load's core %")),
)
LATENCIES = Table(
    "latencies",
    f"Command to acknowledgement at {RATE:,.0f}/s",
    f"{SENDERS} connections, open loop: measured from when a command was due, however late it could be sent.",
    (
        Column("p50_ms", "p50 ms", 2),
        Column("p99_ms", "p99 ms", 2),
        Column("worst_ms", "worst ms", 2),
        Column("sent_late_p99_ms", "sent late p99 ms", 2),
    ),
)
DELIVERIES = Table(
    "deliveries",
    f"Deliveries to players in {ROOMS} rooms at {HZ:.0f} Hz",
    f"One tick per room and period changes {CHANGED} entities: one commit, one delta to everybody in the room.\n"
    "Latency is from the beginning of the tick, and from when the tick was due, until the bytes are read.",
    (
        Column("per_s", "deliveries/s"),
        Column("share", "% of due", 1),
        Column("per_cpu_s", "per server-CPU-s"),
        Column("server", "server's core %", 1),
        Column("p50_ms", "p50 ms", 2),
        Column("p99_ms", "p99 ms", 2),
        Column("due_p99_ms", "p99 from due ms", 2),
        Column("bytes", "bytes"),
        Column("load", "load's core %"),
    ),
)
CONNECTIONS = Table(
    "connections",
    "Connections",
    "Joining: JWT, welcome, presence in a room of fifty, three snapshots. Memory: what the server process grows by.",
    (Column("joins", "joins/s"), Column("joins_cpu", "per server-CPU-s"), Column("memory", "KiB/connection", 1)),
)
TABLES = (COMMITS, COMMANDS, LATENCIES, DELIVERIES, CONNECTIONS)


@contextmanager
def store(settings: Settings, name: str) -> Iterator[tuple[str, int | None]]:
    """The URL (empty for memory) and the process of a store that was started for this measurement."""
    with ExitStack() as stack:
        if name == "memory":
            yield "", None
        else:
            running = stack.enter_context(redis(settings))
            yield running.url, running.pid


def commits(settings: Settings, plan: Plan) -> None:
    for name in plan.stores:
        with store(settings, name) as (url, pid):
            task = {"redis_url": url, "redis_pid": pid, "seconds": plan.commits}
            measured = measure(settings, "gameserver.bench.commits", settings.cores.server, task, 10 * plan.commits)
        for kind, found in measured.items():
            _expect_none_refused(kind, found)
            accepted, redis_cpu = found["accepted"], found["redis_cpu_seconds"]
            COMMITS.add(
                f"{name}: {kind}",
                per_s=accepted / found["seconds"],
                per_cpu_s=per(accepted, found["cpu_seconds"]),
                per_batch=per(accepted, found["batches"]),
                redis_us=None if redis_cpu is None else per(redis_cpu * 1e6, accepted),
            )


def commands(settings: Settings, plan: Plan) -> None:
    """The independent and the paced workload in both encodings, the others in JSON alone: there is no difference
    between encodings behind the decoder."""
    saturated = {"depth": DEPTH, "seconds": plan.saturated}
    paced = {"rate": RATE, "seconds": plan.paced}
    phases: dict[str, dict[str, Any]] = {
        "nothing committed": {"command": "nothing", **saturated},
        "independent": {"command": "bump", **saturated},
        "paced": {"command": "bump", **paced},
        "one hot entity": {"command": "bump", "what": 0, **saturated},
        "moves, two rooms": {"command": "shift", **saturated},
    }
    chosen = {JSON: list(phases), MSGPACK: ["nothing committed", "independent", "paced"]}
    for name, codec in product(plan.stores, chosen):
        with store(settings, name) as (url, _), server(settings, QUIET, url) as running:
            task = {
                "port": running.port,
                "encoding": codec.subprotocol,
                "players": SENDERS,
                "server_pids": [running.pid],
                "phases": [phases[phase] for phase in chosen[codec]],
            }
            measured = measure(settings, "gameserver.bench.commanders", settings.cores.load, task, 30.0)
        for phase, found in zip(chosen[codec], measured, strict=True):
            _note_commands(f"{name}, {NAMES[codec]}", phase, found)


def _note_commands(where: str, phase: str, found: dict[str, Any]) -> None:
    _expect_none_refused(f"{where}, {phase}", found)
    if phase == "paced":
        LATENCIES.add(
            where,
            p50_ms=found["p50"] * 1e3,
            p99_ms=found["p99"] * 1e3,
            worst_ms=found["worst"] * 1e3,
            sent_late_p99_ms=found["late_p99"] * 1e3,
        )
        return
    COMMANDS.add(
        f"{where}: {phase}",
        per_s=found["accepted"] / found["seconds"],
        per_cpu_s=per(found["accepted"], found["cpu_seconds"]),
        load=100 * found["load_cpu_seconds"] / found["seconds"],
    )


def deliveries(settings: Settings, plan: Plan) -> None:
    for codec in (JSON, MSGPACK):
        with store(settings, plan.store) as (url, _), server(settings, TICKING, url) as running:
            task = {
                "what": "receive",
                "port": running.port,
                "encodings": [codec.subprotocol],
                "players": plan.receivers,
                "server_pids": [running.pid],
                "seconds": plan.deliveries,
            }
            found = measure(settings, "gameserver.bench.receivers", settings.cores.load, task, 10 + plan.deliveries)
        _expect_none_lost(found)
        _expect_some_delivered(found)
        seconds, cpu, count = found["seconds"], found["cpu_seconds"], found["deliveries"]
        row = f"{plan.store}, {NAMES[codec]}, {plan.receivers} players"
        DELIVERIES.add(
            row,
            per_s=count / seconds,
            share=100 * count / (seconds * HZ * plan.receivers),
            per_cpu_s=per(count, cpu),
            server=100 * cpu / seconds,
            p50_ms=found["p50"] * 1e3,
            p99_ms=found["p99"] * 1e3,
            bytes=found["bytes"] / found["frames"],
            load=100 * found["load_cpu_seconds"] / seconds,
            due_p99_ms=found["due_p99"] * 1e3,
        )
        CONNECTIONS.add(
            f"joining, {row}",
            joins=plan.receivers / found["join_seconds"],
            joins_cpu=per(plan.receivers, found["join_cpu_seconds"]),
        )


def idle(settings: Settings, plan: Plan) -> None:
    with store(settings, plan.store) as (url, _), server(settings, QUIET, url) as running:
        task = {
            "what": "idle",
            "port": running.port,
            "encodings": [JSON.subprotocol],
            "players": plan.idle,
            "server_pids": [running.pid],
        }
        found = measure(settings, "gameserver.bench.receivers", settings.cores.load, task, 10.0)
    _expect_none_lost(found)
    CONNECTIONS.add(
        f"idle, {plan.store}, JSON, {plan.idle} players", memory=found["bytes"] / found["connections"] / 1024
    )


def _expect_none_refused(what: str, found: dict[str, Any]) -> None:
    if found["refused"]:
        raise BenchmarkFailed(f"{what}: {found['refused']} commands were refused, so nothing was measured.")


def _expect_some_delivered(found: dict[str, Any]) -> None:
    if not found["deliveries"]:
        raise BenchmarkFailed("Nothing was delivered, so nothing was measured.")


def _expect_none_lost(found: dict[str, Any]) -> None:
    if found["lost"]:
        raise BenchmarkFailed(f"The server closed {found['lost']} connections, so nothing was measured.")


WORKLOADS: dict[str, Callable[[Settings, Plan], None]] = {
    "commits": commits,
    "commands": commands,
    "deliveries": deliveries,
    "idle": idle,
}
