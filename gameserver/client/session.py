"""What a client knows, and what each message of the server does to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gameserver.client.answers import Answers
from gameserver.client.closing import Closed, seconds
from gameserver.client.dialing import Dialer
from gameserver.client.events import (
    ClientEvent,
    Connected,
    Disconnected,
    ErrorReceived,
    QualityChanged,
    ResyncNeeded,
    RoomLeft,
    Verified,
)
from gameserver.client.failures import ClientClosed, ConnectionLost
from gameserver.client.link import Link
from gameserver.client.pending import PendingCommands
from gameserver.client.pings import Pings
from gameserver.client.replica import NOT_RECOVERED, ClientReplica
from gameserver.client.resyncs import Resyncs
from gameserver.client.stats import ClientStats
from gameserver.client.streams import Streams
from gameserver.client.tuning import Tuning
from gameserver.errors import BadMessage

Message = dict[str, Any]

USUAL_COMMAND_MEMORY_S = 60.0
"""How long ids are taken to be remembered by a server that does not say."""

log = logging.getLogger("gameserver.client")


class Session:
    """The owner of a link: rooms, commands under way, requests, subscriptions.

    `changed` is called after everything that may have changed what is known; `on_event` with every
    event, and what it raises is logged and counted.
    """

    def __init__(
        self,
        dialer: Dialer,
        tuning: Tuning,
        resume: bool,
        reconnect: bool,
        changed: Callable[[], None],
        on_event: Callable[[ClientEvent], None] | None,
    ) -> None:
        self.replica = ClientReplica()
        self.stats = ClientStats(self.replica.counters)
        self.link = Link(dialer, self, tuning, self.stats, reconnect)
        self.welcome: Mapping[str, Any] = MappingProxyType({})
        self.pending = PendingCommands(tuning.most_pending)
        self.answers = Answers()
        self.pings = Pings()
        self.streams = Streams()
        self.subscriptions: dict[str, Message] = {}
        self.wish: Message | None = None
        self.tier = "full"
        self.last_end: Closed | None = None
        self.closed: asyncio.Future[Closed] = asyncio.get_running_loop().create_future()
        self._resume = resume
        self._changed = changed
        self._on_event = on_event
        self._resyncs = Resyncs(self.replica, self._ask_resync, tuning)
        self._now = asyncio.get_running_loop().time
        self._handlers: dict[str, Callable[[Message], None]] = {
            "command_ack": self._acknowledged,
            "pong": self._pong,
            "welcome": self._welcomed,
            "error": self._refused,
            "quality": self._quality,
            "refreshed": self.answers.offer,
            "goodbye": lambda message: None,
        }

    def greeting(self) -> Message:
        hello: Message = {"type": "hello", "rooms": self.replica.positions()}
        if self.wish is not None:
            hello["quality"] = self.wish["tier"]
        return hello

    def ping(self) -> Message:
        return self.pings.ping(self._now())

    def received(self, message: Message) -> None:
        """Raises BadMessage for what lacks the fields of its type; unknown types are counted ([MSG6])."""
        kind = message.get("type")
        if not isinstance(kind, str):
            raise BadMessage("a message without a type")
        if kind in self.replica.handles:
            for event in self.replica.feed(message):
                self._learned(event)
            if self.answers:
                self.answers.offer(message)
        elif (handler := self._handlers.get(kind)) is not None:
            try:
                handler(message)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise BadMessage(f"a {kind} that cannot be read: {error!r}") from error
        else:
            self.stats.unknown += 1
        self._changed()

    def interrupted(self, closed: Closed, delay: float | None) -> None:
        self.stats.disconnections += 1
        self.last_end = closed
        self._resyncs.stop()
        lost = ConnectionLost("the connection was lost before the answer came")
        self.pending.interrupted()
        self.answers.fail(lost)
        self.pings.fail(lost)
        self.tell(Disconnected(closed.code, closed.reason, delay))
        self._changed()

    def ended(self, closed: Closed) -> None:
        if self.closed.done():
            return
        self.closed.set_result(closed)
        self._resyncs.stop()
        error = ClientClosed(closed)
        self.pending.fail(error)
        self.answers.fail(error)
        self.pings.fail(error)
        self.streams.close()
        self._changed()

    def tell(self, event: ClientEvent) -> None:
        """Hand an event to everyone who wants events."""
        self.stats.dropped_events += self.streams.offer(event)
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:
                self.stats.failed_callbacks += 1
                log.exception("on_event failed for %r", event)

    def _learned(self, event: ClientEvent) -> None:
        match event:
            case ResyncNeeded(room=room):
                self._resyncs.need(room)
            case Verified(room=room, ok=True):
                self._resyncs.right(room)
            case RoomLeft(room=room):
                self._resyncs.right(room)
                self.subscriptions.pop(room, None)
        self.tell(event)

    def _ask_resync(self, room: str) -> None:
        if self.link.connected:
            self.stats.resyncs_asked += 1
            self.link.post({"type": "resync", "room": room})

    def _welcomed(self, message: Message) -> None:
        self.welcome = MappingProxyType(message)
        recovered: Mapping[str, bool] | None = None
        if self.link.resuming:
            recovered = message.get("recovered") or {}
            self.replica.resumed(recovered)
            self.stats.resumes += 1
        else:
            self.replica.clear()
        if self._resume:
            self.link.resume_token = str(message["resume_token"])
        self._repeat(recovered)
        for room in self.replica.doubtful():
            if self.replica.rooms[room].doubt == NOT_RECOVERED:
                self._resyncs.expect(room)
            else:
                self._resyncs.need(room)
        self.tell(Connected(str(message["session"]), str(message.get("worker", "")), recovered))

    def _repeat(self, recovered: Mapping[str, bool] | None) -> None:
        """Say again what this connection does not know of: wishes, subscriptions, commands without an answer."""
        again: list[Message] = []
        if recovered is None and self.wish is not None:
            again.append(self.wish)
        again += [asked for room, asked in self.subscriptions.items() if not (recovered or {}).get(room)]
        limits = self.welcome.get("limits") or {}
        commands = self.pending.again(self._now(), seconds(limits.get("command_memory_s")) or USUAL_COMMAND_MEMORY_S)
        self.stats.resent += len(commands)
        again += commands
        if again:
            self.link.post(*again)

    def _acknowledged(self, message: Message) -> None:
        if message["ok"]:
            self.stats.acknowledged += 1
        else:
            self.stats.rejected += 1
        if not self.pending.answered(message, self._now()):
            self.stats.late_answers += 1

    def _pong(self, message: Message) -> None:
        trip = self.pings.pong(message["at"], self._now())
        if trip is not None:
            self.stats.rtt = trip

    def _refused(self, message: Message) -> None:
        self.stats.refusals += 1
        if self.pending.refused(message.get("id"), message) or self.answers.refuse(message):
            return
        wait = message.get("retry_after")
        self.tell(
            ErrorReceived(
                str(message.get("code", "")),
                str(message.get("message", "")),
                None if wait is None else seconds(wait),
            )
        )

    def _quality(self, message: Message) -> None:
        self.tier = str(message["tier"])
        self.tell(QualityChanged(self.tier, str(message.get("reason", ""))))
