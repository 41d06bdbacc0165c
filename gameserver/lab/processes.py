"""The lab's processes: each can be killed, frozen, and started again where it was."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from gameserver.bench.store import HOST, NoRedis, free_port
from gameserver.cli.lifeline import COMMAND, child_options

STOP_DEADLINE = 30.0
START_DEADLINE = 30.0
POLL = 0.05
"""Seconds between two looks at whether a process answers."""


class Process:
    """One of them, with a port that it keeps. `state` is `running`, `frozen` or `gone`."""

    def __init__(self, name: str, command: tuple[str, ...], environ: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.port = free_port()
        self._command = command
        self._environ = environ
        self._log = log
        self._frozen = False
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """0 while there is no process."""
        return 0 if self._process is None or self._process.returncode is not None else self._process.pid

    @property
    def state(self) -> str:
        if not self.pid:
            return "gone"
        return "frozen" if self._frozen else "running"

    async def start(self) -> None:
        """Returns at once; does nothing while it runs."""
        if self.pid:
            return
        self._frozen = False
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, **child_options(self._environ), stdout=log, stderr=log
            )

    async def answers(self) -> None:
        """Wait until somebody listens at its port. Raises TimeoutError."""
        async with asyncio.timeout(START_DEADLINE):
            while True:
                try:
                    _, writer = await asyncio.open_connection(HOST, self.port)
                except OSError:
                    await asyncio.sleep(POLL)
                else:
                    writer.close()
                    return

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and says nothing."""
        if self._signal(signal.SIGSTOP):
            self._frozen = True

    def thaw(self) -> None:
        if self._frozen and self._signal(signal.SIGCONT):
            self._frozen = False

    async def kill(self) -> None:
        """SIGKILL: no goodbye to anybody."""
        if self._signal(signal.SIGKILL):
            await self._ended()

    async def stop(self) -> None:
        """SIGTERM; killed when it does not end in time."""
        self.thaw()
        if self._signal(signal.SIGTERM):
            try:
                async with asyncio.timeout(STOP_DEADLINE):
                    await self._ended()
            except TimeoutError:
                await self.kill()

    async def _ended(self) -> None:
        if self._process is not None:
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> bool:
        if self._process is None or not self.pid:
            return False
        self._process.send_signal(number)
        return True


class Store(Process):
    """A `redis-server` that writes down every commit before it answers. Raises NoRedis when there is none."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            raise NoRedis("There is no redis-server on PATH.")
        super().__init__("redis", (), environ, directory / "redis.log")
        self._directory = directory
        options = ("--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir", str(directory))
        self._command = (binary, "--port", str(self.port), "--bind", HOST, *options)

    async def empty(self) -> None:
        """Kill it and throw away what it wrote."""
        await self.kill()
        shutil.rmtree(self._directory / "appendonlydir", ignore_errors=True)


class WorkerProcess(Process):
    """The `number`-th worker of the lab."""

    def __init__(self, number: int, directory: Path, environ: Mapping[str, str]) -> None:
        command = (*COMMAND, "run", "--member", str(number))
        super().__init__(f"worker {number}", command, environ, directory / f"worker-{number}.log")
        self._environ = {**environ, "GAMESERVER_PORT": str(self.port)}
