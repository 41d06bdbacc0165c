"""One connection's life: it is welcomed, its messages become commands and subscriptions, and it ends for one reason.

What arrives is handled synchronously, in order; what takes time (rooms to load, commits) answers later.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from gameserver.context import Context
from gameserver.errors import BadMessage, Forbidden, GameserverError, NotFound, RateLimited, Unavailable
from gameserver.protocol import incoming, outgoing
from gameserver.protocol.codes import Close
from gameserver.rooms.access import home_rooms, may_join
from gameserver.rooms.names import private_room
from gameserver.rooms.presence import KICKED, LOGGED_OUT
from gameserver.rooms.views import WHOLE, View
from gameserver.runtime.member import Member
from gameserver.runtime.work import Settled, Work
from gameserver.sessions.claims import Claims
from gameserver.sessions.quality import Quality, Tier
from gameserver.sessions.unreadable import UnreadableCount
from gameserver.state.draft import Draft
from gameserver.state.signal import encode_signal

if TYPE_CHECKING:
    from gameserver.runtime.node import Node

MAX_OPEN_COMMANDS = 256
"""Commands of one connection that may await their commit; beyond it they are refused."""
MAX_ROOMS = 64


class Session:
    """`id` is unique; `address` is the peer's, for logs alone."""

    def __init__(self, node: Node, claims: Claims, member: Member, session_id: str, address: str) -> None:
        self.node = node
        self.claims = claims
        self.member = member
        self.id = session_id
        self.address = address
        self.sector: str | None = None
        self.closed = False
        self.recorded = False
        """Whether its arrival is committed: from then on the store says what becomes of it."""
        self.ending = False
        self.held: set[str] = set()
        self.quality = Quality(node.clock.monotonic())
        self._open_commands = 0
        self._unreadable = UnreadableCount()
        self._moving = False

    @property
    def player(self) -> str:
        return self.claims.player

    @property
    def plays(self) -> bool:
        """Whether this connection stands for a player in the world; admins and services only look and publish."""
        return self.claims.role == "player"

    # -- rooms -------------------------------------------------------------------------------------------

    def home(self) -> list[str]:
        """The rooms this connection is always in."""
        return home_rooms(self.claims, self._sector_id)

    @property
    def _sector_id(self) -> str | None:
        return self.sector.partition(":")[2] if self.sector else None

    async def hold(self, room: str) -> None:
        """Have the room followed while this connection lives. Raises Unavailable."""
        if room not in self.held:
            self.held.add(room)
            try:
                await self.node.replication.hold(room)
            except BaseException:
                self.held.discard(room)
                raise

    def drop(self, room: str) -> None:
        if room in self.held:
            self.held.discard(room)
            self.node.replication.release(room)

    def enter(self, room: str, view: View = WHOLE) -> None:
        """Seat the connection in a held room; it gets the snapshot."""
        replica = self.node.replication.replica(room)
        if replica is not None and not self.closed:
            self.node.hub.enter(self.member, replica, view)

    def leave(self, room: str, reason: str) -> None:
        self.node.hub.leave(self.member, room, reason)
        self.drop(room)

    def placed(self) -> None:
        """The private room was changed: perhaps the player moved, or this session was ended elsewhere."""
        if not self.recorded or self.closed:
            return
        record = self.node.record_of(self)
        if record is None:
            self.end(Close.RESTART, "the session was taken over while this worker was silent", retry_after=0.5)
        elif record.get("ended") == LOGGED_OUT:
            self.end(Close.LOGGED_OUT, "logged out")
        elif record.get("ended") == KICKED:
            self.end(Close.KICKED, "kicked by an admin")
        elif not self._moving and self.node.sector_of(self.player) != self.sector:
            self._moving = True
            self.node.hub.after_flush(self._start_moving)

    def _start_moving(self) -> None:
        self.node.supervisor.start(self._relocate(), f"moving {self.player}")

    async def _relocate(self) -> None:
        """Leave the old sector, enter the new; the player may move on meanwhile."""
        try:
            while not self.closed:
                target = self.node.sector_of(self.player)
                if target is None or target == self.sector:
                    return
                old, self.sector = self.sector, target
                if old is not None:
                    self.leave(old, "moved")
                await self.hold(target)
                if self.sector == target:
                    self.enter(target)
        except Unavailable:
            self.end(Close.TRY_LATER, "the new sector could not be loaded", retry_after=1.0)
        finally:
            self._moving = False

    # -- what the client says ----------------------------------------------------------------------------

    def send(self, message: outgoing.ServerMessage) -> None:
        self.member.send(message)

    def receive(self, payload: bytes, text: bool) -> None:
        """One message of the client."""
        now = self.node.clock.monotonic()
        self.member.channel.heard()
        wait = self.node.message_rates.take(self.id, now)
        if wait > 0:
            self.end(Close.RATE_LIMITED, "too many messages", retry_after=max(1.0, wait))
            return
        try:
            if text is not self.member.codec.text:
                raise BadMessage("this connection speaks the other encoding")
            self._handle(self.node.decoder.decode(payload, text))
        except BadMessage as unreadable:
            self.send(outgoing.refusal(unreadable, unreadable.message_id))
            if self._unreadable.add(now):
                self.end(Close.POLICY, "repeated unreadable messages")
        except GameserverError as refusal:
            self.send(outgoing.refusal(refusal, refusal.message_id))

    def _handle(self, message: incoming.Incoming) -> None:
        match message:
            case incoming.CommandMessage():
                self._command(message)
            case incoming.Ping(at=at):
                self.send(outgoing.pong(at, self.node.clock.wall_ms()))
            case incoming.Resync(room=room):
                self._resync(room)
            case incoming.Subscribe():
                self._subscribe(message)
            case incoming.Unsubscribe(room=room):
                self._unsubscribe(room)
            case incoming.Quality(tier=tier):
                self._wish(Tier.of(tier))
            case incoming.Publish():
                self._publish(message)
            case incoming.Refresh(token=token):
                self.node.supervisor.start(self._refresh(token), f"refresh of {self.id}")
            case incoming.Logout():
                self.node.supervisor.start(self.node.log_out(self), f"logout of {self.id}")
            case incoming.Hello():
                raise Forbidden("hello is only for a handshake that offered resume.<token>")

    def _command(self, message: incoming.CommandMessage) -> None:
        node, claims = self.node, self.claims
        command = node.game.commands[message.name]
        message_id = message.id
        if claims.role not in command.roles:
            self.send(outgoing.refusal(Forbidden(f"{message.name} is not for a {claims.role}"), message_id))
            return
        wait = node.command_wait(self.player, command)
        if wait > 0 or self._open_commands >= MAX_OPEN_COMMANDS:
            refusal = RateLimited(f"{message.name}: slower, please", retry_after=round(max(wait, 0.05), 3))
            self.send(outgoing.refusal(refusal, message_id))
            return
        now, seed, values = node.clock.wall(), node.clock.seed(), message.values
        composite = bool(message.variable)

        def run(draft: Draft) -> None:
            # A handler may change what it is given, and it may run again.
            arguments = deepcopy(values) if composite else values
            context = Context(
                draft,
                now=now,
                seed=seed,
                player=claims.player,
                name=claims.name,
                team=claims.team,
                role=claims.role,
            )
            command.handler(context, *arguments)

        def settle(settled: Settled) -> None:
            self._open_commands -= 1
            if isinstance(settled, dict):
                if message_id is not None:
                    self.send(outgoing.command_ack(message_id, settled))
            else:
                self.send(outgoing.refusal(settled, message_id))

        self._open_commands += 1
        node.committer.submit(
            Work(
                run,
                settle,
                player=claims.player,
                id=incoming.id_key(message_id) if message_id is not None else "",
                body=message.body_hash() if message_id is not None else b"",
                sender=claims.player,
                lane=int(command.priority),
            )
        )

    def _resync(self, room: str) -> None:
        if not self.node.hub.snapshot(self.member, room):
            raise NotFound("you are not in that room")
        self.node.resyncs += 1

    def _subscribe(self, message: incoming.Subscribe) -> None:
        room = message.room
        if not may_join(self.claims, room, self._sector_id, self.node.game.is_open):
            raise Forbidden("that room is not yours to join")
        if room not in self.member.circles and len(self.member.circles) >= MAX_ROOMS:
            raise RateLimited("too many rooms at once")
        entities = frozenset(message.entities) if isinstance(message.entities, list) else None
        fields = frozenset(message.fields) if isinstance(message.fields, list) else None
        self.node.supervisor.start(self._join(room, View(entities, fields)), f"{self.id} subscribes to {room}")

    async def _join(self, room: str, view: View) -> None:
        try:
            await self.hold(room)
        except Unavailable as error:
            self.send(outgoing.refusal(error))
            return
        self.enter(room, view)

    def _unsubscribe(self, room: str) -> None:
        if room in self.home():
            raise Forbidden("home rooms can be narrowed, not left")
        if room not in self.member.circles:
            raise NotFound("you are not in that room")
        self.leave(room, "unsubscribed")

    def _wish(self, tier: Tier) -> None:
        self.quality.wish(tier)
        self.set_tier(self.quality.tier)

    def set_tier(self, tier: Tier) -> None:
        if tier is not self.member.tier:
            self.node.hub.slow.set_tier(self.member, tier)

    def _publish(self, message: incoming.Publish) -> None:
        if not self.node.may_publish(self.claims, message.room):
            raise Forbidden("you may not publish to that room")
        self.node.bus.publish(message.room, encode_signal(message.key, message.data, self.player))

    async def _refresh(self, token: str) -> None:
        try:
            claims = await self.node.verify(token)
        except GameserverError:
            self.send(outgoing.error("forbidden", "the token is not accepted"))
            return
        if claims.player != self.player:
            self.send(outgoing.error("forbidden", "the token is another player's"))
            return
        await self.node.change_claims(self, claims)
        self.send(outgoing.refreshed(int(claims.expires)))

    # -- its end -----------------------------------------------------------------------------------------

    def end(self, code: Close, reason: str, retry_after: float = 0.0) -> None:
        """Say goodbye and close; what comes after is ignored."""
        if not self.closed and not self.ending:
            self.ending = True
            self.send(outgoing.goodbye(code, reason, retry_after))
            self.member.channel.close(int(code), reason)

    def tell(self, message: Any) -> None:
        """A message not asked for, unless the connection is closing."""
        if not self.closed:
            self.send(message)

    @property
    def private(self) -> str:
        return private_room(self.player)
