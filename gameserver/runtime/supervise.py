"""Background tasks that nobody forgets: each is held, named, and its failure is logged and counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger("gameserver")

RESTART_AFTER = 0.2
"""Seconds."""


class Supervisor:
    """Owns tasks. One that fails is logged with its name; `close` cancels and awaits all."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failures = 0
        self.closing = False

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def keep(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Run work that is meant to go on for ever; should it fail, it is begun anew a moment later."""

        async def again() -> None:
            while True:
                try:
                    await work()
                    return
                except Exception:
                    self.failures += 1
                    log.exception("%s failed and is begun anew", name)
                await asyncio.sleep(RESTART_AFTER)

        self.start(again(), name)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.failures += 1
            log.error("%s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancel everything and wait until it has ended."""
        self.closing = True
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
