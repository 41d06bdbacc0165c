"""Which events of a room a client already has."""

from __future__ import annotations

Key = tuple[int, int]
"""An event's seq and its index within the commit."""


class EventMemory:
    """Remembers (seq, index) of one room in one epoch, no more of it than is needed.

    Up to `watermark` everything has come, so nothing there needs remembering. Two things are remembered
    one by one: what lies above the watermark, and the *owed* range, which a snapshot or a jump of the
    watermark has passed over but whose events may still follow ([SNAP3]).

    At most `limit` keys are kept; of more, the oldest are forgotten and counted in `forgotten`: an event
    forgotten could be told twice, while refusing unknown ones would lose some in silence.
    """

    __slots__ = ("_highest", "_limit", "_owed_above", "_owed_to", "_seen", "forgotten", "watermark")

    def __init__(self, watermark: int, floor: int = 0, limit: int = 16_384) -> None:
        """Events above `floor` are not known yet, though the room itself is known up to `watermark`."""
        self.watermark = watermark
        self.forgotten = 0
        self._owed_above = min(floor, watermark)
        self._owed_to = watermark
        self._seen: dict[Key, None] = {}
        self._highest = 0
        self._limit = limit

    def __len__(self) -> int:
        return len(self._seen)

    def first_time(self, seq: int, index: int) -> bool:
        """Whether the event is new; from now on it is not."""
        if seq <= self.watermark and not self._owed_above < seq <= self._owed_to:
            return False
        key = (seq, index)
        if key in self._seen:
            return False
        self._seen[key] = None
        if seq > self._highest:
            self._highest = seq
        if len(self._seen) > self._limit:
            del self._seen[next(iter(self._seen))]
            self.forgotten += 1
        return True

    def complete(self, start: int, end: int) -> None:
        """Everything above `start` up to `end` has come or never will."""
        if start <= self._owed_above < end:
            self._owed_above = min(end, self._owed_to)
        if end > self.watermark:
            if start > self.watermark:
                self._owed_above, self._owed_to = self.watermark, start
            self.watermark = end
        if self._seen:
            self._prune()

    def _prune(self) -> None:
        if self._highest <= self.watermark and self._owed_above >= self._owed_to:
            self._seen.clear()
            return
        low, high, watermark = self._owed_above, self._owed_to, self.watermark
        # The dict keeps the order of arrival, in which the oldest are forgotten.
        self._seen = {key: None for key in self._seen if key[0] > watermark or low < key[0] <= high}
