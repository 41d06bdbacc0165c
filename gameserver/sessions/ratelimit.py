"""Token buckets on a clock that is handed in."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from typing import NamedTuple

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)/([smh])")


class Rate(NamedTuple):
    """`per_second` tokens come back each second, up to `burst`."""

    per_second: float
    burst: float


def parse_rate(text: str) -> Rate:
    """`5/s`, `30/m` or `100/h`: that many in such a time, all of them at once if need be (one at least).

    Raises ValueError for anything else.
    """
    match = _RATE.fullmatch(text)
    number = float(match[1]) if match else 0.0
    if match is None or not 0 < number < math.inf:
        raise ValueError(f"no rate {text!r}: a number above 0 and a unit, as in 5/s, 30/m or 100/h")
    return Rate(number / _SECONDS[match[2]], max(number, 1.0))


FEW = 512
"""Buckets that are kept without looking whether they are full again."""


class TokenBucket:
    """Full at first. `rate` in tokens per second, at most `burst` of them saved up."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        if not (rate > 0 and burst > 0):
            raise ValueError("a bucket's rate and burst are above 0")
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._at = -math.inf

    def take(self, now: float, n: float = 1) -> float:
        """0.0 when `n` tokens were there and are taken, else the seconds until they will be; nothing is taken then.

        Infinite when `n` is more than the bucket ever holds.
        """
        tokens, elapsed = self._tokens, now - self._at
        # A clock that went backwards gives nothing and takes nothing.
        if elapsed > 0:
            tokens += elapsed * self._rate
            if tokens > self._burst:
                tokens = self._burst
        self._at = now
        if n <= tokens:
            self._tokens = tokens - n
            return 0.0
        self._tokens = tokens
        return (n - tokens) / self._rate if n <= self._burst else math.inf

    def is_full(self, now: float) -> bool:
        """Whether it is as good as new."""
        return self._tokens + max(0.0, now - self._at) * self._rate >= self._burst


class KeyedBuckets:
    """A bucket per key (an address, a player), at most `cap` of them: the longest unused is forgotten for a new one.

    So are those that are full again, as far as they are the longest unused: beyond a few there are as many as are in
    use.
    """

    def __init__(self, rate: float, burst: float, cap: int = 10_000) -> None:
        if cap < 1:
            raise ValueError("room for one bucket at least")
        self._rate = rate
        self._burst = burst
        self._cap = cap
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float, n: float = 1) -> float:
        """As `TokenBucket.take`, of the key's own bucket."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._cap:
                self._buckets.popitem(last=False)
            if len(self._buckets) >= FEW:
                self._forget_full(now)
            bucket = self._buckets[key] = TokenBucket(self._rate, self._burst)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(now, n)

    def _forget_full(self, now: float) -> None:
        # More than one comes in for each that goes, so two are enough; those in between are found later.
        for _ in range(min(2, len(self._buckets))):
            key = next(iter(self._buckets))
            if not self._buckets[key].is_full(now):
                return
            del self._buckets[key]
