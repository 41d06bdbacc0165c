"""A client of a simulated world: the Python client's own session, on a line that is made again whenever it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from gameserver.client.closing import ABNORMAL, Closed, Goodbye, verdict
from gameserver.client.codec import codec_of, encode
from gameserver.client.events import ClientEvent
from gameserver.client.failures import CommandRejected
from gameserver.client.session import Session
from gameserver.client.tuning import Tuning
from gameserver.errors import BadMessage
from gameserver.protocol.codec import Codec
from gameserver.sessions.claims import Claims
from tests.simulation.eye import Eye
from tests.simulation.loop import current
from tests.simulation.wire import Wire

if TYPE_CHECKING:
    from tests.simulation.world import Worker, World

Message = Mapping[str, Any]

BEAT = 1.0
"""Seconds: a third of the server's heartbeat."""
MOST_SILENT_BEATS = 5
WELCOME_TIMEOUT = 8.0
FOR_ANOTHER_TIME = ("unavailable", "conflict", "rate_limited")
"""Refusals after which the same command, with the same id, is sent again."""
NOT_IN_A_GAME = ("internal", "key_conflict", "bad_message", "unknown_command", "invalid_argument")
"""Refusals that no command of this game ever deserves."""


class Player:
    """One device. It is its session's link; `commands` counts those it has yet to send."""

    def __init__(self, world: World, name: str, claims: Claims, encoding: str, commands: int, random: Random) -> None:
        self.world = world
        self.name = name
        self.claims = claims
        self.commands = commands
        self.connected = False
        self.resume_token: str | None = None
        self.resuming = False
        self.worker: Worker | None = None
        self.wire: Wire | None = None
        self._encoding = encoding
        self._random = random
        self._loop = current()
        tuning = Tuning(
            backoff_base=0.2, backoff_cap=2.0, stable_after=3.0, resync_longest_pause=4.0, resync_patience=2.0,
            chance=random.random,
        )  # fmt: skip
        self._backoff = tuning.backoff()
        self._codec: Codec | None = None
        self._goodbye: Goodbye | None = None
        self._said = False
        self._silent_beats = 0
        self._timer: asyncio.TimerHandle | None = None
        self._sent = 0
        self.unanswered: dict[str, float] = {}
        """Tag to when the command was first sent."""
        self.eye = Eye(world, self)
        self.session = Session(_NO_DIALER, tuning, True, True, lambda: None, self._on_event)
        self.session.link = self  # type: ignore[assignment]  # as much of a link as a session uses

    # -- the line ---------------------------------------------------------------------------------------------

    def dial(self) -> None:
        """Connect to some worker that takes connections."""
        if self.wire is not None:
            return
        self._timer = None
        worker = self.world.somewhere(self._random, self.worker)
        if worker is None:
            self._again(Closed(ABNORMAL, "nobody listens"))
            return
        self.worker = worker
        self._goodbye = None
        self._silent_beats = 0
        codec = worker.node.codecs[self._encoding]
        self._codec = codec_of(codec.subprotocol)
        wire = self.wire = Wire(self, worker.domain, codec.text, self._random)
        self.world.trace.note("dial", f"{self.name} to {worker.name}")
        self.resuming = self.resume_token is not None
        self._timer = self._loop.call_later(WELCOME_TIMEOUT, self.drop)
        worker.admit(wire, self.claims, codec, self.resume_token)
        if self.resuming:
            self.post(self.session.greeting())

    def received(self, wire: Wire, payload: bytes) -> None:
        if wire is not self.wire or self._codec is None:
            return
        trace = self.world.trace
        trace.note("told", self.name, payload)
        self._silent_beats = 0
        try:
            message = self._codec.decode(payload)
            match message.get("type"):
                case "welcome":
                    self._welcomed()
                case "goodbye":
                    self._goodbye = Goodbye.of(message)
            self.session.received(message)
        except BadMessage as error:
            trace.violated("R", f"{self.name} was sent what cannot be read: {error}")

    def hung_up(self, wire: Wire, code: int, reason: str) -> None:
        """The server has closed it, or is gone."""
        if wire is self.wire:
            self._lost(Closed(code, reason))

    def drop(self) -> None:
        """The line breaks, or is given up."""
        wire = self.wire
        if wire is not None:
            wire.hang_up()
            self._lost(Closed(ABNORMAL, "dropped"))

    def _lost(self, closed: Closed) -> None:
        self.wire = None
        self.connected = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._backoff.disconnected(self._loop.time())
        self._again(verdict(closed, self._goodbye))

    def _again(self, closed: Closed) -> None:
        self.world.trace.note("hung up", f"{self.name} {closed.code} {closed.reason}")
        if not closed.reconnect:
            self.world.trace.violated("R", f"{self.name} was sent away for good: {closed}")
            return
        delay = self._backoff.delay(closed.retry_after)
        self.session.interrupted(closed, delay)
        self._timer = self._loop.call_later(delay, self.dial)

    def _welcomed(self) -> None:
        self.connected = True
        self._backoff.connected(self._loop.time())
        if self._timer is not None:
            self._timer.cancel()
        self._said = False
        self._timer = self._loop.call_later(BEAT, self._beat)

    def _beat(self) -> None:
        if self._silent_beats >= MOST_SILENT_BEATS:
            self.world.trace.counts["line given up"] += 1
            self.drop()
            return
        if not self._said or self._silent_beats:
            # The session's own names the real time.
            self.post({"type": "ping", "at": int(self.world.wall() * 1000)})
        self._said = False
        self._silent_beats += 1
        self._timer = self._loop.call_later(BEAT, self._beat)

    def post(self, *messages: Message) -> None:
        if self.wire is None or self._codec is None:
            return
        self._said = True
        for message in messages:
            self.wire.say(encode(self._codec, message))

    def stop(self) -> None:
        """Do nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        self.session.ended(Closed(1000))

    # -- commands ---------------------------------------------------------------------------------------------

    def play(self, pause: float) -> None:
        """Send commands, `pause` seconds apart on average, as long as there are some."""
        if self.commands:
            self.commands -= 1
            self._sent += 1
            tag = f"{self.name}-{self._sent}"
            self.unanswered[tag] = self._loop.time()
            self.world.ledger.sent(tag)
            message = self.world.some_command(self._random, tag)
            self.world.trace.note("command", f"{tag} {message}")
            self._send(tag, message)
            self._loop.call_later(self._random.expovariate(1 / pause), self.play, pause)

    def _send(self, tag: str, message: Message) -> None:
        answer: asyncio.Future[Any] = self._loop.create_future()
        pending = self.session.pending.add(message, tag, True, self._loop.time(), answer)
        answer.add_done_callback(partial(self._answered, tag, message))
        if self.connected:
            self.post(pending.message)

    def _answered(self, tag: str, message: Message, answer: asyncio.Future[Any]) -> None:
        world = self.world
        error = answer.exception()
        if error is None:
            del self.unanswered[tag]
            world.trace.note("acknowledged", f"{tag} {answer.result().seq}")
            world.ledger.check_acknowledged(tag, answer.result().seq)
        elif isinstance(error, CommandRejected) and error.code in FOR_ANOTHER_TIME:
            world.trace.note("not now", f"{tag} {error}")
            self._loop.call_later((error.retry_after or 0.1) * (0.5 + self._random.random()), self._send, tag, message)
        else:
            del self.unanswered[tag]
            world.trace.note("refused", f"{tag} {error}")
            if not isinstance(error, CommandRejected) or error.code in NOT_IN_A_GAME:
                world.trace.violated("R", f"{tag} was answered with {error!r}")
            world.ledger.check_refused(tag)

    def _on_event(self, event: ClientEvent) -> None:
        self.eye.see(event)


class _NoDialer:
    """Connections are made by wire here."""

    url = "simulated"


_NO_DIALER: Any = _NoDialer()
