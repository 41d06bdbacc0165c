"""How often a client is sent state: its own wish, or less when its line cannot keep up."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from gameserver.protocol.codes import TierWord

SLOW_RTT = 0.3
"""Round trips above this many seconds are too slow."""
LOWER_AFTER = 5.0
"""Seconds of slow round trips or of a standing backlog until the tier is lowered by one step."""
RAISE_AFTER = 10.0
"""Seconds of health until it is raised by one step."""


class Tier(IntEnum):
    """The best first. `interval` is the least time in seconds between two drains of state and events."""

    FULL = 0
    REDUCED = 1
    LOW = 2

    @property
    def interval(self) -> float:
        return _INTERVALS[self]

    @property
    def word(self) -> TierWord:
        return _WORDS[self]

    @classmethod
    def of(cls, word: TierWord) -> Tier:
        return cls(_WORDS.index(word))


_INTERVALS = (0.0, 0.2, 1.0)
_WORDS: tuple[TierWord, ...] = ("full", "reduced", "low")


class TierChange(NamedTuple):
    """What the client is told: `reason` is `rtt`, `backlog` or `recovered`."""

    tier: Tier
    reason: str


class Quality:
    """The tier in force is the lower of the client's wish and what the server holds possible."""

    __slots__ = ("_healthy_since", "_possible", "_sick_since", "_wish")

    def __init__(self, now: float, wish: Tier = Tier.FULL) -> None:
        self._wish = wish
        self._possible = Tier.FULL
        self._sick_since: float | None = None
        self._healthy_since = now

    @property
    def tier(self) -> Tier:
        return max(self._wish, self._possible)

    def wish(self, tier: Tier) -> None:
        """The client's own upper bound, from now on."""
        self._wish = tier

    def observe(self, now: float, rtt: float | None, backlog: bool) -> TierChange | None:
        """To be told regularly: the latest round trip in seconds (None: unknown) and whether unsent bytes stand.

        Answers a change of the tier in force, if there is one.
        """
        before = self.tier
        slow = rtt is not None and rtt > SLOW_RTT
        if slow or backlog:
            self._sicken(now)
        else:
            self._recover(now)
        if self.tier == before:
            return None
        if self.tier < before:
            return TierChange(self.tier, "recovered")
        return TierChange(self.tier, "rtt" if slow else "backlog")

    def _sicken(self, now: float) -> None:
        if self._sick_since is None:
            self._sick_since = now
        if now - self._sick_since >= LOWER_AFTER and self._possible < Tier.LOW:
            self._possible = Tier(self._possible + 1)
            self._sick_since = now
        self._healthy_since = now

    def _recover(self, now: float) -> None:
        self._sick_since = None
        if now - self._healthy_since >= RAISE_AFTER and self._possible > Tier.FULL:
            self._possible = Tier(self._possible - 1)
            self._healthy_since = now
