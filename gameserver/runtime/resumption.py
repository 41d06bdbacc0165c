"""What a client that comes back has missed: read from the rooms' logs, and sent as one exact delta per room.

A room whose missed commits are all to be had is *recovered*. Otherwise its snapshot is sent, and events that
cannot be had any more are declared lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gameserver.errors import GameserverError
from gameserver.protocol import outgoing
from gameserver.protocol.handles import RoomHandle
from gameserver.protocol.incoming import Seen
from gameserver.rooms.views import View
from gameserver.state.commit import Commit, PoisonCommit, decode_commit
from gameserver.state.delta import Delta
from gameserver.state.position import Position
from gameserver.state.replica import Replica

if TYPE_CHECKING:
    from gameserver.runtime.node import Node
    from gameserver.runtime.session import Session

MOST_COMMITS = 5000
"""A client that missed more of a room is better served by a snapshot."""
ROUNDS = 20
"""How often rooms that moved on while others were read are read again."""


@dataclass(slots=True)
class _Missed:
    """What one room's log has for the client. `fits` while its commits follow on what the client has; `handle` is what
    the welcome says the room is called for short, held until the session sits in it."""

    seen: Seen
    replica: Replica
    view: View
    handle: RoomHandle | None
    fits: bool
    commits: list[Commit] = field(default_factory=list)

    @property
    def upto(self) -> int:
        return self.commits[-1].header.seq if self.commits else self.start

    @property
    def start(self) -> int:
        """Where reading begins: a client may have a room's state without all events up to it."""
        return min(self.seen.seq, self.seen.events)

    @property
    def complete(self) -> bool:
        return not self.fits or self.upto >= self.replica.seq


class Resumption:
    """Of one session. `views` says how the client sees each room; unless the session was `resumed`, nothing is
    recovered, and what the client said it has seen only tells which events it will never get."""

    def __init__(
        self, node: Node, session: Session, seen: Mapping[str, Seen], views: Mapping[str, View], *, resumed: bool
    ) -> None:
        self._node = node
        self._session = session
        self._resumed = resumed
        self._missed: dict[str, _Missed] = {}
        handles = session.member.codec.handles
        for room, view in views.items():
            replica = node.replication.replica(room)
            position = seen.get(room)
            if replica is not None and position is not None:
                self._missed[room] = _Missed(
                    position, replica, view, handles.hold(room) if handles else None, fits=resumed
                )

    async def gather(self) -> None:
        """Read what is missing, until nothing has moved on while reading. What cannot be read is not recovered."""
        if not self._resumed:
            return
        try:
            if any(missed.seen.seq > missed.replica.seq for missed in self._missed.values()):
                # The client knows more than this worker: catch up first.
                await self._node.replication.check()
                for room in self._missed:
                    await self._node.replication.want(room)
            for missed in self._missed.values():
                missed.fits = (
                    missed.seen.epoch == missed.replica.epoch
                    and missed.start >= 0
                    and missed.seen.seq <= missed.replica.seq
                )
            for _ in range(ROUNDS):
                behind = [(room, missed) for room, missed in self._missed.items() if not missed.complete]
                if not behind:
                    return
                for room, missed in behind:
                    await self._read(room, missed)
        except GameserverError:
            pass
        for missed in self._missed.values():
            missed.fits = missed.fits and missed.complete

    async def _read(self, room: str, missed: _Missed) -> None:
        for payload in await self._node.bus.read_log(room, missed.upto):
            try:
                commit = decode_commit(payload)
            except PoisonCommit:
                missed.fits = False
                return
            if commit.header.seq != missed.upto + 1 or len(missed.commits) >= MOST_COMMITS:
                missed.fits = False
                return
            missed.commits.append(commit)
        if missed.upto < missed.replica.seq and not missed.commits:
            missed.fits = False

    def recovered(self, room: str) -> bool:
        missed = self._missed.get(room)
        return missed is not None and missed.fits and missed.complete

    def enter(self, room: str, view: View) -> None:
        """Seat the session in the room and send what it is owed of it."""
        if not self.recovered(room):
            missed = self._missed.get(room)
            self._session.enter(room, view, Position(missed.seen.epoch, missed.seen.events) if missed else None)
            return
        missed = self._missed[room]
        self._node.hub.enter_at(self._session.member, missed.replica, view)
        message = self._delta(missed)
        if message is not None:
            self._session.send(message)

    def _delta(self, missed: _Missed) -> outgoing.Delta | None:
        delta, events, seq = Delta(), [], missed.replica.seq
        for commit in missed.commits:
            if commit.header.seq > seq:
                break
            if commit.header.seq > missed.seen.seq:
                for part in commit.parts:
                    delta.extend(part.dels, part.sets)
            if commit.header.seq > missed.seen.events:
                events += outgoing.events_of(commit)
        # The client may have seen half of what happened: every entity set may be new to it.
        dels, sets = missed.view.of_change(delta.dels, delta.sets, delta.sets.keys())
        if seq == missed.seen.seq and not events:
            return None
        return outgoing.delta(missed.replica.room, missed.seen.seq, seq, dels, sets, events)
