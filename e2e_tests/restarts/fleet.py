"""`gameserver run` with several workers on one port, of which each can be restarted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator

from gameserver.cli.lifeline import COMMAND
from gameserver.settings import Settings

SERVES = re.compile(r"worker (\d+) \(process (\d+)\) serves")
START_DEADLINE = 60.0
STOP_DEADLINE = 60.0


class RunningFleet:
    """`pids` has the process of each worker, by its number, as it announced itself."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pids: dict[int, int] = {}
        self._process = process
        self._announced = asyncio.Condition()

    async def listen(self) -> None:
        """Take in what the workers announce, for as long as they do."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            if found := SERVES.search(line.decode()):
                async with self._announced:
                    self.pids[int(found[1])] = int(found[2])
                    self._announced.notify_all()

    async def serving(self, workers: int) -> None:
        """Wait until so many have announced themselves. Raises TimeoutError."""
        async with asyncio.timeout(START_DEADLINE), self._announced:
            await self._announced.wait_for(lambda: len(self.pids) == workers)

    async def restart(self, number: int) -> None:
        """SIGTERM to the worker, and wait until another has taken its place. Raises TimeoutError."""
        before = self.pids[number]
        os.kill(before, signal.SIGTERM)
        async with asyncio.timeout(STOP_DEADLINE + START_DEADLINE), self._announced:
            await self._announced.wait_for(lambda: self.pids[number] != before)


@contextlib.asynccontextmanager
async def fleet(settings: Settings) -> AsyncIterator[RunningFleet]:
    """As many workers as the settings say; stopped with the block."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("GAMESERVER_")}
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "run",
        env=environ | settings.to_environ(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    running = RunningFleet(process)
    listening = asyncio.create_task(running.listen())
    try:
        await running.serving(settings.workers)
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_DEADLINE)
        except TimeoutError:
            process.kill()
            await process.wait()
        await listening
