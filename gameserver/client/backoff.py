"""How long a client waits before it connects again. No clock and no chance of its own."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Full jitter, growing with every attempt in a row ([RETRY1] to [RETRY3]).

    `chance` gives numbers from 0 up to 1; all times are in seconds.
    """

    __slots__ = ("_attempt", "_base", "_cap", "_chance", "_factor", "_since", "_stable")

    def __init__(
        self,
        chance: Callable[[], float],
        base: float = 0.5,
        factor: float = 2.0,
        cap: float = 30.0,
        stable: float = 10.0,
    ) -> None:
        self._chance = chance
        self._base = base
        self._factor = factor
        self._cap = cap
        self._stable = stable
        self._attempt = 0
        self._since: float | None = None

    @property
    def attempt(self) -> int:
        """How many delays were given since the last stable connection."""
        return self._attempt

    def connected(self, now: float) -> None:
        self._since = now

    def disconnected(self, now: float) -> None:
        """A connection that stood for `stable` seconds makes the next wait a short one again."""
        if self._since is not None and now - self._since >= self._stable:
            self._attempt = 0
        self._since = None

    def delay(self, retry_after: float = 0.0) -> float:
        """The wait before the next attempt, never below what the server asked for."""
        ceiling = self._base
        for _ in range(self._attempt):
            ceiling *= self._factor
            if ceiling >= self._cap:
                break
        self._attempt += 1
        return max(min(ceiling, self._cap) * self._chance(), retry_after)
