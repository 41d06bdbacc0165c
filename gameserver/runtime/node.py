"""One worker: everything it runs, wired together, without any network of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gameserver.attendance import Attendee, FarApart
from gameserver.buses.base import Bus
from gameserver.context import PLACEMENT
from gameserver.errors import GameserverError, Unavailable
from gameserver.game import Command, Game
from gameserver.protocol import incoming, outgoing
from gameserver.protocol.arguments import Limits
from gameserver.protocol.codec import JSON, MSGPACK, Codec
from gameserver.protocol.compact import compact_codec
from gameserver.protocol.schema import welcome_commands
from gameserver.rooms.access import home_rooms
from gameserver.rooms.names import CONTROL, GLOBAL, private_room, worker_room
from gameserver.rooms.presence import LOGGED_OUT, session_id
from gameserver.runtime.attendance import Attendance
from gameserver.runtime.beacon import Beacon
from gameserver.runtime.channel import Channel
from gameserver.runtime.clock import Clock
from gameserver.runtime.committer import Committer
from gameserver.runtime.holes import read_hole
from gameserver.runtime.hub import Hub
from gameserver.runtime.lag import LagWatch
from gameserver.runtime.member import Member
from gameserver.runtime.reception import Reception, secret_hash
from gameserver.runtime.replication import Replication
from gameserver.runtime.revocations import Revocations
from gameserver.runtime.session import Session
from gameserver.runtime.supervise import Supervisor
from gameserver.runtime.ticker import Ticker
from gameserver.runtime.verifier import Verifier
from gameserver.runtime.watch import SessionWatch
from gameserver.sessions.claims import Claims
from gameserver.sessions.due import Hole
from gameserver.sessions.places import ANYWHERE, Places
from gameserver.sessions.ratelimit import KeyedBuckets
from gameserver.sessions.transitions import Input
from gameserver.state.commit import Commit
from gameserver.state.position import Position
from gameserver.state.replica import Replica

log = logging.getLogger("gameserver")

START_DEADLINE = 15.0
DEPARTURE_PATIENCE = 2.0
"""Seconds a closed connection is kept for its departure to be committed."""
FETCH_AGAIN = 0.5
WELCOME_DEADLINE = 20.0
"""Seconds from the handshake to the welcome, the wait for a hello included."""


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """Seconds, bytes and rates a node goes by; see `gameserver.settings`."""

    heartbeat: float = 20.0
    grace: float = 20.0
    resume_grace: float = 60.0
    verify: float = 5.0
    max_message: int = 16 * 1024
    max_connections: int = 10_000
    commands_per_second: float = 20.0
    commands_burst: float = 40.0
    command_memory: float = 600.0
    messages_per_second: float = 200.0
    """Of anything, per connection; twice as many at once. Beyond it the connection is closed for flooding."""
    places: Places = ANYWHERE
    one_place: bool = False
    """Whether a player may not be in two of the places at once, or is only reported."""


async def _no_tokens(token: str) -> Claims:
    raise GameserverError("no tokens are verified here")


class Node:
    """A worker of a world. `verify(token)` answers claims or raises."""

    def __init__(
        self,
        game: Game,
        bus: Bus,
        worker: str,
        *,
        limits: NodeLimits | None = None,
        clock: Clock | None = None,
        verify: Callable[[str], Awaitable[Claims]] = _no_tokens,
    ) -> None:
        self.game = game
        self.bus = bus
        self.worker = worker
        self.room = worker_room(worker)
        """Its own, with the sessions it holds."""
        self.limits = limits or NodeLimits()
        self.clock = clock or Clock()
        self.verify = verify
        now = self.clock.monotonic
        self.supervisor = Supervisor()
        self.replication = Replication(bus, self, self.supervisor, now)
        self.hub = Hub(game.schema, self.replication.follows, self._look_for_missing, now)
        self.hub.slow.fetch = self._fetch
        self.committer = Committer(game.schema, bus, self.replication, self.supervisor, worker, now)
        self.attendance = Attendance(
            game,
            self.committer,
            self.replication,
            self.supervisor,
            self.clock,
            self.limits.resume_grace,
            self.limits.one_place,
        )
        self.ticker = Ticker(game, bus, self.committer, self.replication, self.clock, worker, self.attendance.sweep)
        self.verifier = Verifier(self.replication, self.hub, self.limits.verify)
        self.beacon = Beacon(self)
        self.watch = SessionWatch(self)
        self.lag = LagWatch()
        self.reception = Reception(self)
        self.revocations = Revocations(self)
        specs = [command.spec for command in game.commands.values()]
        self.decoder = incoming.build_decoder(specs, Limits(message=self.limits.max_message))
        self.described_commands = welcome_commands(specs)
        self.described_schema = game.schema.describe()
        compact = compact_codec(self.described_schema, self.clock.wall_ms())
        self.codecs = {"json": JSON, "msgpack": MSGPACK, "compact": compact}
        """By the word of the handshake; one object each, for members share frames by it."""
        self.sessions: dict[str, Session] = {}
        self.by_player: dict[str, tuple[Session, ...]] = {}
        self._player_rates = KeyedBuckets(self.limits.commands_per_second, self.limits.commands_burst)
        self._command_rates = {name: KeyedBuckets(*command.rate) for name, command in game.commands.items()}
        self.resyncs = 0
        self._missing = self._looking = False
        self.draining = False
        self._empty = asyncio.Event()
        self._departing: set[asyncio.Task[None]] = set()
        self.started_at = 0.0

    # -- life ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, see to it that the world exists, and run. Raises Unavailable when the store cannot be reached."""
        self.started_at = self.clock.wall()
        await self.replication.start()
        for name, work in (
            ("committer", self.committer.run),
            ("lease", self.ticker.run),
            ("ticks", self.ticker.beat),
            ("verifier", self.verifier.run),
            ("watch over sessions", self.watch.run),
            ("beacon", self.beacon.run),
            ("watch over the event loop", self.lag.run),
        ):
            self.supervisor.keep(work, name)
        await self.replication.hold(CONTROL)
        self.revocations.enforce()
        replica = await self.replication.hold(GLOBAL)
        until = self.clock.monotonic() + START_DEADLINE
        while "world" not in replica.entities:
            if self.clock.monotonic() > until:
                raise Unavailable("the world was not created in time: does the worker that holds the lease live?")
            await asyncio.sleep(0.02)

    async def drain(self, window: float) -> None:
        """Take no more connections, and tell those there are goodbye, spread over `window` seconds; returns when
        they are gone."""
        self.draining = True
        sessions = list(self.sessions.values())
        for session in sessions:
            hint = round(self.clock.random.uniform(0.1, 2.0), 2)
            session.end(Input.DRAIN, "the worker restarts", retry_after=hint)
            await asyncio.sleep(window / len(sessions))
        self._empty.clear()
        if self.sessions:
            await self._empty.wait()

    async def close(self) -> None:
        """End all sessions, let go of the lease, and stop everything."""
        self.draining = True
        for session in list(self.sessions.values()):
            session.end(Input.DRAIN, "the worker stops", retry_after=round(self.clock.random.uniform(0.1, 2.0), 2))
        await asyncio.gather(
            *(self.close_session(session) for session in list(self.sessions.values())),
            *self._departing,
            return_exceptions=True,
        )
        try:
            await asyncio.wait_for(self.beacon.gone(), 2.0)
            await asyncio.wait_for(self.ticker.release(), 2.0)
        except (GameserverError, TimeoutError):
            # Without a store there is nobody to tell: the lease runs out and the silence is noticed.
            pass
        await self.supervisor.close()
        await self.bus.close()

    def _look_for_missing(self) -> None:
        """However many rooms wait for a sibling, the store is asked once at a time."""
        self._missing = True
        if not self._looking:
            self._looking = True
            self.supervisor.start(self._look(), "looking for a missing sibling")

    async def _look(self) -> None:
        try:
            while self._missing:
                self._missing = False
                await self.replication.check()
        except Unavailable:
            # The next verification tick looks again.
            return
        finally:
            self._looking = False

    def _fetch(self, hole: Hole) -> None:
        """A slow member's events are held here no longer: read them from the store's log."""

        async def read() -> None:
            try:
                filling = await read_hole(self.bus, hole)
            except GameserverError:
                await asyncio.sleep(FETCH_AGAIN)
                self.hub.slow.refill(hole, None)
            else:
                self.hub.slow.refill(hole, *filling)

        self.supervisor.start(read(), f"events of {hole.room} after {hole.after}")

    # -- replication.Listener ------------------------------------------------------------------------------

    def applied(self, replica: Replica, commit: Commit) -> None:
        self.hub.applied(replica, commit)
        if replica.room.startswith("private:"):
            self._private_changed(replica)
        elif replica.room == CONTROL:
            self.revocations.applied(commit)

    def reloading(self, replica: Replica) -> None:
        self.hub.reloading(replica)

    def reloaded(self, replica: Replica, before: Position) -> None:
        self.hub.reloaded(replica, before)
        if replica.room.startswith("private:"):
            self._private_changed(replica)
        elif replica.room == CONTROL:
            self.revocations.enforce()

    def signalled(self, room: str, key: str, data: object, sender: str | None) -> None:
        self.hub.signalled(room, key, data, sender)

    def _private_changed(self, replica: Replica) -> None:
        for session in self.by_player.get(replica.room.partition(":")[2], ()):
            session.placed()

    def sector_of(self, player: str) -> str | None:
        """The sector a player of this worker is in, as far as the replica knows."""
        replica = self.replication.replica(private_room(player))
        placement = replica.entities.get(PLACEMENT) if replica is not None else None
        return placement.get("sector") if placement is not None else None

    # -- sessions ------------------------------------------------------------------------------------------

    def has_room(self) -> bool:
        """Whether another connection is welcome."""
        return not self.draining and len(self.sessions) < self.limits.max_connections

    def admit(
        self, claims: Claims, channel: Channel, codec: Codec, address: str, resume_token: str | None = None
    ) -> Session:
        """A session for an accepted connection; hand it every message that comes, and `receive` it."""
        member = Member(channel, codec, claims.player, self.hub.replies)
        session = Session(self, claims, member, self.new_id(), address, resume_token)
        self.sessions[session.id] = session
        self.by_player[claims.player] = (*self.by_player.get(claims.player, ()), session)
        session.receiving = True
        return session

    async def receive(self, session: Session) -> None:
        """Welcome the session; when that is not possible in time, it is ended with a hint to come back."""
        try:
            if self.revocations.covers(session.claims):
                # Since its handshake was decided.
                session.end(Input.LOGGED_OUT, "logged out")
                return
            async with asyncio.timeout(WELCOME_DEADLINE):
                await self.reception.receive(session)
        except FarApart as error:
            session.end(Input.FAR_APART, error.message)
        except (GameserverError, TimeoutError) as error:
            if not session.closed:
                log.warning("%s could not be welcomed: %s", session.id, error)
            session.end(Input.UNAVAILABLE, "the world cannot be reached now", retry_after=1.0)
        except Exception:
            session.end(Input.FAILED, "the welcome failed", retry_after=1.0)
            raise
        finally:
            session.receiving = False
            if session.closed:
                await self._let_go(session)

    def rename(self, session: Session, session_id: str) -> None:
        """The connection took over a session of another id."""
        self.sessions.pop(session.id, None)
        session.id = session_id
        if not session.closed:
            replaced = self.sessions.get(session_id)
            if replaced is not None:
                # It learns so from the store as well, but then nobody would find it under its id.
                replaced.end(Input.REPLACED, "the session was resumed elsewhere")
            self.sessions[session_id] = session

    def welcome(self, session: Session) -> None:
        """Start receiving the session."""
        self.supervisor.start(self.receive(session), f"welcome of {session.id}")

    def lose(self, session: Session) -> None:
        """The connection is gone: the presence stays for the grace period, unless the session ended for good."""
        if not session.closed:
            self._forget(session)
            if not session.receiving:
                departing = self.supervisor.start(self._let_go(session), f"end of {session.id}")
                self._departing.add(departing)
                departing.add_done_callback(self._departing.discard)

    async def close_session(self, session: Session) -> None:
        """As `lose`, but waits until the departure is committed, or has been tried for a while."""
        if not session.closed:
            self._forget(session)
            if not session.receiving:
                await self._let_go(session)

    def _forget(self, session: Session) -> None:
        session.forget()
        self.hub.forget(session.member)
        if self.sessions.get(session.id) is session:
            del self.sessions[session.id]
        if not self.sessions:
            self._empty.set()
        others = tuple(each for each in self.by_player.pop(session.player, ()) if each is not session)
        if others:
            self.by_player[session.player] = others

    async def _let_go(self, session: Session) -> None:
        """Commit the departure of a session that is closed and not being received any more."""
        try:
            if session.recorded:
                session.recorded = False
                departure = self.attendance.depart(self.attendee(session), for_good=session.for_good)
                task = self.supervisor.start(departure, f"departure of {session.id}")
                # It goes on for as long as the store is away; the connection is over, and so must a drain be.
                await asyncio.wait((task,), timeout=DEPARTURE_PATIENCE)
        finally:
            for room in list(session.held):
                session.drop(room)

    async def log_out(self, session: Session) -> None:
        """End every session of this token, on every worker, and have the token refused from now on; when that cannot
        be committed, the client is told so."""
        claims = session.claims
        if claims.token_id:
            try:
                await self.attendance.revoke(
                    self.attendee(session), LOGGED_OUT, lambda draft: self.revocations.note(draft, claims)
                )
            except GameserverError as error:
                session.send(outgoing.refusal(error))
                return
        session.end(Input.LOGGED_OUT, "logged out")

    async def change_claims(self, session: Session, claims: Claims) -> None:
        """A refreshed token: a changed team moves rooms at once. Raises Unavailable, and then nothing has changed."""
        before = session.claims
        joined = set(home_rooms(claims, None)) - set(home_rooms(before, None))
        for room in joined:
            await session.hold(room)
        session.claims = claims
        if session.plays and (claims.team, claims.name) != (before.team, before.name):
            try:
                await self.attendance.change_team(self.attendee(session), before.team)
            except GameserverError:
                session.claims = before
                for room in joined:
                    session.drop(room)
                raise
        for room in set(home_rooms(before, None)) - set(home_rooms(claims, None)):
            session.leave(room, "not yours any more")
        for room in joined:
            session.enter(room)

    def retire_token(self, session: Session) -> None:
        self.supervisor.start(
            self.attendance.retire_token(self.attendee(session)), f"retiring the resume token of {session.id}"
        )

    def remember_views(self, session: Session) -> None:
        self.supervisor.start(
            self.attendance.remember_views(self.attendee(session), session.described_views()),
            f"remembering the subscriptions of {session.id}",
        )

    def attendee(self, session: Session, resume: str = "") -> Attendee:
        claims = session.claims
        token = secret_hash(claims.token_id) if claims.token_id else ""
        return Attendee(
            claims.player,
            claims.name,
            claims.team,
            session.id,
            self.worker,
            token,
            resume,
            session.link,
            self.limits.places.of(session.address),
        )

    def record_of(self, session: Session) -> dict[str, Any] | None:
        """What the store has of this session: None when it does not count as live any more."""
        replica = self.replication.replica(session.private)
        return None if replica is None else replica.entities.get(session_id(session.id))

    def new_id(self) -> str:
        return f"{self.clock.random.getrandbits(128):032x}"

    # -- limits --------------------------------------------------------------------------------------------

    def command_wait(self, player: str, command: Command) -> float:
        """0 when the player may send this command now, else the seconds to wait; charged once, not per re-run."""
        now = self.clock.monotonic()
        wait = self._command_rates[command.name].take(player, now)
        return wait if wait > 0 else self._player_rates.take(player, now)
