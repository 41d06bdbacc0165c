"""The signals that wait for one client: the latest by key, few, and droppable."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from gameserver.sessions.due import SignalDue
from gameserver.sessions.pace import Pace
from gameserver.state.events import weigh
from gameserver.state.priority import Priority

_OVERHEAD = 300
"""What a waiting signal costs in memory beside its data."""


class _Waiting(NamedTuple):
    data: Any
    sender: str | None
    since: float
    size: int


class Signals:
    """At most `cap` and about `most_bytes`: the longest waiting are dropped for new ones."""

    __slots__ = ("_cap", "_most_bytes", "_waiting", "open_at", "size")

    def __init__(self, cap: int, most_bytes: int) -> None:
        self._cap = cap
        self._most_bytes = most_bytes
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self.open_at = -math.inf
        """None is sent before then."""
        self.size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, room: str, key: str, data: Any, sender: str | None, now: float) -> None:
        """A key that waits already keeps its turn."""
        size = _OVERHEAD + weigh(data)
        known = self._waiting.get((room, key))
        self._waiting[room, key] = _Waiting(data, sender, known.since if known else now, size)
        self.size += size - (known.size if known else 0)
        while len(self._waiting) > self._cap or self.size > self._most_bytes:
            self._pop(next(iter(self._waiting)))

    def drop(self, room: str) -> None:
        for waiting in [waiting for waiting in self._waiting if waiting[0] == room]:
            self._pop(waiting)

    def _pop(self, waiting: tuple[str, str]) -> _Waiting:
        signal = self._waiting.pop(waiting)
        self.size -= signal.size
        return signal

    def waiting(self, now: float, aging_s: float, pace: Pace) -> float:
        """The score of the one whose turn it is; infinite when there is none."""
        if not self._waiting or now < self.open_at:
            return math.inf
        since = next(iter(self._waiting.values())).since
        return Priority.COSMETIC - pace.waited(since, now) / aging_s

    def take(self) -> SignalDue:
        room, key = next(iter(self._waiting))
        signal = self._pop((room, key))
        return SignalDue(room, key, signal.data, signal.sender)
