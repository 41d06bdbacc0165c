"""Everything one slow client is owed, and in what order it gets it: nothing is queued but direct answers.

State is remembered as dirty entities and read when it is sent, events as cursors into the rooms' shared
logs, signals as the latest by key. Every piece of work has a score, its lane less what it has waited;
`next`, called whenever the line takes more, answers the one with the lowest as a small message. A room
whose state went out early in parts is made exact again within `exact_every_s`, whatever else waits. Once
`drained`, the client stands exactly where its rooms are.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from gameserver.sessions.arrears import Arrears, OutboxLimits, Work
from gameserver.sessions.due import Due, Hole, LeftDue, ReplyDue, SignalDue
from gameserver.sessions.pace import Pace
from gameserver.sessions.quality import Tier
from gameserver.sessions.signals import Signals
from gameserver.sessions.source import RoomSource
from gameserver.state.delta import Sets
from gameserver.state.events import LoggedEvent

DEFAULT_LIMITS = OutboxLimits()


class Standing(NamedTuple):
    """Where the client is in a room: exactly at (epoch, seq), its events complete up to `watermark`.

    `exact` is false after a part of the room's later state was sent early.
    """

    epoch: int
    seq: int
    watermark: int
    exact: bool


class Outbox:
    """One client's. `now` is in seconds, monotonic; rooms are named by their source's `room`."""

    def __init__(self, limits: OutboxLimits = DEFAULT_LIMITS, tier: Tier = Tier.FULL) -> None:
        self._limits = limits
        self._tier = tier
        self._gate = -math.inf
        self._rooms: dict[str, Arrears] = {}
        self._leaving: list[Arrears] = []
        self._pace = Pace()
        self._signals = Signals(limits.signal_cap, limits.signal_bytes)
        self._replies: deque[tuple[Any, int]] = deque()
        self._reply_bytes = 0
        self._order = 0

    # Rooms.

    def join(self, source: RoomSource, position_seq: int, epoch: int, events_upto: int, now: float) -> None:
        """The client stands exactly at (epoch, position_seq) and has all events up to `events_upto`.

        Commits after that seq which the source already has are to be marked at once. Of another epoch than the
        source's, or ahead of it, the client is owed a snapshot.
        """
        self._come(source, now).stand(epoch, position_seq, events_upto, now)

    def enter(self, source: RoomSource, now: float) -> None:
        """The client is new to the room: it is owed a snapshot, and the events after it."""
        self._come(source, now)

    def __contains__(self, room: str) -> bool:
        """Whether the client is in the room."""
        return room in self._rooms

    def _come(self, source: RoomSource, now: float) -> Arrears:
        if source.room in self._rooms:
            raise ValueError(f"the client is in {source.room} already")
        self._order += 1
        arrears = self._rooms[source.room] = Arrears(source, self._limits, self._order, now, self._pace)
        return arrears

    def leave(self, room: str, reason: str, now: float) -> bool:
        """The events still due follow, or are declared lost, then `LeftDue`; nothing of the room after it.

        False when the client was never sent anything of the room: then nothing follows. First snapshots of rooms
        entered afterwards wait for it.
        """
        arrears = self._rooms.pop(room)
        self._signals.drop(room)
        if not arrears.known:
            return False
        self._order += 1
        arrears.leave(reason, now, self._order)
        self._leaving.append(arrears)
        return True

    def reset(self, room: str, now: float, source: RoomSource | None = None) -> None:
        """A snapshot is owed (resync, another view); events go on where the client has them."""
        arrears = self._rooms[room]
        if source is not None:
            arrears.source = source
        arrears.reset(now)

    def mark(self, room: str, dels: Iterable[str], sets: Sets, created: Collection[str], now: float) -> None:
        """The source has applied a commit (and logged its events): what it changed, in the view's terms.

        `created`: those of `sets` that did not exist before the commit. Commits that are caught up on after
        a resume name none: the client may have seen them in part, and their fields are all in the range.
        """
        self._rooms[room].mark(dels, sets, created, now)

    def prove(self, room: str, now: float) -> None:
        """Owe a `VerifyDue` at the next moment the client stands exactly at the room's position."""
        self._rooms[room].prove(now)

    def wanted(self) -> list[Hole]:
        """What must be read from the store's log before it can be sent; answered again until it was refilled."""
        return [hole for arrears in self._all() if (hole := arrears.hole()) is not None]

    def refill(
        self, hole: Hole, events: Sequence[LoggedEvent], complete_from: int, complete_upto: int | None = None
    ) -> None:
        """`events`, in order, are all with `complete_from` <= seq <= `complete_upto` (None: `hole.upto`).

        Those of the hole before `complete_from` are gone and will be declared lost: when the log has nothing, it
        is `hole.upto + 1`. A part of the hole that is not kept for lack of memory is wanted again.
        """
        upto = hole.upto if complete_upto is None else complete_upto
        for arrears in self._all():
            if arrears.source.room == hole.room:
                arrears.refill(hole, events, complete_from, upto)

    # What is not state.

    def signal(self, room: str, key: str, data: Any, sender: str | None, now: float) -> None:
        """Replaces what waits under (room, key); dropped while the room's first snapshot is owed."""
        if self._rooms[room].known:
            self._signals.put(room, key, data, sender, now)

    def reply(self, message: Any, size: int) -> None:
        """A direct answer of about `size` bytes: before everything else, in order, never dropped."""
        self._replies.append((message, size))
        self._reply_bytes += size

    @property
    def congested(self) -> bool:
        """Too many answers wait: read no more of the client's input until it takes some."""
        return len(self._replies) >= self._limits.replies_cap or self._reply_bytes >= self._limits.reply_bytes

    # What to send.

    def next(self, now: float) -> Due | None:
        """The next most important message, which counts as sent; None when nothing can be sent now."""
        self._pace.note(now)
        if self._replies:
            message, size = self._replies.popleft()
            self._reply_bytes -= size
            return ReplyDue(message)
        best: Work | None = None
        chosen: Arrears | None = None
        others = self._signals.waiting(now, self._limits.aging_s, self._pace)
        for arrears in self._all():
            work = arrears.work(now, held=self._held(arrears))
            if work is None:
                continue
            if best is None or work.score < best.score:
                others = others if best is None else min(others, best.score)
                best, chosen = work, arrears
            else:
                others = min(others, work.score)
        if best is None or chosen is None:
            return None if others == math.inf else self._signal(now)
        if self._signals.waiting(now, self._limits.aging_s, self._pace) < best.score:
            return self._signal(now)
        return self._pay(chosen, best, now, math.inf if others == math.inf else math.floor(others) + 1)

    def _pay(self, arrears: Arrears, work: Work, now: float, ceiling: float) -> Due:
        due = arrears.pay(work, now, ceiling)
        if isinstance(due, LeftDue):
            self._leaving.remove(arrears)
        elif self._tier and arrears.settled:
            arrears.open_at = self._next_gate(now)
        return due

    def _signal(self, now: float) -> SignalDue:
        signal = self._signals.take()
        if self._tier and not len(self._signals):
            self._signals.open_at = self._next_gate(now)
        return signal

    def _next_gate(self, now: float) -> float:
        """One for all rooms, so that a client which sleeps between is woken once."""
        if now >= self._gate:
            self._gate = now + self._tier.interval
        return self._gate

    def _held(self, arrears: Arrears) -> bool:
        return any(leaving.order < arrears.order for leaving in self._leaving)

    def _all(self) -> Iterator[Arrears]:
        yield from self._leaving
        yield from self._rooms.values()

    def due_at(self, now: float) -> float | None:
        """When `next` has something at the earliest, if nothing more happens; None: never."""
        if self._replies:
            return now
        moments = [self._due_at(arrears, now) for arrears in self._all()]
        if len(self._signals):
            moments.append(max(now, self._signals.open_at))
        earliest = min(moments, default=math.inf)
        return None if earliest == math.inf else earliest

    def _due_at(self, arrears: Arrears, now: float) -> float:
        held = self._held(arrears)
        if arrears.work(now, held=held) is not None:
            return now
        return math.inf if arrears.work(now, held=held, tiered=False) is None else arrears.open_at

    # Where the client stands.

    @property
    def tier(self) -> Tier:
        return self._tier

    @tier.setter
    def tier(self, tier: Tier) -> None:
        if tier < self._tier:
            self._gate = -math.inf
            self._signals.open_at = -math.inf
            for arrears in self._rooms.values():
                arrears.open_at = -math.inf
        self._tier = tier

    @property
    def drained(self) -> bool:
        """Nothing is owed, proofs included, and the client stands exactly at each room's position."""
        return (
            not self._replies
            and not self._leaving
            and not len(self._signals)
            and all(arrears.settled and arrears.proven for arrears in self._rooms.values())
        )

    def positions(self) -> dict[str, Standing]:
        """Of every room the client was sent something of and is still in."""
        return {
            room: Standing(arrears.epoch, arrears.seq, arrears.watermark, not arrears.inexact)
            for room, arrears in self._rooms.items()
            if arrears.known
        }

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes, the shared logs not counted."""
        return 2000 + self._reply_bytes + self._signals.size + sum(arrears.size for arrears in self._all())
