"""What one client is still owed of one room, what of it matters most, and the message that pays it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from gameserver.sessions.cursors import EventCursors, Lost
from gameserver.sessions.dirty import DirtyEntities
from gameserver.sessions.due import DeltaDue, Due, Hole, LeftDue, LostDue, SnapshotDue, VerifyDue
from gameserver.sessions.pace import Pace
from gameserver.sessions.source import RoomSource
from gameserver.state.delta import Sets, State
from gameserver.state.events import LoggedEvent, end_of, seq_of
from gameserver.state.priority import LANES, Priority

FORCED = -1e9
"""Scores from here down are obligations: they come before every lane."""


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """`aging_s`: how many seconds of waiting are worth one lane. `exact_every_s`: how long a room may be inexact.

    `message_bytes` and `exact_events` bound the events of a message and of an exact delta that is forced; `refill_*`
    what is held of a hole's refill; above `dirty_cap` dirty entities a room gets a snapshot instead.
    """

    aging_s: float = 2.0
    exact_every_s: float = 5.0
    entities_per_message: int = 64
    events_per_message: int = 64
    message_bytes: int = 32 * 1024
    exact_events: int = 1024
    dirty_cap: int = 4096
    refill_events: int = 256
    refill_bytes: int = 64 * 1024
    signal_cap: int = 256
    signal_bytes: int = 64 * 1024
    replies_cap: int = 256
    reply_bytes: int = 64 * 1024


class Kind(Enum):
    LOST = auto()
    SNAPSHOT = auto()
    DELTA = auto()
    FORCED = auto()
    VERIFY = auto()
    LEFT = auto()


class Work(NamedTuple):
    """The most important piece of work of a room; the lower its score, the sooner."""

    score: float
    kind: Kind


@dataclass(frozen=True, slots=True)
class _Snapshot:
    lane: Priority
    since: float
    asked: bool
    """For by the client or its arrival, not by our own memory limits: no tier delays it."""


class Arrears:
    """`order` counts the comings and goings of the client's rooms."""

    def __init__(self, source: RoomSource, limits: OutboxLimits, order: int, now: float, pace: Pace) -> None:
        self._pace = pace
        self.source = source
        self.order = order
        self.epoch = source.position.epoch
        self.seq = 0
        self.known = False
        """Whether the client was ever sent anything of the room since it came."""
        self.open_at = -math.inf
        """No state and no events but the system's before then."""
        self._limits = limits
        self._dirty = DirtyEntities()
        self._events: EventCursors | None = None
        self._foreign_lost: Lost | None = None
        self._snapshot: _Snapshot | None = _Snapshot(Priority.SYSTEM, now, True)
        self._inexact_since: float | None = None
        self._behind_since: float | None = None
        self._unproven_since: float | None = now
        self._heard_seq = 0
        self._heard_at = now
        self._left: tuple[str, float, int] | None = None

    def stand(self, epoch: int, seq: int, events_upto: int, now: float) -> None:
        """The client stands exactly there and has all events up to `events_upto`; elsewhere in time than here, it
        starts anew with a snapshot."""
        self.known = True
        self.epoch, self.seq = epoch, seq
        position = self.source.position
        if epoch != position.epoch or seq > position.seq:
            return
        self._snapshot = None
        self._events = EventCursors(self.source.events, events_upto)
        self._hear(now)

    # What happens to the room.

    def mark(self, dels: Iterable[str], sets: Sets, created: Collection[str], now: float) -> None:
        self.refresh(now)
        self._hear(now)
        if self._left is not None or self._snapshot is not None:
            return
        self._dirty.mark(self.source.priority, dels, sets, created, now)
        if len(self._dirty) > self._limits.dirty_cap:
            lane, since = min(self._dirty.oldest(), key=lambda front: self._score(front[0], front[1], now))
            self._owe_snapshot(_Snapshot(lane, since, False))

    def _hear(self, now: float) -> None:
        newest = self.source.events.newest_seq
        if newest != self._heard_seq:
            self._heard_seq = newest
            self._heard_at = now

    def reset(self, now: float) -> None:
        """A snapshot is owed; events go on from where the client has them."""
        self.open_at = -math.inf
        if self._snapshot is None or not self._snapshot.asked:
            self._owe_snapshot(_Snapshot(Priority.SYSTEM, now, True))

    def _owe_snapshot(self, snapshot: _Snapshot) -> None:
        self._snapshot = snapshot
        self._dirty.clear()

    def prove(self, now: float) -> None:
        if self._unproven_since is None:
            self._unproven_since = now

    def leave(self, reason: str, now: float, order: int) -> None:
        self.refresh(now)
        self._hear(now)
        self.order = order
        self._left = (reason, now, end_of(self.source.position.seq))
        self._snapshot = None
        self._dirty.clear()

    def refresh(self, now: float) -> None:
        """Notice that the room lives in another epoch now."""
        if self._events is None:
            return
        if self.source.position.epoch == self.epoch:
            if self._left is None:
                self._events.log = self.source.events
                if self._behind_since is None and self._snapshot is None and self.seq < self.source.position.seq:
                    self._behind_since = now
            return
        # Commits may have been applied, and their events logged, that were not marked yet.
        newest = max(self._heard_seq, self._events.log.ended(self.epoch) or 0)
        if self._left is not None:
            newest = min(newest, seq_of(self._left[2]))
        self._foreign_lost = self._events.abandon(newest)
        self._events = None
        if self._left is None:
            self._owe_snapshot(_Snapshot(Priority.SYSTEM, now, True))

    # Where it stands.

    @property
    def leaving(self) -> bool:
        return self._left is not None

    @property
    def _limit(self) -> int:
        return end_of(self.source.position.seq) if self._left is None else self._left[2]

    @property
    def watermark(self) -> int:
        return self.seq if self._events is None else self._events.watermark(self._limit)

    @property
    def inexact(self) -> bool:
        return self._inexact_since is not None

    @property
    def settled(self) -> bool:
        """Nothing owed but perhaps a proof."""
        return self._left is None and self._at_position and (self._events is None or self._events.complete(self._limit))

    @property
    def proven(self) -> bool:
        return self._unproven_since is None

    @property
    def _at_position(self) -> bool:
        return self._snapshot is None and (self.epoch, self.seq) == self.source.position

    @property
    def size(self) -> int:
        copies = sum(event.size for event in self._events.refilled) if self._events else 0
        return 1500 + 150 * len(self._dirty) + copies

    def hole(self) -> Hole | None:
        if self._events is None or self.source.position.epoch != self.epoch:
            return None
        missing = self._events.missing(self._limit)
        return None if missing is None else Hole(self.source.room, self.epoch, *missing)

    def refill(self, hole: Hole, events: Sequence[LoggedEvent], complete_from: int, upto: int) -> None:
        if self._events is not None and hole.epoch == self.epoch == self.source.position.epoch:
            limits = self._limits
            self._events.refill(events, complete_from, upto, self._limit, limits.refill_events, limits.refill_bytes)

    # What matters most.

    def _score(self, lane: Priority, since: float, now: float) -> float:
        return lane - self._pace.waited(since, now) / self._limits.aging_s

    def _event_score(self, event: LoggedEvent, now: float) -> float:
        # The log has the store's clock only: the newest event came when it was heard of, older ones that much earlier.
        older = max(0, self.source.events.newest_at - event.at) / 1000
        return self._score(event.lane, self._heard_at - older, now)

    def work(self, now: float, *, held: bool = False, tiered: bool = True) -> Work | None:
        """The most important work that can be done now; `held` keeps the room's first message back.

        `tiered` false: as if no tier delayed anything.
        """
        self.refresh(now)
        if self._left is not None:
            return self._work_of_leaving(now)
        if not self.known and held:
            return None
        gated = tiered and now < self.open_at
        works = [*self._lost_work(now), *self._event_work(now, gated)]
        if self._unproven_since is not None and self._at_position:
            # No tier delays it: by then the room would have moved on.
            works.append(Work(self._score(Priority.COSMETIC, self._unproven_since, now), Kind.VERIFY))
        if self._snapshot is not None:
            if self._snapshot.asked or not gated:
                score = self._score(self._snapshot.lane, self._snapshot.since, now)
                works.append(Work(self._obligation(now) or score, Kind.SNAPSHOT))
        elif not gated:
            works.extend(self._state_work(now))
        return min(works, key=lambda work: work.score, default=None)

    def _work_of_leaving(self, now: float) -> Work | None:
        assert self._left is not None
        score = self._score(Priority.SYSTEM, self._left[1], now)
        events = self._events
        if self._foreign_lost is not None or (events is not None and events.lost is not None):
            return Work(score, Kind.LOST)
        if events is None or events.complete(self._limit):
            return Work(score, Kind.LEFT)
        return Work(score, Kind.DELTA) if any(events.fronts(self._limit)) else None

    def _lost_work(self, now: float) -> list[Work]:
        if self._foreign_lost is not None:
            return [Work(2 * FORCED, Kind.LOST)]
        lost = self._events.lost if self._events is not None else None
        if lost is None:
            return []
        # Small, and nothing of its lane is complete before it: it goes with the most important.
        return [Work(2 * FORCED if self._obligation(now) else float(lost.lane or Priority.SYSTEM), Kind.LOST)]

    def _event_work(self, now: float, gated: bool) -> list[Work]:
        if self._events is None:
            return []
        return [
            Work(self._event_score(event, now), Kind.DELTA)
            for event in self._events.fronts(self._limit)
            if event.lane is Priority.SYSTEM or not gated
        ]

    def _state_work(self, now: float) -> list[Work]:
        works = [Work(self._score(lane, since, now), Kind.DELTA) for lane, since in self._dirty.oldest()]
        if obligation := self._obligation(now):
            works.append(Work(obligation, Kind.FORCED))
        if self._behind_since is not None and not works and self._events and self._events.complete(self._limit):
            works.append(Work(self._score(Priority.COSMETIC, self._behind_since, now), Kind.DELTA))
        return works

    def _obligation(self, now: float) -> float | None:
        """The score of being exact again at last, once the room has been inexact too long."""
        if self._inexact_since is None or now - self._inexact_since < self._limits.exact_every_s:
            return None
        return FORCED - now + self._inexact_since

    # The messages.

    def pay(self, work: Work, now: float, ceiling: float) -> Due:
        """The message that does this work; a delta takes along what has no higher score than `ceiling`."""
        room = self.source.room
        if work.kind is Kind.LOST:
            return self._declare(room)
        if work.kind is Kind.SNAPSHOT:
            return self._pay_snapshot(now)
        if work.kind is Kind.FORCED:
            return self._pay_forced(now)
        if work.kind is Kind.VERIFY:
            self._unproven_since = None
            return VerifyDue(room, self.epoch, self.seq, self.source.sum())
        if work.kind is Kind.LEFT:
            assert self._left is not None
            return LeftDue(room, self._left[0])
        return self._pay_delta(now, ceiling)

    def _declare(self, room: str) -> LostDue:
        lost = self._foreign_lost
        if lost is not None:
            self._foreign_lost = None
        else:
            assert self._events is not None
            lost = self._events.declare()
        return LostDue(room, lost.first, lost.last, lost.lane)

    def _pay_snapshot(self, now: float) -> SnapshotDue:
        self.epoch, self.seq = self.source.position
        self.known = True
        self._snapshot = None
        self._unproven_since = now
        if self._events is None:
            self._events = EventCursors(self.source.events, self.seq)
            self._hear(now)
        self._stand_exactly()
        return SnapshotDue(self.source.room, self.epoch, self.seq, self.source.state(), self.source.sum())

    def _stand_exactly(self) -> None:
        self._inexact_since = None
        self._behind_since = None

    def _pay_forced(self, now: float) -> Due:
        assert self._events is not None
        if self._events.whole(self._limit) and self._events.count(self._limit) <= self._limits.exact_events:
            return self._exact(now)
        self._owe_snapshot(_Snapshot(Priority.SYSTEM, now, False))
        return self._pay_snapshot(now)

    def _exact(self, now: float) -> DeltaDue:
        assert self._events is not None
        prev, self.seq = self.seq, self.source.position.seq
        dels, sets = self._dirty.take(self.source.entity, len(self._dirty), lambda lane, since: 0.0, math.inf)
        events = self._events.take_all(self._limit)
        self._stand_exactly()
        return DeltaDue(self.source.room, prev, self.seq, dels, sets, events)

    def _fits(self) -> bool:
        """Everything due of the room fits one message."""
        events, limits = self._events, self._limits
        return (
            self._snapshot is None
            and self._left is None
            and self.seq < self.source.position.seq
            and len(self._dirty) <= limits.entities_per_message
            and events is not None
            and events.whole(self._limit)
            and events.count(self._limit) <= limits.events_per_message
            and events.weight(self._limit) <= limits.message_bytes
        )

    def _pay_delta(self, now: float, ceiling: float) -> DeltaDue:
        gated = now < self.open_at and self._left is None
        if not gated and self._fits():
            return self._exact(now)
        events, limits = self._events, self._limits
        assert events is not None
        taken = events.take(
            self._limit,
            limits.events_per_message,
            limits.message_bytes,
            lambda event: self._event_score(event, now),
            math.inf if self._left else ceiling,
            LANES[:1] if gated else LANES,
        )
        dels: list[str] = []
        sets: State = {}
        if not gated and len(self._dirty):
            dels, sets = self._dirty.take(
                self.source.entity,
                limits.entities_per_message,
                lambda lane, since: self._score(lane, since, now),
                ceiling,
            )
        if (dels or sets) and self._inexact_since is None:
            self._inexact_since = now
            self.prove(now)
        seq = self.source.position.seq if self._left is None else max(self.seq, seq_of(self._left[2]))
        return DeltaDue(self.source.room, self.seq, seq, dels, sets, taken, True, events.watermark(self._limit))
