"""How long something has waited, counting only time in which its client took anything.

Aging keeps low priorities from starving while a line is busy with higher ones. A client that reads nothing at all
starves nobody: when it reads again, what is most important must not stand behind what merely waited as long.
"""

from __future__ import annotations

import math
from collections import deque

CREDIT = 2.0
"""Seconds between two messages that count as waiting; beyond, the line stood still."""
MOST_PAUSES = 16


class Pace:
    """`note` is called whenever the client may be sent something. Times are in seconds, monotonic."""

    __slots__ = ("_last", "_pauses")

    def __init__(self) -> None:
        self._last = math.inf
        self._pauses: deque[tuple[float, float]] = deque(maxlen=MOST_PAUSES)

    def note(self, now: float) -> None:
        if now - self._last > CREDIT:
            self._pauses.append((self._last + CREDIT, now))
        self._last = now

    def waited(self, since: float, now: float) -> float:
        """Seconds from `since` to `now` without the pauses between."""
        waited = now - since
        for start, end in self._pauses:
            waited -= max(0.0, min(end, now) - max(start, since))
        return waited
