"""How a connection becomes a welcomed session: presence committed, rooms loaded, what was missed gathered."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gameserver.protocol import outgoing
from gameserver.protocol.incoming import Hello, Seen
from gameserver.rooms.access import may_join
from gameserver.rooms.names import is_room
from gameserver.rooms.views import WHOLE, View
from gameserver.runtime.resumption import Resumption
from gameserver.sessions.quality import Tier

if TYPE_CHECKING:
    from gameserver.runtime.node import Node
    from gameserver.runtime.session import Session


TURN = 0.005
"""Seconds in which those who come together are received together."""


def secret_hash(secret: str) -> str:
    """What is kept of a resume token, or of a JWT's id."""
    return hashlib.blake2b(secret.encode(), digest_size=16).hexdigest()


class Reception:
    """Of one worker."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._opened = 0.0
        self._next: asyncio.Event | None = None

    async def _gather(self) -> None:
        """Who comes soon after another waits a moment and goes on with all who come meanwhile: their rooms are asked
        for at once and their arrivals are one commit."""
        loop = asyncio.get_running_loop()
        if self._next is None:
            if loop.time() - self._opened >= TURN:
                self._opened = loop.time()
                return
            self._next = asyncio.Event()
            loop.call_at(self._opened + TURN, self._open, self._next)
        await self._next.wait()

    def _open(self, waiting: asyncio.Event) -> None:
        self._opened = asyncio.get_running_loop().time()
        self._next = None
        waiting.set()

    async def receive(self, session: Session) -> None:
        """Make the player present, then welcome the connection and give it its rooms.

        Raises Unavailable when that cannot be committed or loaded now.
        """
        hello = await session.hello if session.hello is not None else None
        await self._gather()
        resume_token = self._node.new_id()
        await session.hold(session.private)
        resumed = await self._arrive(session, resume_token, hello) if session.plays else False
        rooms = self._rooms(session)
        for room in rooms:
            await session.hold(room)
        seen = hello.positions() if hello is not None else {}
        resumption = Resumption(self._node, session, seen, rooms, resumed=resumed)
        await resumption.gather()
        if session.closed:
            return
        recovered = None
        if session.resume_token is not None:
            recovered = {room: resumption.recovered(room) for room in {**rooms, **_known(seen)}}
        if session.signatures is not None:
            session.signatures.begin(resume_token)
        session.send(self._welcome(session, resume_token, recovered))
        for room, view in rooms.items():
            resumption.enter(room, view)
        for room in _known(seen):
            if room not in rooms:
                session.send(outgoing.left(room, "not yours any more"))
        if hello is not None and isinstance(hello.quality, str):
            session.wish(Tier.of(hello.quality))
        session.begin(retire_token=resumed)

    async def _arrive(self, session: Session, resume_token: str, hello: Hello | None) -> bool:
        """Commit the arrival; whether it took an earlier session over."""
        node = self._node
        await session.hold(node.room)
        resuming = secret_hash(session.resume_token) if session.resume_token and hello is not None else None
        attendee = node.attendee(session, secret_hash(resume_token))
        arrival = await node.attendance.arrive(attendee, resuming, lambda: session.closed)
        node.rename(session, arrival.session)
        session.link = arrival.link
        session.sector = arrival.sector
        session.recorded = True
        if arrival.views:
            session.views = {room: _view(described) for room, described in arrival.views.items()}
        return arrival.resumed

    def _rooms(self, session: Session) -> dict[str, View]:
        """Every room it is to be in, home rooms first, and how it sees them."""
        rooms = {room: session.views.get(room, WHOLE) for room in session.home()}
        if session.views:
            session.views = {
                room: view
                for room, view in session.views.items()
                if may_join(session.claims, room, session.sector_id, self._node.game.is_open)
            }
        for room, view in session.views.items():
            rooms.setdefault(room, view)
        return rooms

    def _welcome(self, session: Session, resume_token: str, recovered: Mapping[str, bool] | None) -> outgoing.Welcome:
        node, limits = self._node, self._node.limits
        return outgoing.welcome(
            session=session.id,
            resume_token=resume_token,
            player=session.player,
            worker=node.worker,
            now=node.clock.wall_ms(),
            heartbeat=limits.heartbeat,
            limits={
                "message": limits.max_message,
                "commands_per_second": limits.commands_per_second,
                "commands_burst": limits.commands_burst,
                "command_memory_s": limits.command_memory,
                "resume_s": limits.resume_grace,
            },
            commands=node.described_commands,
            schema=node.described_schema,
            recovered=recovered,
        )


def _known(seen: Mapping[str, Seen]) -> dict[str, Seen]:
    """Only what is a room's name is ever repeated to a client."""
    return {room: position for room, position in seen.items() if is_room(room)}


def _view(described: Any) -> View:
    entities, fields = described
    return View(*(None if part == "*" else frozenset(part) for part in (entities, fields)))
