"""How often a key (an address, a player) may do something, in one number of memory per key."""

from __future__ import annotations


class KeyedRate:
    """At most `burst` at once and `rate` per second for each key, forgetting keys that have recovered.

    Per key it keeps the moment at which the allowance is whole again. `now` is in seconds, monotonic. With more
    than `most` keys in debt the longest unseen are forgiven: memory is bounded, whatever addresses come.
    """

    def __init__(self, rate: float, burst: float, most: int = 100_000) -> None:
        self._interval = 1.0 / rate
        self._tolerance = max(burst, 1.0) * self._interval
        self._most = most
        self._whole_at: dict[str, float] = {}

    def take(self, key: str, now: float) -> float:
        """0 when allowed, else the seconds after which it will be; a refusal costs nothing."""
        whole_at = max(self._whole_at.get(key, now), now) + self._interval
        wait = whole_at - now - self._tolerance
        # Sums of intervals miss the tolerance by rounding; that must not cost anyone a turn.
        if wait > 1e-9:
            return wait
        self._whole_at.pop(key, None)
        if len(self._whole_at) >= self._most:
            self._forget(now)
        self._whole_at[key] = whole_at
        return 0.0

    def __len__(self) -> int:
        return len(self._whole_at)

    def _forget(self, now: float) -> None:
        self._whole_at = {key: whole_at for key, whole_at in self._whole_at.items() if whole_at > now}
        surplus = len(self._whole_at) - self._most * 3 // 4
        for key in list(self._whole_at)[: max(surplus, 0)]:
            del self._whole_at[key]
