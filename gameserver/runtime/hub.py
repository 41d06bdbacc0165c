"""Rooms to members: what a commit changed reaches everybody in the room, once per loop turn.

Healthy members share frames. One whose channel still holds unsent bytes after a write moves to its own outbox,
and comes back when that is drained. A commit over several rooms is shown in all of them at once: a room
that has applied it waits, within a deadline, for its siblings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gameserver.protocol import outgoing
from gameserver.protocol.codes import LANES, Priority
from gameserver.rooms.views import WHOLE, View
from gameserver.runtime.audience import Audience, Circle
from gameserver.runtime.member import Member
from gameserver.runtime.proof import Proof
from gameserver.runtime.replies import Replies
from gameserver.runtime.siblings import Siblings
from gameserver.runtime.slow import SlowPath
from gameserver.state.commit import Commit
from gameserver.state.kinds import Schema
from gameserver.state.position import Position
from gameserver.state.replica import Replica

LONGEST_JOIN = 0.005
"""Seconds that a flush waits at most, so that more goes into it, while the one before was long."""
SHORT_FLUSH = 0.0005
"""A flush of fewer seconds is not worth waiting for."""


class HubStats:
    """Counters since start; `deliveries` are frames handed to members' channels."""

    def __init__(self) -> None:
        self.flushes = 0
        self.deliveries = 0
        self.demoted = 0
        self.promoted = 0
        self.signals = 0


class Hub:
    """All audiences of one worker.

    `follows(room)` says whether a room's commits are applied here; `on_missing()` is called when
    a sibling did not come in time; `after_flush` callbacks run once, after what is pending has been written.
    """

    def __init__(
        self,
        schema: Schema,
        follows: Callable[[str], bool],
        on_missing: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        self._schema = schema
        self._on_missing = on_missing
        self._now = now
        self._audiences: dict[str, Audience] = {}
        self._dirty: dict[Audience, None] = {}
        self._scheduled = False
        self._not_before = 0.0
        self._after_flush: list[Callable[[], None]] = []
        self.stats = HubStats()
        self.siblings = Siblings(follows, self._schedule, self._overdue, now)
        self.replies = Replies(self._demote_congested)
        self.slow = SlowPath(self, now)
        # The same object for all: one is made each time a method is named.
        self._priority_of = self.priority_of

    def audience(self, room: str) -> Audience | None:
        return self._audiences.get(room)

    def audiences(self) -> list[Audience]:
        return list(self._audiences.values())

    # -- what happens to replicas (see replication.Listener) -------------------------------------------

    def applied(self, replica: Replica, commit: Commit) -> None:
        siblings = commit.siblings
        if siblings:
            self.siblings.note(replica.room, commit.id)
        audience = self._audiences.get(replica.room)
        if audience is None:
            return
        audience.take(commit)
        if siblings:
            self.siblings.hold(audience, commit.id, siblings)
        self._dirty[audience] = None
        self._schedule()

    def reloading(self, replica: Replica) -> None:
        """The replica is about to jump: show what it had."""
        audience = self._audiences.get(replica.room)
        if audience is not None:
            self.siblings.release(audience)
            self._flush(audience)

    def reloaded(self, replica: Replica, before: Position) -> None:
        """It jumped: members get the snapshot, and the events between are declared lost."""
        audience = self._audiences.get(replica.room)
        if audience is None:
            return
        audience.forget_pending()
        audience.reset_log()
        lost = before.epoch == replica.epoch and before.seq < replica.seq
        for circle in audience.circles.values():
            circle.last = replica.seq
            circle.forget_snapshots()
            for member in list(circle.healthy):
                self.tell(member, circle.snapshot_frame(member.codec))
                if lost:
                    member.send(outgoing.lost(replica.room, before.seq + 1, replica.seq))
            for member in list(circle.slow):
                self.slow.reset(member, circle)

    def signalled(self, room: str, key: str, data: object, sender: str | None) -> None:
        audience = self._audiences.get(room)
        if audience is None:
            return
        self.stats.signals += 1
        audience.signals[key] = outgoing.signal(room, key, data, sender)
        self._dirty[audience] = None
        self._schedule()

    def _overdue(self) -> None:
        self._on_missing()
        self._schedule()

    # -- flushing ---------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if self._scheduled:
            return
        self._scheduled = True
        wait = self._not_before - self._now()
        loop = asyncio.get_running_loop()
        if wait > 0:
            loop.call_later(wait, self.flush)
        else:
            loop.call_soon(self.flush)

    def after_flush(self, callback: Callable[[], None]) -> None:
        """Call back once everything that is pending now has been written or is held no more."""
        self._after_flush.append(callback)
        self._schedule()

    def flush(self) -> None:
        """Write what is pending in every room that does not wait for a sibling."""
        self._scheduled = False
        started = self._now()
        dirty, self._dirty = self._dirty, {}
        self.stats.flushes += 1
        slow: dict[Member, None] = {}
        for audience in dirty:
            slow.update(dict.fromkeys(audience.slow_members()))
            if audience.awaited:
                self._dirty[audience] = None
            else:
                self._flush(audience)
        for member in slow:
            self.slow.pump(member)
        self._pace(started)
        callbacks, self._after_flush = self._after_flush, []
        for callback in callbacks:
            callback()

    def _pace(self, started: float) -> None:
        """After a long flush the next one waits for about as long: the busier a worker is, the more it joins."""
        ended = self._now()
        lasted = ended - started
        self._not_before = ended + min(lasted, LONGEST_JOIN) if lasted > SHORT_FLUSH else 0.0

    def flush_room(self, audience: Audience) -> None:
        """Write what is pending in one room now, unless it waits for a sibling."""
        if not audience.awaited:
            self._dirty.pop(audience, None)
            self._flush(audience)

    def _flush(self, audience: Audience) -> None:
        if audience.clean:
            self._demote_congested()
            self._let_in(audience)
            return
        pending = audience.collected()
        change, events = (pending.change(), pending.events()) if pending.commits else (((), {}), [])
        audience.forget_pending()
        seq = audience.replica.seq
        for circle in audience.circles.values():
            messages: list[outgoing.ServerMessage] = []
            if pending.commits:
                dels, sets = circle.view.of_change(*change, pending.created)
                if dels or sets or events:
                    messages.append(outgoing.delta(audience.room, circle.last, seq, dels, sets, events))
                    circle.last = seq
            for signal in pending.signals.values():
                messages.append(signal)
                for member in circle.slow:
                    self.slow.signal(member, signal)
            if messages:
                self.share(circle, messages)
        self._demote_congested()
        self._let_in(audience)

    def _let_in(self, audience: Audience) -> None:
        for member, (view, seen) in audience.let_in().items():
            if not member.closed:
                self.enter(member, audience.replica, view, seen)

    def share(self, circle: Circle, messages: Sequence[outgoing.ServerMessage]) -> None:
        """Write the messages to all healthy members of the circle, after what they were told one by one."""
        self.replies.flush()
        self.stats.deliveries += circle.share(messages)

    def tell(self, member: Member, frame: bytes) -> None:
        """Write the frame to one healthy member, at the end of this turn."""
        self.stats.deliveries += 1
        member.write(frame)

    def _demote_congested(self) -> None:
        """Channels that could not take all that was written to them; some have taken it meanwhile."""
        congested = self.replies.congested
        while congested:
            member, _ = congested.popitem()
            self.slow.notice(member)

    # -- members ----------------------------------------------------------------------------------------

    def enter(self, member: Member, replica: Replica, view: View = WHOLE, seen: Position | None = None) -> None:
        """Seat the member (again, with another view) and give it the room's snapshot; while the room waits for a
        sibling, who comes waits with the others.

        `seen` is up to where it had the room's events when it was here before: what came since is declared lost."""
        held = self._audiences.get(replica.room)
        if held is not None and held.awaited:
            held.keep_out(member, view, seen)
            return
        circle = self._seat(member, replica, view)
        if member.outbox is None:
            circle.seat(member)
            self.tell(member, circle.snapshot_frame(member.codec))
            if circle.alone:
                # Who enters in the same turn shares the frame; a player's own room would keep it for nobody.
                asyncio.get_running_loop().call_soon(circle.forget_snapshots)
        else:
            self.slow.enter(member, circle)
        self._declare_lost(member, replica, seen)

    @staticmethod
    def _declare_lost(member: Member, replica: Replica, seen: Position | None) -> None:
        if seen is not None and seen.epoch == replica.epoch and 0 <= seen.seq < replica.seq:
            member.send(outgoing.lost(replica.room, seen.seq + 1, replica.seq))

    def enter_at(self, member: Member, replica: Replica, view: View = WHOLE) -> None:
        """Seat a healthy member that is brought to the replica's position by other means, before anything else."""
        self._seat(member, replica, view).seat(member)

    def _seat(self, member: Member, replica: Replica, view: View) -> Circle:
        audience = self._audiences.get(replica.room)
        if audience is None:
            audience = self._audiences[replica.room] = Audience(replica, self._priority_of)
        audience.hold_handle(member.codec)
        self.flush_room(audience)
        previous = member.circles.get(replica.room)
        if previous is not None and previous.view != view:
            # Its new circle comes first: without members the audience would be dropped in between.
            audience.circle(view)
            self._unseat(member, previous)
        circle = audience.circle(view)
        member.circles[replica.room] = circle
        return circle

    def snapshot(self, member: Member, room: str) -> bool:
        """Send the room again (a resync), once it waits for no sibling; whether the member is in the room."""
        circle = member.circles.get(room)
        if circle is None:
            return False
        if circle.audience.awaited:
            circle.audience.keep_out(member, circle.view, again=False)
            return True
        self.flush_room(circle.audience)
        if member.outbox is None:
            self.tell(member, circle.snapshot_frame(member.codec))
        else:
            self.slow.reset(member, circle)
        return True

    def leave(self, member: Member, room: str, reason: str) -> None:
        """Take the member out of the room; it gets what is still due of the room, then `left`."""
        held = self._audiences.get(room)
        waited = held.send_away(member) if held is not None else None
        circle = member.circles.get(room)
        if circle is None:
            if held is not None and waited is not None:
                # It was never let in, but may know the room from before, or have asked for it.
                self._declare_lost(member, held.replica, waited.seen)
                member.send(outgoing.left(room, reason))
            return
        audience = circle.audience
        # This may be what makes the member slow: it is in the room until it has been written.
        self.flush_room(audience)
        del member.circles[room]
        self._unseat(member, circle)
        if member.outbox is None:
            if audience.pending:
                # Held for a sibling, yet nothing may follow `left`.
                pending = audience.collected()
                dels, sets = circle.view.of_change(*pending.change(), pending.created)
                events = pending.events()
                member.send(outgoing.delta(room, circle.last, audience.replica.seq, dels, sets, events))
            member.send(outgoing.left(room, reason))
        else:
            self.slow.leave(member, room, reason)

    def forget(self, member: Member) -> None:
        """The connection is gone."""
        member.closed = True
        for circle in member.circles.values():
            self._unseat(member, circle)
        member.circles.clear()
        self.slow.forget(member)

    def _unseat(self, member: Member, circle: Circle) -> None:
        circle.remove(member)
        audience = circle.audience
        if circle.empty:
            audience.circles.pop(circle.view, None)
        if not audience.circles:
            self._audiences.pop(audience.room, None)
            self._dirty.pop(audience, None)
            self.siblings.release(audience)
            self._let_in(audience)

    def proof(self, audience: Audience) -> Proof | None:
        """What to tell the room's members their checksum by; None while it waits for a sibling, or has nobody."""
        return None if audience.awaited or not audience.circles else Proof(self, audience)

    def priority_of(self, entity: str) -> Priority:
        return LANES[self._schema.priority(entity, Priority.MOVEMENT)]
