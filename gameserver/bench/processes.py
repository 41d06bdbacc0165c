"""The processes of one run: Redis, servers and load, each started by us, on free ports, and ended by us."""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from gameserver.bench.machine import Cores, pin
from gameserver.bench.store import NoRedis, RunningRedis, redis_process

START_DEADLINE = 30.0
STOP_DEADLINE = 5.0
LOAD_DEADLINE = 60.0
"""The longest a load process may take beyond the time it is told to measure."""


class BenchmarkFailed(Exception):
    """A process did not do what was asked; the message is for the person who started the run."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What servers and load have in common. `environ` are the servers' settings; the load signs tokens by them."""

    cores: Cores
    environ: dict[str, str] = field(default_factory=dict)

    @classmethod
    def new(cls) -> Settings:
        return cls(
            Cores.of_this_machine(),
            {
                "GAMESERVER_JWT_SECRET": secrets.token_urlsafe(48),
                "GAMESERVER_LOG_LEVEL": "warning",
                "GAMESERVER_MAX_CONNECTIONS": "100000",
                "GAMESERVER_HANDSHAKES_PER_ADDRESS": "1000000",
                "GAMESERVER_HANDSHAKES_PER_PLAYER": "1000",
                "GAMESERVER_COMMANDS_PER_SECOND": "1000000",
                "GAMESERVER_COMMANDS_BURST": "100000",
                # Receivers say nothing for as long as they are measured.
                "GAMESERVER_HEARTBEAT_S": "300",
            },
        )


@dataclass(frozen=True, slots=True)
class RunningServer:
    pid: int
    port: int


@contextmanager
def server(settings: Settings, world: str, redis_url: str = "", port: int = 0) -> Iterator[RunningServer]:
    """A gameserver process of the world `module:attribute`, on Redis or with its own memory; `port` may be another's
    already, who shares it."""
    core = settings.cores.server
    environ = settings.environ | {
        "GAMESERVER_WORLD": world,
        "GAMESERVER_REDIS_URL": redis_url,
        "GAMESERVER_PORT": str(port),
        "BENCHMARK_CORE": "" if core is None else str(core),
    }
    with tempfile.TemporaryFile() as log, _started("gameserver.bench.server", environ, stderr=log) as process:
        yield RunningServer(process.pid, _read_port(process, log))


@contextmanager
def redis(settings: Settings) -> Iterator[RunningRedis]:
    """A real Redis of its own, pinned."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(redis_process())
        except NoRedis as error:
            raise BenchmarkFailed(str(error)) from None
        pin(settings.cores.redis, running.pid)
        yield running


def measure(settings: Settings, module: str, core: int | None, task: Mapping[str, Any], seconds: float) -> Any:
    """Have a process of `module` carry out a task that takes about `seconds`; what it measured."""
    order = json.dumps({"core": core, **task}).encode()
    with tempfile.TemporaryFile() as log, _started(module, settings.environ, stderr=log) as process:
        try:
            answer, _ = process.communicate(order, timeout=seconds + LOAD_DEADLINE)
        except subprocess.TimeoutExpired:
            raise BenchmarkFailed(f"{module} did not end in time{_tail(log)}") from None
        if process.returncode:
            raise BenchmarkFailed(f"{module} ended with code {process.returncode}{_tail(log)}")
    return json.loads(answer)


def read_task() -> dict[str, Any]:
    """In a process of `measure`: what to do; it is pinned first."""
    task: dict[str, Any] = json.load(sys.stdin)
    pin(task.pop("core"))
    return task


@contextmanager
def _started(module: str, environ: Mapping[str, str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GAMESERVER_")}
    process = subprocess.Popen(
        (sys.executable, "-m", module),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clean | dict(environ),
        process_group=0,
        **options,
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    # Nothing is drained: the players are gone, and nobody waits for a goodbye.
    if process.poll() is None:
        process.kill()
    process.wait(STOP_DEADLINE)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _read_port(process: subprocess.Popen[bytes], log: Any) -> int:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_DEADLINE)
    line = process.stdout.readline() if readable else b""
    if not line.strip().isdigit():
        raise BenchmarkFailed(f"the server did not start{_tail(log)}")
    return int(line)


def _tail(log: Any) -> str:
    log.seek(0)
    said = log.read().decode(errors="replace")[-2000:].strip()
    return f":\n{said}" if said else "."
