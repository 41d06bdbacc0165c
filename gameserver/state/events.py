"""The recent events of one room, held once per worker and read by every slow client through cursors.

An event's *place* is one number that orders it among all of its room: the commit's seq above, its index
within the commit below. A reader's cursor is the place up to which it has read a lane; `end_of(seq)` is
the place after everything of that commit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from gameserver.state.commit import Event
from gameserver.state.priority import LANES, Priority

INDEX_BITS = 20
_LAST_INDEX = (1 << INDEX_BITS) - 1
_EVENT_OVERHEAD = 200
"""What an event costs in memory beside its data."""
_ENDED_EPOCHS = 4
"""How many epochs' last seqs are remembered, for readers that have yet to notice that theirs is over."""


def place_of(seq: int, index: int) -> int:
    return seq << INDEX_BITS | index


def end_of(seq: int) -> int:
    return seq << INDEX_BITS | _LAST_INDEX


def seq_of(place: int) -> int:
    return place >> INDEX_BITS


def complete_seq(place: int) -> int:
    """The seq up to which a reader at this place has whole commits."""
    return (place + 1 >> INDEX_BITS) - 1


def weigh(value: Any) -> int:
    """About how many bytes of memory a value takes."""
    if isinstance(value, str | bytes):
        return 50 + len(value)
    if isinstance(value, dict):
        return 64 + sum(90 + len(key) + weigh(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return 56 + sum(8 + weigh(item) for item in value)
    return 28


class LoggedEvent(msgspec.Struct, frozen=True):
    """`at` is in milliseconds since the Unix epoch by the store's clock; `size` is about its bytes in memory."""

    seq: int
    index: int
    at: int
    name: str
    data: dict[str, Any]
    sender: str | None
    lane: Priority
    size: int

    @property
    def place(self) -> int:
        return self.seq << INDEX_BITS | self.index

    def wire(self) -> dict[str, Any]:
        """The event as clients get it (docs/protocol.md, Messages)."""
        message: dict[str, Any] = {"name": self.name, "data": self.data}
        if self.sender is not None:
            message["from"] = self.sender
        message.update(seq=self.seq, index=self.index, at=self.at, priority=self.lane.word)
        return message


def logged(seq: int, at: int, events: Sequence[Event]) -> list[LoggedEvent]:
    """A commit's events in order, each with its place; a priority that is no lane counts as the nearest."""
    return [
        LoggedEvent(
            seq,
            index,
            at,
            event.name,
            event.data,
            event.sender,
            LANES[min(max(event.priority, 0), len(LANES) - 1)],
            _EVENT_OVERHEAD + weigh(event.data),
        )
        for index, event in enumerate(events)
    ]


class _Lane:
    """One lane's events in order; those before `head` are dropped and wait to be cut off."""

    __slots__ = ("dropped", "entries", "head", "newest", "places")

    def __init__(self, place: int) -> None:
        self.entries: list[LoggedEvent | None] = []
        self.places: list[int] = []
        self.head = 0
        self.newest = place
        self.dropped = place

    def add(self, event: LoggedEvent) -> None:
        self.newest = event.place
        self.entries.append(event)
        self.places.append(event.place)

    def drop(self, upto: int) -> None:
        head = bisect_right(self.places, upto, self.head)
        if head == self.head:
            return
        self.dropped = self.places[head - 1]
        self.entries[self.head : head] = [None] * (head - self.head)
        self.head = head
        if head > 64 and head * 2 > len(self.places):
            del self.entries[:head], self.places[:head]
            self.head = 0


class EventLog:
    """Bounded by `max_bytes` (approximate) and `max_events`; the oldest commits' events are dropped first.

    Everything with seq > `floor` is held, and per lane everything after `dropped(lane)`. Readers may stand
    anywhere: one whose cursor lies before `dropped(lane)` has a hole to be filled from the store's log.
    """

    def __init__(self, floor: int = 0, epoch: int = 0, *, max_bytes: int = 256 * 1024, max_events: int = 4096) -> None:
        self._max_bytes = max_bytes
        self._max_events = max_events
        self._ended: dict[int, int] = {}
        self.newest_seq = floor
        self.epoch = epoch
        self.reset(floor, epoch)

    def reset(self, floor: int, epoch: int) -> None:
        """Forget everything: the room was loaded anew at this position, nothing is known of what came before."""
        if epoch != self.epoch:
            self._ended.pop(self.epoch, None)
            self._ended[self.epoch] = self.newest_seq
            if len(self._ended) > _ENDED_EPOCHS:
                del self._ended[next(iter(self._ended))]
        self.epoch = epoch
        self._lanes = [_Lane(end_of(floor)) for _ in LANES]
        self._commits: deque[tuple[int, int, int]] = deque()
        self._count = 0
        self.floor = floor
        self.newest_seq = floor
        """Of the newest commit with events (or the floor)."""
        self.newest_at = 0
        self.size = 0

    def __len__(self) -> int:
        return self._count

    def append(self, seq: int, at: int, events: Sequence[Event]) -> None:
        """The events of the room's commit `seq`, made at `at` (ms since the Unix epoch).

        Raises ValueError when the log already reaches that seq.
        """
        if not events:
            return
        if seq <= self.newest_seq:
            raise ValueError(f"events of commit {seq} after those of {self.newest_seq}")
        size = 0
        for event in logged(seq, at, events):
            self._lanes[event.lane].add(event)
            size += event.size
        self._commits.append((seq, len(events), size))
        self._count += len(events)
        self.size += size
        self.newest_seq = seq
        self.newest_at = at
        while self._commits and (self.size > self._max_bytes or self._count > self._max_events):
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        seq, count, size = self._commits.popleft()
        self._count -= count
        self.size -= size
        self.floor = seq
        for lane in self._lanes:
            lane.drop(end_of(seq))

    def ended(self, epoch: int) -> int | None:
        """What `newest_seq` was when that epoch ended; None when it is not remembered, or has not."""
        return self._ended.get(epoch)

    def newest(self, lane: Priority) -> int:
        """The place of the lane's newest event, held or not; the end of the floor when there was none."""
        return self._lanes[lane].newest

    def dropped(self, lane: Priority) -> int:
        """The place up to which the lane's events may no longer be held."""
        return self._lanes[lane].dropped

    def after(self, lane: Priority, place: int, limit: int, upto: int | None = None) -> list[LoggedEvent]:
        """At most `limit` held events of the lane after `place` (and not after `upto`), oldest first."""
        entries = self._lanes[lane]
        start = bisect_right(entries.places, place, entries.head)
        stop = len(entries.places) if upto is None else bisect_right(entries.places, upto, start)
        return [event for event in entries.entries[start : min(stop, start + limit)] if event is not None]

    def count(self, lane: Priority, place: int, upto: int) -> int:
        """How many held events the lane has after `place` and not after `upto`."""
        entries = self._lanes[lane]
        start = bisect_right(entries.places, place, entries.head)
        return max(0, bisect_right(entries.places, upto, start) - start)
