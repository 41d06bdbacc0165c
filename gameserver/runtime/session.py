"""One connection's life: admitted, welcomed, heard, and ended for one reason.

What may happen when is `gameserver.sessions.transitions`; here is what follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gameserver.errors import BadMessage, GameserverError, Unavailable
from gameserver.protocol import incoming, outgoing
from gameserver.protocol.codes import Close
from gameserver.protocol.signing import SignatureCheck
from gameserver.rooms.access import home_rooms
from gameserver.rooms.names import private_room
from gameserver.rooms.presence import KICKED, LOGGED_OUT, presence_id
from gameserver.rooms.views import WHOLE, View
from gameserver.runtime.member import Member
from gameserver.runtime.requests import Requests
from gameserver.sessions.claims import Claims
from gameserver.sessions.quality import SLOW_RTT, Quality, Tier
from gameserver.sessions.ratelimit import TokenBucket
from gameserver.sessions.transitions import Action, Input, State, step
from gameserver.sessions.unreadable import UnreadableCount
from gameserver.state.position import Position

if TYPE_CHECKING:
    from gameserver.runtime.node import Node

HELLO_DEADLINE = 5.0
MAX_EARLY = 64
"""Messages kept that came before the welcome."""
MAX_VIEWS = 4096
"""Characters of subscriptions remembered for a resume; a session with more comes back without them."""
NO_VIEWS: Mapping[str, View] = {}
FOR_GOOD = (Input.LOGGED_OUT, Input.KICKED, Input.BANNED)
"""After these the presence goes at once, and the session cannot be resumed."""
CATCH_UP_AGAIN = 0.2
"""Seconds until the store is asked again for what a room lacks."""


class Session:
    """`address` is the peer's, for logs alone; `resume_token` is what the handshake offered."""

    __slots__ = (
        "_early",
        "_held",
        "_hello_timer",
        "_messages",
        "_moving",
        "_requests",
        "_retire_token",
        "_unreadable",
        "address",
        "claims",
        "closed",
        "for_good",
        "hello",
        "id",
        "link",
        "member",
        "node",
        "private",
        "quality",
        "receiving",
        "recorded",
        "resume_token",
        "sector",
        "signatures",
        "state",
        "views",
        "welcomed",
    )

    def __init__(
        self, node: Node, claims: Claims, member: Member, session_id: str, address: str, resume_token: str | None
    ) -> None:
        self.node = node
        self.claims = claims
        self.member = member
        self.id = session_id
        self.address = address
        self.resume_token = resume_token
        self.state = State.CONNECTING
        self.link = 1
        self.sector: str | None = None
        self.signatures: SignatureCheck | None = None
        """Of a client that signs what it says."""
        self.private = private_room(claims.player)
        self.views = NO_VIEWS
        """Subscriptions beside, or narrower than, the home rooms."""
        self.closed = False
        self.for_good = False
        self.recorded = False
        """Whether its arrival is committed: from then on the store says what becomes of it."""
        self.receiving = False
        """Whether its welcome is being prepared: until that is over nothing of it may be let go."""
        self.welcomed = False
        self.quality: Quality | None = None
        """Kept from the first wish, or the first sign of a line that cannot keep up."""
        self.hello: asyncio.Future[incoming.Hello | None] | None = None
        """What a client that wants to resume says first; None when it does not come in time."""
        self._held: tuple[str, ...] = ()
        self._requests: Requests | None = Requests(self)
        self._early: tuple[incoming.Incoming, ...] = ()
        self._unreadable: UnreadableCount | None = None
        self._messages: TokenBucket | None = None
        """Made for those who say anything."""
        self._moving = False
        self._retire_token = False
        self._hello_timer: asyncio.TimerHandle | None = None
        self._advance(Input.ACCEPTED if resume_token is None else Input.ACCEPTED_RESUMING)

    @property
    def player(self) -> str:
        return self.claims.player

    @property
    def plays(self) -> bool:
        """Whether this connection stands for a player in the world; admins and services only look and publish."""
        return self.claims.role == "player"

    # -- what happens to it ------------------------------------------------------------------------------

    def _advance(self, happened: Input) -> Action:
        """Raises RemoteProtocolError for what the peer may not do now."""
        following = step(self.state, happened)
        self.state = following.state
        if following.action is Action.AWAIT_HELLO:
            loop = asyncio.get_running_loop()
            self.hello = loop.create_future()
            self._hello_timer = loop.call_later(HELLO_DEADLINE, self._hello_overdue)
        return following.action

    def _hello_overdue(self) -> None:
        if self.state is State.AWAITING_HELLO:
            self._advance(Input.HELLO_TIMEOUT)
            self._heard_hello(None)

    def _heard_hello(self, hello: incoming.Hello | None) -> None:
        if self.hello is not None and not self.hello.done():
            self.hello.set_result(hello)

    def end(self, why: Input, reason: str, retry_after: float = 0.0) -> None:
        """Say goodbye and close with the code the table has for it; what comes after is ignored."""
        if self.closed or self.state in (State.CLOSED, State.DRAINING):
            return
        code = step(self.state, why).close or Close.RESTART
        self._advance(why)
        self.for_good = why in FOR_GOOD
        self.send(outgoing.goodbye(code, reason, retry_after))
        self.member.close(int(code), reason)

    def forget(self) -> None:
        """The connection is gone."""
        self.closed = True
        if self.state is not State.CLOSED:
            self._advance(Input.LOST)
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        self._heard_hello(None)
        # The two know each other: left to the garbage collector, they would stay for as long as they lived.
        self._requests = None

    def placed(self) -> None:
        """The private room was changed: perhaps the player moved, or the session was ended elsewhere."""
        if not self.recorded or self.closed:
            return
        record = self.node.record_of(self)
        if record is None or (record.get("left") and record.get("link") == self.link):
            self.end(Input.TAKEN_OVER, "the session was ended while this worker was silent", retry_after=0.5)
        elif record.get("link") != self.link:
            self.end(Input.REPLACED, "the session was resumed elsewhere")
        elif record.get("ended") == LOGGED_OUT:
            self.end(Input.LOGGED_OUT, "logged out")
        elif record.get("ended") == KICKED:
            self.end(Input.KICKED, "kicked by an admin")
        elif self.welcomed and not self._moving and self.node.sector_of(self.player) != self.sector:
            self._moving = True
            self.node.hub.after_flush(self._start_moving)

    # -- rooms -------------------------------------------------------------------------------------------

    def home(self) -> list[str]:
        """The rooms this connection is always in."""
        return home_rooms(self.claims, self.sector_id)

    @property
    def sector_id(self) -> str | None:
        return self.sector.partition(":")[2] if self.sector else None

    @property
    def held(self) -> set[str]:
        return set(self._held)

    async def hold(self, room: str) -> None:
        """Have the room followed while this connection lives, and wait until it is loaded. Raises Unavailable."""
        # Each caller waits with a hold of its own: one that gives up lets go of nobody else's.
        await self.node.replication.hold(room)
        if room in self._held or (self.closed and not self.receiving):
            self.node.replication.release(room)
        else:
            self._held = (*self._held, room)

    def drop(self, room: str) -> None:
        if room in self._held:
            self._held = tuple(held for held in self._held if held != room)
            self.node.replication.release(room)

    def enter(self, room: str, view: View = WHOLE, seen: Position | None = None) -> None:
        """Seat the connection in a held room; it gets the snapshot. `seen` is as in `Hub.enter`."""
        replica = self.node.replication.replica(room)
        if replica is not None and not self.closed:
            self.node.hub.enter(self.member, replica, view, seen)

    def leave(self, room: str, reason: str) -> None:
        self.node.hub.leave(self.member, room, reason)
        self.drop(room)

    def note_view(self, room: str, view: View | None) -> None:
        """Remember a subscription (None: it was given up), here and for a resume."""
        before = self.views
        self._forget_view(room)
        if view is not None and not (view.whole and room in self.home()):
            self.views = {**self.views, room: view}
        if self.plays and self.views != before:
            self.node.remember_views(self)

    def _forget_view(self, room: str) -> None:
        if room in self.views:
            self.views = {other: view for other, view in self.views.items() if other != room}

    def described_views(self) -> dict[str, Any]:
        """The subscriptions as they are kept in the store; none when they are too many."""
        described = {
            room: [
                sorted(view.entities) if view.entities is not None else "*",
                sorted(view.fields) if view.fields is not None else "*",
            ]
            for room, view in self.views.items()
        }
        return described if len(repr(described)) <= MAX_VIEWS else {}

    def _start_moving(self) -> None:
        self.node.supervisor.start(self._relocate(), f"moving {self.player}")

    async def _relocate(self) -> None:
        """Leave the old sector, enter the new; the player may move on meanwhile."""
        try:
            while not self.closed:
                target = self.node.sector_of(self.player)
                if target is None or target == self.sector:
                    return
                old = self.sector
                if old is not None and self._is_seen_in(old):
                    await self._catch_up(old)
                    continue
                self.sector = target
                if old is not None:
                    self.leave(old, "moved")
                    self._forget_view(old)
                await self.hold(target)
                if self.sector == target:
                    self.enter(target)
        except Unavailable:
            self.end(Input.UNAVAILABLE, "the new sector could not be loaded", retry_after=1.0)
        finally:
            self._moving = False

    def _is_seen_in(self, room: str) -> bool:
        replica = self.node.replication.replica(room)
        return replica is not None and presence_id(self.player) in replica.entities

    async def _catch_up(self, room: str) -> None:
        """The commit that moved the player is known of other rooms alone: have it repaired, so that the room is left
        with all its events ([ROOM5])."""
        try:
            await self.node.replication.check()
            await self.node.replication.want(room)
            if not self._is_seen_in(room):
                return
        except Unavailable:
            # Nothing is lost by staying until the store is back.
            pass
        await asyncio.sleep(CATCH_UP_AGAIN)

    # -- what the client says ----------------------------------------------------------------------------

    def send(self, message: outgoing.ServerMessage) -> None:
        self.member.send(message)

    def receive(self, payload: bytes, text: bool) -> None:
        """One message of the client."""
        self._hear(payload, text)
        self.member.listen()

    def receive_signed(self, payload: bytes, text: bool) -> None:
        """One message of a client that signs; only its `hello` is not, for there is no key before the welcome."""
        if self.signatures is not None and self.state is not State.AWAITING_HELLO:
            try:
                payload = self.signatures.open(payload, text)
            except BadMessage as forged:
                self.end(Input.FORGED, forged.message)
                return
        self.receive(payload, text)

    def lost(self, code: int, reason: str) -> None:
        """The connection has ended, whoever ended it."""
        self.node.lose(self)

    def _hear(self, payload: bytes, text: bool) -> None:
        if self.closed:
            return
        now = self.node.clock.monotonic()
        if self._messages is None:
            rate = self.node.limits.messages_per_second
            self._messages = TokenBucket(rate, 2 * rate)
        wait = self._messages.take(now)
        if wait > 0:
            self.end(Input.FLOODED, "too many messages", retry_after=max(1.0, wait))
            return
        try:
            if text is not self.member.codec.text:
                raise BadMessage("this connection speaks the other encoding")
            self._take(self.node.decoder.decode(payload, text))
        except BadMessage as unreadable:
            if self._advance(Input.UNREADABLE) is Action.COMPLAIN:
                self.send(outgoing.refusal(unreadable, unreadable.message_id))
                self._unreadable = self._unreadable or UnreadableCount()
                if self._unreadable.add(now):
                    self.end(Input.UNREADABLE_TOO_OFTEN, "repeated unreadable messages")
        except GameserverError as refusal:
            self.send(outgoing.refusal(refusal, refusal.message_id))

    def _take(self, message: incoming.Incoming) -> None:
        if self.welcomed and self.state is State.LIVE and self._requests is not None:
            # What the table answers to every message then: nearly all messages come this way.
            if self._retire_token:
                self._spoke()
            self._requests.handle(message)
        elif isinstance(message, incoming.Hello) and self.state is State.AWAITING_HELLO:
            self._advance(Input.HELLO)
            self._heard_hello(message)
        elif self._advance(Input.MESSAGE) is Action.HANDLE:
            if len(self._early) < MAX_EARLY:
                self._early = (*self._early, message)
            else:
                self.end(Input.FLOODED, "too many messages before the welcome", retry_after=1.0)

    def begin(self, retire_token: bool) -> None:
        """It has been welcomed: hear what it said meanwhile.

        With `retire_token` its first word from now on ends the token it came with.
        """
        self.welcomed = True
        self._retire_token = retire_token
        early, self._early = self._early, ()
        for message in early:
            if self._requests is None:
                return
            try:
                self._requests.handle(message)
            except GameserverError as refusal:
                self.send(outgoing.refusal(refusal, refusal.message_id))
        # It may have been moved by another device while its rooms were loading.
        self.placed()

    def _spoke(self) -> None:
        self._retire_token = False
        self.node.retire_token(self)

    # -- quality -----------------------------------------------------------------------------------------

    def wish(self, tier: Tier) -> None:
        self.quality = self.quality or Quality(self.node.clock.monotonic())
        self.quality.wish(tier)
        self.set_tier(self.quality.tier)

    def observe(self, rtt: float | None, backlog: bool) -> None:
        """Its latest round trip in seconds, and whether unsent bytes stand."""
        if self.quality is None:
            if not backlog and (rtt is None or rtt <= SLOW_RTT):
                return
            self.quality = Quality(self.node.clock.monotonic())
        change = self.quality.observe(self.node.clock.monotonic(), rtt, backlog)
        if change is not None:
            self.set_tier(change.tier)
            self.send(outgoing.quality(change.tier.word, change.reason))

    def set_tier(self, tier: Tier) -> None:
        if tier is not self.member.tier:
            self.node.hub.slow.set_tier(self.member, tier)
