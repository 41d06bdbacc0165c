"""Several workers on one port: started, started again when they crash, and ended together."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from dataclasses import replace

from gameserver.cli.exits import DONE, FAILED, WRONG
from gameserver.cli.lifeline import COMMAND, child_options
from gameserver.settings import Settings

log = logging.getLogger("gameserver.cli.fleet")

PAUSE_FIRST = 0.5
PAUSE_LONGEST = 15.0
STABLE_AFTER = 30.0
"""Seconds after which a worker's crash is a new misfortune and no longer the same one."""
MARGIN = 5.0
"""Seconds a worker has beyond its drain before it is killed."""


class Fleet:
    """`run` it once. The settings go to the workers by their environment, since others can read command lines."""

    def __init__(self, settings: Settings, port: int) -> None:
        self._count = settings.workers
        self._environ = {**os.environ, **replace(settings, port=port, workers=1).to_environ()}
        self._deadline = settings.drain_s + MARGIN
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._code = DONE

    async def run(self) -> int:
        """Until a signal, or until the workers find the configuration wrong; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop, number)
        keepers = [asyncio.create_task(self._keep(number)) for number in range(1, self._count + 1)]
        stopped = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([stopped, *keepers], return_when=asyncio.FIRST_COMPLETED)
        self.stop(signal.SIGTERM, again=False)
        _, late = await asyncio.wait(keepers, timeout=self._deadline)
        if late:
            log.error("%d workers did not end in time and are killed", len(self._running))
            self._code = max(self._code, FAILED)
            self._signal(signal.SIGKILL)
        await asyncio.gather(*keepers)
        return self._code

    def stop(self, number: int, *, again: bool = True) -> None:
        """Pass the signal on. Asked a second time, workers cut their drain short."""
        if self._stopping.is_set() and not again:
            return
        self._stopping.set()
        self._signal(number)

    def _signal(self, number: int) -> None:
        for process in self._running.values():
            if process.returncode is None:
                process.send_signal(number)

    async def _keep(self, number: int) -> None:
        """Keep the worker of this number running."""
        loop = asyncio.get_running_loop()
        pause = PAUSE_FIRST
        while not self._stopping.is_set():
            began = loop.time()
            code = await self._run_one(number)
            if self._stopping.is_set():
                if code not in (DONE, -signal.SIGTERM, -signal.SIGINT):
                    log.error("worker %d ended with code %d", number, code)
                    self._code = max(self._code, FAILED)
                return
            if code == WRONG:
                self._code = WRONG
                return
            pause = PAUSE_FIRST if loop.time() - began > STABLE_AFTER else pause
            log.error("worker %d ended with code %d; it starts again in %.1f s", number, code, pause)
            try:
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            except TimeoutError:
                pause = min(PAUSE_LONGEST, pause * 2)

    async def _run_one(self, number: int) -> int:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "run", "--member", str(number), **child_options(self._environ)
        )
        self._running[number] = process
        if self._stopping.is_set():
            # Asked to stop while it was being started: it was not there yet to be told.
            process.terminate()
        log.info("worker %d of %d is process %d", number, self._count, process.pid)
        try:
            return await process.wait()
        finally:
            del self._running[number]
