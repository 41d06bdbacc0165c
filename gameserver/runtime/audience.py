"""A room's members on this worker, and what they are due: collected per flush, encoded once per view and encoding.

Members with the same view of a room form a *circle*. Healthy ones share every frame; slow ones have their own
outbox, marked as each commit is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gameserver.protocol import outgoing
from gameserver.protocol.codec import Codec
from gameserver.protocol.codes import Priority
from gameserver.protocol.handles import RoomHandle
from gameserver.rooms.views import View
from gameserver.runtime.member import Member
from gameserver.runtime.pending import Pending
from gameserver.state.backlog import Backlog
from gameserver.state.commit import Commit
from gameserver.state.events import EventLog
from gameserver.state.position import Position
from gameserver.state.replica import Replica

Awaited = dict[tuple[str, int], set[str]]
"""Commits, and the siblings of each that are not applied yet."""


class Circle:
    """Members with one view of one room. `last` is the seq up to which the shared path has sent.

    It is also the `RoomSource` from which outboxes of its slow members read. Most circles are of one member, a player
    in the room of their own: what only slow members or several need is made when it is needed.
    """

    __slots__ = ("_backlog", "_slow", "_snapshots", "_writes", "audience", "healthy", "last", "view")

    def __init__(self, audience: Audience, view: View) -> None:
        self.audience = audience
        self.view = view
        self.last = audience.replica.seq
        self.healthy: dict[Member, None] = {}
        self._writes: dict[Codec, list[Callable[[bytes], None]]] | None = None
        """Of the healthy members' channels; made anew after somebody left."""
        self._slow: dict[Member, int] | None = None
        """Slow members, and up to where of the backlog their outboxes know."""
        self._backlog: Backlog | None = None
        self._snapshots: dict[Codec, tuple[Position, bytes]] | None = None

    @property
    def backlog(self) -> Backlog:
        """What slow members have yet to take note of."""
        if self._backlog is None:
            self._backlog = Backlog()
        return self._backlog

    @property
    def slow(self) -> Collection[Member]:
        return self._slow or ()

    @property
    def alone(self) -> bool:
        """Whether there is one member."""
        return len(self.healthy) + len(self.slow) == 1

    @property
    def empty(self) -> bool:
        return not self.slow and not self.healthy

    def seat(self, member: Member) -> None:
        """Put the member where its health says."""
        if member.outbox is None:
            self._wake(member)
            if member not in self.healthy:
                self.healthy[member] = None
                if self._writes is not None:
                    # Where many come, to make the list anew for each would be quadratic.
                    self._writes.setdefault(member.codec, []).append(member.channel.write)
        else:
            self._unshare(member)
            self._slow = self._slow or {}
            self._slow[member] = self.backlog.cursor()

    def _wake(self, member: Member) -> None:
        if self._slow is not None:
            self._slow.pop(member, None)
            if not self._slow:
                self._slow = self._backlog = None

    def mark(self, member: Member, now: float) -> None:
        """Tell the slow member's outbox what changed since it was told last."""
        if member.outbox is None or self._slow is None:
            return
        for change in self.backlog.since(self._slow[member]):
            if change.too_large:
                member.outbox.reset(self.room, now)
            member.outbox.mark(self.room, change.delta.dels, change.delta.sets, change.created, now)
        self._slow[member] = self.backlog.cursor()

    def remove(self, member: Member) -> None:
        self._wake(member)
        self._unshare(member)

    def _unshare(self, member: Member) -> None:
        if member in self.healthy:
            del self.healthy[member]
            self._writes = None

    def share(self, messages: Sequence[Mapping[str, Any]]) -> int:
        """Write the messages to every healthy member, encoded once per encoding and joined; how many frames it were.

        A channel that does not take them says so by itself.
        """
        count = 0
        for codec, writes in self._channels().items():
            frames = b"".join(map(codec.frame, messages))
            for write in writes:
                write(frames)
            count += len(writes)
        return count * len(messages)

    def _channels(self) -> dict[Codec, list[Callable[[bytes], None]]]:
        writes = self._writes
        if writes is None:
            writes = {}
            for member in self.healthy:
                writes.setdefault(member.codec, []).append(member.channel.write)
            if len(self.healthy) > 1:
                self._writes = writes
        return writes

    def snapshot_frame(self, codec: Codec) -> bytes:
        """The room as it is now; encoded once however many join at the same position."""
        position = self.position
        known = self._snapshots.get(codec) if self._snapshots else None
        if known is not None and known[0] == position:
            return known[1]
        frame = codec.frame(outgoing.snapshot(self.room, position.epoch, position.seq, self.state(), self.sum()))
        self._snapshots = self._snapshots or {}
        self._snapshots[codec] = position, frame
        return frame

    def forget_snapshots(self) -> None:
        self._snapshots = None

    # -- RoomSource: where a slow member's outbox reads -----------------------------------------------

    @property
    def room(self) -> str:
        return self.audience.room

    @property
    def position(self) -> Position:
        return self.audience.replica.position

    @property
    def events(self) -> EventLog:
        return self.audience.events

    def entity(self, entity: str) -> Mapping[str, Any] | None:
        return self.view.of_entity(self.audience.replica.entities, entity)

    def state(self) -> Any:
        return self.view.of_state(self.audience.replica.entities)

    def sum(self) -> int:
        replica = self.audience.replica
        return replica.computed_sum() if self.view.whole else self.view.sum(replica.entities)

    def priority(self, entity: str) -> Priority:
        return self.audience.priority_of(entity)


class Entering(NamedTuple):
    """How somebody is to see the room, and up to where they had its events when they came back to it."""

    view: View
    seen: Position | None


class Audience:
    """All circles of one room, and the changes since the last flush."""

    __slots__ = (
        "_awaited",
        "_entering",
        "_handle",
        "_log",
        "_pending",
        "circles",
        "held_since",
        "priority_of",
        "replica",
        "room",
    )

    def __init__(self, replica: Replica, priority_of: Callable[[str], Priority]) -> None:
        self.room = replica.room
        self._handle: RoomHandle | None = None
        self.replica = replica
        self.priority_of = priority_of
        self.circles: dict[View, Circle] = {}
        self._log: EventLog | None = None
        self._awaited: Awaited | None = None
        self.held_since = 0.0
        self._entering: dict[Member, Entering] | None = None
        """Who came while the room was held."""
        self._pending: Pending | None = None

    def forget_pending(self) -> None:
        self._pending = None

    @property
    def pending(self) -> bool:
        return self._pending is not None and bool(self._pending.commits)

    @property
    def clean(self) -> bool:
        """Whether there is nothing at all to be flushed."""
        return self._pending is None

    def collected(self) -> Pending:
        """What is due to be shown."""
        if self._pending is None:
            self._pending = Pending()
        return self._pending

    @property
    def created(self) -> set[str]:
        return self.collected().created

    @property
    def signals(self) -> dict[str, outgoing.Signal]:
        return self.collected().signals

    @property
    def events(self) -> EventLog:
        """The recent events, for slow members; it begins with the first of them."""
        if self._log is None:
            self._log = EventLog(self.replica.seq, self.replica.epoch)
        return self._log

    def reset_log(self) -> None:
        """The replica jumped."""
        if self._log is not None:
            self._log.reset(self.replica.seq, self.replica.epoch)

    # -- while it is held for siblings ------------------------------------------------------------------

    @property
    def awaited(self) -> Awaited:
        """Commits whose siblings are not all applied yet: until then nothing of this room is shown."""
        return self._awaited or {}

    def hold(self, commit: tuple[str, int], missing: set[str]) -> None:
        self._awaited = self._awaited or {}
        self._awaited[commit] = missing

    def found(self, commit: tuple[str, int]) -> None:
        """All siblings of the commit are applied."""
        if self._awaited is not None:
            self._awaited.pop(commit, None)

    def release(self) -> None:
        self._awaited = None

    def keep_out(self, member: Member, view: View, seen: Position | None = None, again: bool = True) -> None:
        """The member waits to be let in; with another view than before only when it comes `again`. `seen` is as in
        `Hub.enter`."""
        self._entering = self._entering or {}
        before = self._entering.get(member)
        if before is not None:
            seen = seen or before.seen
            view = view if again else before.view
        self._entering[member] = Entering(view, seen)

    def send_away(self, member: Member) -> Entering | None:
        """It waits no more; None when it did not."""
        return None if self._entering is None else self._entering.pop(member, None)

    def let_in(self) -> dict[Member, Entering]:
        """Who waited; nobody does any more."""
        entering, self._entering = self._entering, None
        return entering or {}

    # -- its members and what they are due --------------------------------------------------------------

    def hold_handle(self, codec: Codec) -> None:
        """Before a member takes its seat: what it will be told the room is called stays so for as long as it sits here,
        or is owed something as one who did."""
        if self._handle is None and codec.handles is not None:
            self._handle = codec.handles.hold(self.room)

    def circle(self, view: View) -> Circle:
        circle = self.circles.get(view)
        if circle is None:
            circle = self.circles[view] = Circle(self, view)
        return circle

    def slow_members(self) -> Iterator[Member]:
        for circle in self.circles.values():
            yield from circle.slow

    def take(self, commit: Commit) -> None:
        """A commit was applied to the replica: collect it for the next flush, mark it for slow members."""
        self.collected().add(commit, self.replica)
        created = self.replica.created
        slow = [circle for circle in self.circles.values() if circle.slow]
        if slow:
            self._note(commit)
        for circle in slow:
            for part in commit.parts:
                circle.backlog.add(*circle.view.of_change(part.dels, part.sets, created), created)

    def _note(self, commit: Commit) -> None:
        if commit.header.seq > self.events.newest_seq:
            self.events.append(commit.header.seq, commit.header.at, commit.events)

    def open_log(self, position: int) -> None:
        """Before the first slow member joins: the log begins where the shared path ended."""
        if not any(circle.slow for circle in self.circles.values()):
            self.events.reset(position, self.replica.epoch)
            for commit in self.collected().commits:
                if commit.header.seq > position:
                    self._note(commit)

    def mark_pending(self, circle: Circle, member: Member, now: float) -> None:
        """What is collected but not flushed is the new outbox's to send."""
        dels, sets = circle.view.of_change(*self.collected().change(), self.created)
        if member.outbox is not None and (dels or sets):
            member.outbox.mark(self.room, dels, sets, self.created, now)
