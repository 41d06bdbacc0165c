"""What a client asks for: commands become works, subscriptions become seats, the rest is answered at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gameserver.errors import Forbidden, GameserverError, NotFound, RateLimited, Unavailable
from gameserver.protocol import incoming, outgoing
from gameserver.rooms.access import may_join, may_publish
from gameserver.rooms.views import View
from gameserver.runtime.commands import CommandWork
from gameserver.sessions.quality import Tier
from gameserver.sessions.ratelimit import Rate, TokenBucket
from gameserver.state.signal import encode_signal

if TYPE_CHECKING:
    from gameserver.runtime.session import Session

MAX_OPEN_COMMANDS = 256
"""Commands of one connection that may await their commit; beyond it they are refused."""
MAX_ROOMS = 64
SNAPSHOTS = Rate(10.0, 128.0)
"""How often a connection may ask for a room's snapshot, by a subscription or a resync: each is read from the whole
room, and may be much larger than the question."""

_NOT_YOURS = "that room is not yours to join"


class Requests:
    """Of one session. Everything here is synchronous; what takes time is started and answers later."""

    __slots__ = ("_joining", "_node", "_open_commands", "_refreshing", "_session", "_snapshots")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._node = session.node
        self._open_commands = 0
        self._refreshing: asyncio.Lock | None = None
        """One token after the other: the last one sent is the one that stands."""
        self._joining = 0
        self._snapshots: TokenBucket | None = None

    def handle(self, message: incoming.Incoming) -> None:
        """Raises GameserverError for what is refused at once."""
        match message:
            case incoming.CommandMessage():
                self._command(message)
            case incoming.Ping(at=at):
                self._session.send(outgoing.pong(at, self._node.clock.wall_ms()))
            case incoming.Resync(room=room):
                self._resync(room)
            case incoming.Subscribe():
                self._subscribe(message)
            case incoming.Unsubscribe(room=room):
                self._unsubscribe(room)
            case incoming.Quality(tier=tier):
                self._session.wish(Tier.of(tier))
            case incoming.Publish():
                self._publish(message)
            case incoming.Refresh(token=token):
                self._later(self._refresh(token), "refresh")
            case incoming.Logout():
                self._later(self._node.log_out(self._session), "logout")
            case incoming.Hello():
                raise Forbidden("hello is only for a handshake that offered resume.<token>")

    def _later(self, work: object, name: str) -> None:
        self._node.supervisor.start(work, f"{name} of {self._session.id}")  # type: ignore[arg-type]  # a coroutine

    # -- commands ----------------------------------------------------------------------------------------

    def _command(self, message: incoming.CommandMessage) -> None:
        node, session = self._node, self._session
        command = node.game.commands[message.name]
        if session.claims.role not in command.roles:
            session.send(outgoing.refusal(Forbidden(f"{message.name} is not for a {session.claims.role}"), message.id))
            return
        wait = node.command_wait(session.player, command)
        if wait > 0 or self._open_commands >= MAX_OPEN_COMMANDS:
            refusal = RateLimited(f"{message.name}: slower, please", retry_after=round(max(wait, 0.05), 3))
            session.send(outgoing.refusal(refusal, message.id))
            return
        self._open_commands += 1
        clock = node.clock
        node.committer.submit(CommandWork(session, self, command, message, clock.wall(), clock.seed()))

    def closed_command(self) -> None:
        """One of them has been answered."""
        self._open_commands -= 1

    # -- rooms -------------------------------------------------------------------------------------------

    def _charge_snapshot(self) -> None:
        self._snapshots = self._snapshots or TokenBucket(*SNAPSHOTS)
        wait = self._snapshots.take(self._node.clock.monotonic())
        if wait > 0:
            raise RateLimited("too many snapshots: slower, please", retry_after=round(max(wait, 0.05), 3))

    def _resync(self, room: str) -> None:
        self._charge_snapshot()
        if not self._node.hub.snapshot(self._session.member, room):
            raise NotFound("you are not in that room")
        self._node.resyncs += 1

    def _subscribe(self, message: incoming.Subscribe) -> None:
        session, room = self._session, message.room
        self._charge_snapshot()
        if not self._may_join(room):
            raise Forbidden(_NOT_YOURS)
        if room not in session.member.circles and len(session.member.circles) + self._joining >= MAX_ROOMS:
            raise RateLimited("too many rooms at once", retry_after=1.0)
        entities = frozenset(message.entities) if isinstance(message.entities, list) else None
        fields = frozenset(message.fields) if isinstance(message.fields, list) else None
        self._joining += 1
        self._later(self._join(room, View(entities, fields)), f"subscription to {room}")

    def _may_join(self, room: str) -> bool:
        return may_join(self._session.claims, room, self._session.sector_id, self._node.game.is_open)

    async def _join(self, room: str, view: View) -> None:
        session = self._session
        try:
            await session.hold(room)
        except Unavailable as error:
            session.send(outgoing.refusal(error))
            return
        finally:
            self._joining -= 1
        if not self._may_join(room):
            # It was, when it was asked for: the player has moved on, or changed teams.
            session.leave(room, "not yours any more")
            session.send(outgoing.refusal(Forbidden(_NOT_YOURS)))
            return
        session.enter(room, view)
        session.note_view(room, view)

    def _unsubscribe(self, room: str) -> None:
        session = self._session
        if room in session.home():
            raise Forbidden("home rooms can be narrowed, not left")
        if room not in session.member.circles:
            raise NotFound("you are not in that room")
        session.leave(room, "unsubscribed")
        session.note_view(room, None)

    # -- the rest ----------------------------------------------------------------------------------------

    def _publish(self, message: incoming.Publish) -> None:
        if not may_publish(self._session.claims, message.room):
            raise Forbidden("you may not publish to that room")
        self._node.bus.publish(message.room, encode_signal(message.key, message.data, self._session.player))

    async def _refresh(self, token: str) -> None:
        session = self._session
        self._refreshing = self._refreshing or asyncio.Lock()
        async with self._refreshing:
            try:
                claims = await self._node.verify(token)
                if claims.player != session.player or claims.role != session.claims.role:
                    raise Forbidden("the token is not for this connection")
                await self._node.change_claims(session, claims)
            except GameserverError as error:
                session.send(outgoing.error(error.code, error.message, retry_after=error.retry_after))
                return
            session.send(outgoing.refreshed(int(claims.expires)))
