"""When messages that cannot be read are too many."""

from __future__ import annotations

MOST = 3
WITHIN = 10.0


class UnreadableCount:
    """Three within 10 s end a connection (docs/protocol.md, Messages)."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: tuple[float, ...] = ()

    def add(self, now: float) -> bool:
        """Count one; whether it was one too many."""
        self._times = (*self._times, now)[-MOST:]
        return len(self._times) == MOST and now - self._times[0] <= WITHIN
