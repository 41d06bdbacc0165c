"""Whether the event loop gets its turns: everything a worker promises about time depends on it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

log = logging.getLogger("gameserver")

LOOK_EVERY = 0.25
"""Seconds."""
KEPT = 60
"""Looks of which the longest lag is told: the last quarter of a minute."""
STALL = 0.5
"""Seconds without a turn that are worth a line in the log."""


class LagWatch:
    """Sleeps a little, over and over; by how much longer it slept than it wanted is the lag.

    `longest` is in seconds, over the last looks, so that no scrape of the metrics misses a stall.
    """

    def __init__(self) -> None:
        self.stalls = 0
        self._lags: deque[float] = deque(maxlen=KEPT)

    @property
    def longest(self) -> float:
        return max(self._lags, default=0.0)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK_EVERY
            await asyncio.sleep(LOOK_EVERY)
            self.note(max(0.0, loop.time() - due))

    def note(self, lag: float) -> None:
        self._lags.append(lag)
        if lag >= STALL:
            self.stalls += 1
            log.warning("the event loop stood still for %.1f s", lag)
