"""The whole lab: started together, looked at, and ended together."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from gameserver.bench.store import HOST
from gameserver.cli.lifeline import COMMAND
from gameserver.lab.balancer import Balancer
from gameserver.lab.faulty_redis import FaultyRedis
from gameserver.lab.processes import Process, Store, WorkerProcess
from gameserver.lab.questions import figures
from gameserver.settings import Settings

READY_DEADLINE = 30.0
POLL = 0.05
SHOWN = ("connections", "commands_accepted", "conflicts", "gaps", "lost_echoes", "lost_tails", "resyncs", "drift")
"""Metrics of a worker, in the order of the table."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """`players` is None without bots. Everything stands in `directory`, logs included."""

    directory: Path
    store: Store
    line: FaultyRedis
    workers: list[WorkerProcess]
    balancer: Balancer
    players: Process | None

    def processes(self) -> dict[str, Process]:
        """By the words an order calls them by."""
        return {"redis": self.store} | {str(number): worker for number, worker in enumerate(self.workers, 1)}

    async def ready(self) -> None:
        """Wait until every worker that runs is ready, and the balancer knows. Raises TimeoutError."""
        async with asyncio.timeout(READY_DEADLINE):
            for worker in self.workers:
                while worker.state == "running" and worker not in self.balancer.ready:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(POLL)

    async def report(self) -> str:
        """A table of who lives, and what they say of themselves."""
        rows = [("", "state", "pid", "ready", *(word.replace("_", " ") for word in SHOWN))]
        for worker in self.workers:
            said = await figures(worker.port) if worker.state == "running" else {}
            ready = "yes" if worker in self.balancer.ready else "no"
            rows.append(
                (worker.name, worker.state, str(worker.pid or "-"), ready, *(_shown(said, word) for word in SHOWN))
            )
        store = self.store
        rows.append((store.name, store.state, str(store.pid or "-"), *[""] * (len(SHOWN) + 1)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([*lines, f"publications {self.line.publications}, of which {faults_of(self.line)}"])


def faults_of(line: FaultyRedis) -> str:
    done = [f"{count} {what}" for what, count in line.injected.items() if count]
    going_on = [f"{chance:.1%} {what} from now on" for what, chance in line.chances.items() if chance]
    cut = ["Redis is cut off"] if line.refusing else []
    return ", ".join([*done, *going_on, *cut]) or "none went wrong"


def _shown(said: dict[str, float], word: str) -> str:
    return f"{said[word]:.0f}" if word in said else "-"


@contextlib.asynccontextmanager
async def cluster(settings: Settings, count: int, bots: int, environ: dict[str, str]) -> AsyncIterator[Cluster]:
    """`settings` are what the workers have in common, and the balancer's port; `environ` is what they inherit.

    Raises NoRedis, OSError when the port is taken, TimeoutError when something does not start.
    """
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gameserver-lab-")))
        store = Store(directory, environ)
        stack.push_async_callback(store.kill)
        await store.start()
        await store.answers()
        line = stack.enter_context(FaultyRedis(store.port))
        shared = environ | settings.to_environ() | {"GAMESERVER_REDIS_URL": line.url}
        workers = [WorkerProcess(number, directory, shared) for number in range(1, count + 1)]
        for worker in workers:
            stack.push_async_callback(worker.kill)
            await worker.start()
        balancer = Balancer(workers, settings.port)
        await _serve(balancer, stack)
        lab = Cluster(directory, store, line, workers, balancer, _crowd(bots, balancer, directory, environ))
        await lab.ready()
        if lab.players is not None:
            stack.push_async_callback(lab.players.kill)
            await lab.players.start()
        yield lab
        await asyncio.gather(*(process.stop() for process in (lab.players, *workers) if process is not None))


async def _serve(balancer: Balancer, stack: contextlib.AsyncExitStack) -> None:
    """Start it; it ends with the lab, and what ends it before is raised here."""
    listening = asyncio.Event()
    serving = asyncio.create_task(balancer.run(listening))

    async def end() -> None:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    stack.push_async_callback(end)
    started = asyncio.create_task(listening.wait())
    await asyncio.wait((serving, started), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        started.cancel()
        serving.result()


def _crowd(bots: int, balancer: Balancer, directory: Path, environ: dict[str, str]) -> Process | None:
    if not bots:
        return None
    url = f"ws://{HOST}:{balancer.port}/ws"
    command = (*COMMAND, "bots", "--url", url, "--count", str(bots), "--with-parent")
    return Process("bots", command, environ, directory / "bots.log")
