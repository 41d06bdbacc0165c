"""How far one client has read a room's events, lane by lane; what it missed is refilled or declared lost."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gameserver.state.events import EventLog, LoggedEvent, complete_seq, end_of, seq_of
from gameserver.state.priority import LANES, Priority

Score = Callable[[LoggedEvent], float]


class Lost(NamedTuple):
    """Seqs `first` to `last` of a lane, or (None) of all lanes."""

    lane: Priority | None
    first: int
    last: int


class EventCursors:
    """Reads the shared log; copies only what was refilled.

    Everywhere `limit` is the place up to which events are due: the room's position, or where the client left.
    """

    __slots__ = ("_lost", "_queues", "_read", "_targets", "log")

    def __init__(self, log: EventLog, upto: int) -> None:
        self.log = log
        self._read = [end_of(upto)] * len(LANES)
        """Per lane: the place up to which everything was sent, or is declared lost by `lost`."""
        self._queues: dict[Priority, deque[LoggedEvent]] = {}
        """Refilled events not sent yet, never an empty queue."""
        self._targets: dict[Priority, int] = {}
        """Where the cursor stands once a lane's queue is sent."""
        self._lost: list[Lost] = []

    @property
    def lost(self) -> Lost | None:
        """What must be declared lost first."""
        return self._lost[0] if self._lost else None

    def declare(self) -> Lost:
        """Take the oldest declaration: it is being sent."""
        return self._lost.pop(0)

    @property
    def refilled(self) -> Iterator[LoggedEvent]:
        """The copies held for this client alone."""
        for queue in self._queues.values():
            yield from queue

    def _idle(self, limit: int) -> bool:
        """Surely nothing to send, found at little cost."""
        return not self._queues and min(self._read) >= min(limit, end_of(self.log.newest_seq))

    def holed(self, lane: Priority, limit: int) -> bool:
        """Whether the lane's next events are neither in the shared log nor refilled."""
        return lane not in self._queues and self._read[lane] < min(self.log.dropped(lane), limit)

    def missing(self, limit: int) -> tuple[int, int] | None:
        """(after, upto): the seqs the holes span, `after` exclusive."""
        if self._idle(limit):
            return None
        lanes = [lane for lane in LANES if self.holed(lane, limit)]
        if not lanes:
            return None
        after = min(complete_seq(self._read[lane]) for lane in lanes)
        return after, seq_of(max(min(self.log.dropped(lane), limit) for lane in lanes))

    def front(self, lane: Priority, limit: int) -> LoggedEvent | None:
        """The lane's next event that can be sent now."""
        queue = self._queues.get(lane)
        if queue:
            return queue[0]
        read = self._read[lane]
        if self.log.newest(lane) <= read or self.holed(lane, limit):
            return None
        events = self.log.after(lane, read, 1, limit)
        return events[0] if events else None

    def fronts(self, limit: int) -> Iterator[LoggedEvent]:
        if self._idle(limit):
            return
        for lane in LANES:
            event = self.front(lane, limit)
            if event is not None:
                yield event

    def complete(self, limit: int) -> bool:
        """Nothing due: all sent, nothing missing, nothing to declare."""
        if self._lost:
            return False
        return self._idle(limit) or all(
            not self.holed(lane, limit) and self.front(lane, limit) is None for lane in LANES
        )

    def whole(self, limit: int) -> bool:
        """Everything due can be sent now."""
        return not self._lost and not self._queues_short(limit) and not any(self.holed(lane, limit) for lane in LANES)

    def _queues_short(self, limit: int) -> bool:
        return any(target < min(self.log.dropped(lane), limit) for lane, target in self._targets.items())

    def count(self, limit: int) -> int:
        """How many events due are at hand."""
        total = 0
        for lane in LANES:
            queue = self._queues.get(lane)
            read = self._read[lane]
            if queue:
                total += len(queue)
                read = self._targets[lane]
            if self.log.newest(lane) > read:
                total += self.log.count(lane, read, limit)
        return total

    def weight(self, limit: int) -> int:
        """About the bytes of the events due that are at hand."""
        queued = sum(event.size for event in self.refilled)
        return queued + sum(
            event.size
            for lane in LANES
            for event in self.log.after(lane, self._targets.get(lane, self._read[lane]), len(self.log), limit)
        )

    def watermark(self, limit: int) -> int:
        """The seq up to which the client's events are complete over all lanes."""
        return min(complete_seq(self._complete(lane, limit)) for lane in LANES)

    def _complete(self, lane: Priority, limit: int) -> int:
        declared = [lost.first for lost in self._lost if lost.lane in (None, lane)]
        if declared:
            return end_of(min(declared) - 1)
        if self.holed(lane, limit):
            return self._read[lane]
        event = self.front(lane, limit)
        return limit if event is None else event.place - 1

    def take(
        self, limit: int, most: int, size: int, score: Score, ceiling: float, lanes: Sequence[Priority] = LANES
    ) -> list[LoggedEvent]:
        """At most `most` events in order of their score, none above `ceiling`, of about `size` bytes (one at least).

        They count as sent afterwards.
        """
        taken: list[LoggedEvent] = []
        streams = [self._stream(lane, limit, most) for lane in lanes]
        for event in heapq.merge(*streams, key=score):
            size -= event.size
            if len(taken) == most or (taken and size < 0) or score(event) > ceiling:
                break
            taken.append(event)
            self._advance(event)
        self._settle(limit)
        taken.sort(key=lambda event: event.place)
        return taken

    def take_all(self, limit: int) -> list[LoggedEvent]:
        """Everything due; only when it is `whole`."""
        taken = [event for lane in LANES for event in self._queues.get(lane, ())]
        for lane in LANES:
            taken.extend(self.log.after(lane, self._targets.get(lane, self._read[lane]), len(self.log), limit))
        self._queues.clear()
        self._targets.clear()
        self._read = [max(read, limit) for read in self._read]
        taken.sort(key=lambda event: event.place)
        return taken

    def _stream(self, lane: Priority, limit: int, most: int) -> list[LoggedEvent]:
        queue = self._queues.get(lane)
        if queue:
            return list(queue)
        if self.log.newest(lane) <= self._read[lane] or self.holed(lane, limit):
            return []
        return self.log.after(lane, self._read[lane], most, limit)

    def _advance(self, event: LoggedEvent) -> None:
        lane = event.lane
        queue = self._queues.get(lane)
        self._read[lane] = event.place
        if queue:
            queue.popleft()
            if not queue:
                del self._queues[lane]
                self._read[lane] = self._targets.pop(lane)

    def _settle(self, limit: int) -> None:
        """Move every cursor to just before what it owes: what others drop later is then no hole for it."""
        for lane in LANES:
            if not self.holed(lane, limit):
                event = self.front(lane, limit)
                self._read[lane] = max(self._read[lane], limit if event is None else event.place - 1)

    def refill(
        self, events: Sequence[LoggedEvent], complete_from: int, upto: int, limit: int, most: int, size: int
    ) -> None:
        """`events`, in order, are all the room's events with `complete_from` <= seq <= `upto`; older ones are gone.

        No more than about `most` events of `size` bytes are kept; the rest is missing again later.
        """
        wanted: list[LoggedEvent] = []
        tops = {lane: min(self.log.dropped(lane), end_of(upto), limit) for lane in LANES if self.holed(lane, limit)}
        cut: int | None = None
        for event in events:
            top = tops.get(event.lane)
            if top is None or not self._read[event.lane] < event.place <= top:
                continue
            size -= event.size
            if len(wanted) == most or (wanted and size < 0):
                cut = event.place - 1
                break
            wanted.append(event)
        for lane, top in tops.items():
            self._refill_lane(lane, wanted, complete_from, top if cut is None else min(top, cut))
        self._merge_lost()

    def _refill_lane(self, lane: Priority, events: Sequence[LoggedEvent], complete_from: int, top: int) -> None:
        first = complete_seq(self._read[lane]) + 1
        last = min(complete_from - 1, seq_of(top))
        if first <= last:
            self._lost.append(Lost(lane, first, last))
            self._read[lane] = end_of(last)
        queue = deque(event for event in events if event.lane is lane and event.place > self._read[lane])
        if queue:
            self._queues[lane] = queue
            self._targets[lane] = top
        else:
            self._read[lane] = max(self._read[lane], top)

    def _merge_lost(self) -> None:
        ranges = {lost[1:] for lost in self._lost}
        if len(self._lost) == len(LANES) and len(ranges) == 1:
            self._lost = [self._lost[0]._replace(lane=None)]

    def abandon(self, newest: int) -> Lost | None:
        """The epoch is over: what is declared instead of everything not sent up to the seq `newest`."""
        places = [self._read[lane] for lane in LANES]
        places.extend(end_of(lost.first - 1) for lost in self._lost)
        first = min(map(complete_seq, places)) + 1
        return Lost(None, first, newest) if first <= newest else None
