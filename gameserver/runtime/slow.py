"""The way of slow members: out of the shared path into their own outbox, and back once it is drained."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from gameserver.protocol import outgoing
from gameserver.runtime.audience import Circle
from gameserver.runtime.member import PUMP_BYTES, Member, nothing
from gameserver.sessions import due
from gameserver.sessions.outbox import Outbox
from gameserver.sessions.quality import Tier
from gameserver.state.events import LoggedEvent

if TYPE_CHECKING:
    from gameserver.runtime.hub import Hub


class SlowPath:
    """Moves members between the shared path and outboxes, and writes from outboxes when there is room.

    `fetch(hole)` is asked for events that only the store's log still has, and calls `refill` when it has read them.
    """

    def __init__(self, hub: Hub, now: Callable[[], float]) -> None:
        self._hub = hub
        self._now = now
        self.members: dict[Member, None] = {}
        self.fetch: Callable[[due.Hole], None] | None = None
        self._fetching: set[due.Hole] = set()

    def demote(self, member: Member) -> None:
        """Its channel still holds bytes: from now on it takes what it can, the most important first."""
        if member.outbox is not None or member.closed:
            return
        now = self._now()
        self._hub.replies.flush_member(member)
        self._hub.stats.demoted += 1
        outbox = Outbox(tier=member.tier)
        for circle in member.circles.values():
            circle.audience.open_log(circle.last)
            outbox.join(circle, circle.last, circle.audience.replica.epoch, circle.last, now)
            outbox.prove(circle.room, now)
        member.outbox = outbox
        member.pump = partial(self.pump, member)
        self.members[member] = None
        for circle in member.circles.values():
            circle.seat(member)
            circle.audience.mark_pending(circle, member, now)
        member.channel.on_drained(lambda: self.drained(member))
        self._arm(member)

    def notice(self, member: Member) -> None:
        """Its channel held something back: what its line does not take may not pile up."""
        if member.channel.unsent() > member.channel.slack:
            self.demote(member)

    def promote(self, member: Member) -> None:
        """It stands where everybody stands: back to the shared path."""
        self._hub.stats.promoted += 1
        member.outbox = None
        self.members.pop(member, None)
        for circle in member.circles.values():
            circle.seat(member)

    def forget(self, member: Member) -> None:
        self.members.pop(member, None)
        member.outbox = None
        member.pump = nothing
        member.channel.on_drained(nothing)
        member.channel.on_congested(nothing)
        member.relieve()
        if member.interval_timer is not None:
            member.interval_timer.cancel()
            member.interval_timer = None

    def enter(self, member: Member, circle: Circle) -> None:
        """The member, slow already, came into a room or sees it another way: it is owed the snapshot."""
        if member.outbox is None:
            return
        circle.audience.open_log(circle.audience.replica.seq)
        now = self._now()
        if circle.room in member.outbox:
            member.outbox.reset(circle.room, now, circle)
        else:
            member.outbox.enter(circle, now)
        circle.seat(member)
        self.pump(member)

    def reset(self, member: Member, circle: Circle) -> None:
        if member.outbox is not None:
            member.outbox.reset(circle.room, self._now())
            self.pump(member)

    def prove(self, member: Member, circle: Circle) -> None:
        """It is sent the room's checksum as well, when it next stands exactly where the room does."""
        if member.outbox is not None:
            member.outbox.prove(circle.room, self._now())
            self._arm(member)

    def leave(self, member: Member, room: str, reason: str) -> None:
        if member.outbox is not None:
            if not member.outbox.leave(room, reason, self._now()):
                # It was never shown anything of the room, but may have asked for it.
                member.send(outgoing.left(room, reason))
            self.pump(member)

    def signal(self, member: Member, signal: outgoing.Signal) -> None:
        if member.outbox is not None:
            member.outbox.signal(signal["room"], signal["key"], signal["data"], signal.get("from"), self._now())

    def set_tier(self, member: Member, tier: Tier) -> None:
        """Below full every member has its own outbox, sent at the tier's interval."""
        member.tier = tier
        if member.outbox is not None:
            member.outbox.tier = tier
            self._again(member)
        elif tier is not Tier.FULL:
            self.demote(member)

    def drained(self, member: Member) -> None:
        """The channel is empty again."""
        self._hub.flush()
        self.pump(member)

    def pump(self, member: Member) -> None:
        """Write what the outbox holds until the channel is full or nothing is due."""
        outbox, channel = member.outbox, member.channel
        if outbox is None or member.closed or channel.unsent():
            return
        if any(circle.audience.awaited for circle in member.circles.values()):
            return
        now = self._now()
        for circle in member.circles.values():
            circle.mark(member, now)
        written = 0
        while written < PUMP_BYTES and not channel.unsent():
            message = outbox.next(now)
            if message is None:
                break
            frame = member.codec.frame(encode(message))
            written += len(frame)
            channel.write(frame)
            self._hub.stats.deliveries += 1
        self._fill_holes(outbox)
        member.relieve()
        if outbox.drained and not channel.unsent() and member.tier is Tier.FULL:
            self.promote(member)
        else:
            self._arm(member)

    def _fill_holes(self, outbox: Outbox) -> None:
        for hole in outbox.wanted():
            if self.fetch is not None and hole not in self._fetching:
                self._fetching.add(hole)
                self.fetch(hole)

    def refill(
        self,
        hole: due.Hole,
        events: Sequence[LoggedEvent] | None,
        complete_from: int = 0,
        complete_upto: int | None = None,
    ) -> None:
        """What the store's log had for the hole, for every member that wants it: all events with `complete_from` <=
        seq <= `complete_upto` (None: to the hole's end).

        None when it could not be read: it is asked for again.
        """
        self._fetching.discard(hole)
        for member in list(self.members):
            if member.outbox is not None and events is not None and hole in member.outbox.wanted():
                member.outbox.refill(hole, events, complete_from, complete_upto)
            self.pump(member)

    def _arm(self, member: Member) -> None:
        """Come back later when no drained channel will call: a tier's interval, or a full turn's worth was written."""
        if member.outbox is None or member.channel.unsent() or member.interval_timer is not None:
            return
        now = self._now()
        at = member.outbox.due_at(now)
        if at is not None:
            loop = asyncio.get_running_loop()
            member.interval_timer = loop.call_later(max(0.0, at - now), self._again, member)

    def _again(self, member: Member) -> None:
        if member.interval_timer is not None:
            member.interval_timer.cancel()
            member.interval_timer = None
        self._hub.flush()
        self.pump(member)


def encode(message: due.Due) -> Any:
    """What is due as the wire's message."""
    match message:
        case due.ReplyDue(message=reply):
            return reply
        case due.SnapshotDue(room=room, epoch=epoch, seq=seq, state=state, sum=checksum):
            return outgoing.snapshot(room, epoch, seq, state, checksum)
        case due.DeltaDue():
            return outgoing.delta(
                message.room,
                message.prev,
                message.seq,
                message.dels,
                message.sets,
                [event.wire() for event in message.events],  # type: ignore[misc]  # the same shape, built elsewhere
                message.partial,
                message.watermark,
            )
        case due.SignalDue(room=room, key=key, data=data, sender=sender):
            return outgoing.signal(room, key, data, sender)
        case due.LostDue(room=room, first=first, last=last, lane=lane):
            return outgoing.lost(room, first, last, lane)
        case due.LeftDue(room=room, reason=reason):
            return outgoing.left(room, reason)
        case due.VerifyDue(room=room, epoch=epoch, seq=seq, sum=checksum):
            return outgoing.verify(room, epoch, seq, checksum)
