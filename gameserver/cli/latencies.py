"""Latencies of any number of commands in little memory: counts in buckets that grow by a fixed ratio."""

from __future__ import annotations

import math
from collections import Counter

RATIO = 1.02
"""A quantile is right to within 2 %."""
LEAST = 1e-6
_STEP = math.log(RATIO)


class Latencies:
    """All times in seconds."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0

    def add(self, seconds: float) -> None:
        self._buckets[math.ceil(math.log(max(seconds, LEAST) / LEAST) / _STEP)] += 1
        self.count += 1

    def merge(self, other: Latencies) -> None:
        self._buckets.update(other._buckets)
        self.count += other.count

    def quantile(self, share: float) -> float | None:
        """The time that a `share` (0 to 1) of all took at most; None when there were none."""
        if not self.count:
            return None
        rank = max(1, math.ceil(share * self.count))
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                break
        return LEAST * math.exp(bucket * _STEP)
