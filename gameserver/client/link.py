"""One client's line to the server: made, watched, and made again after it broke."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gameserver.client.closing import ABNORMAL, Closed, Goodbye, seconds, verdict
from gameserver.client.codec import encode
from gameserver.client.dialing import Dialer, NotConnected
from gameserver.client.failures import ConnectionLost
from gameserver.client.stats import ClientStats
from gameserver.client.tuning import Tuning
from gameserver.errors import BadMessage
from gameserver.protocol.codec import Codec
from gameserver.protocol.codes import Close
from gameserver.protocol.signing import Signer

Message = Mapping[str, Any]

log = logging.getLogger("gameserver.client")

BEATS_PER_HEARTBEAT = 3
"""A ping goes out when a beat passed in silence, so the server hears something in two beats of three."""
MOST_SILENT_BEATS = 2 * BEATS_PER_HEARTBEAT + 1
"""So many beats without a byte from the server, each of them asked for with a ping, and the line is dead."""
SHORTEST_BEAT = 0.02


class Owner(Protocol):
    """Whom a link serves. None of these may block or raise, but `received` may raise BadMessage."""

    def greeting(self) -> Message:
        """The `hello` of a connection that resumes."""

    def received(self, message: dict[str, Any]) -> None: ...

    def ping(self) -> Message:
        """A message that makes the server say something."""

    def interrupted(self, closed: Closed, delay: float | None) -> None:
        """The connection is gone or was not made; the next attempt comes in `delay` seconds, never when None."""

    def ended(self, closed: Closed) -> None:
        """There will be no further connection."""


class Link:
    """Keeps one connection up as long as the close codes allow.

    `connected` from `welcome` to the end of the connection. `resume_token` is offered on the next
    connection when it is set.
    """

    def __init__(self, dialer: Dialer, owner: Owner, tuning: Tuning, stats: ClientStats, reconnect: bool) -> None:
        self.connected = False
        self.resume_token: str | None = None
        self.resuming = False
        self._dialer = dialer
        self._owner = owner
        self._tuning = tuning
        self._stats = stats
        self._reconnect = reconnect
        self._closing: Closed | None = None
        self._backoff = tuning.backoff()
        self._loop = asyncio.get_running_loop()
        self._socket: ClientConnection | None = None
        self._codec: Codec | None = None
        self._signer: Signer | None = None
        self._goodbye: Goodbye | None = None
        self._runner: asyncio.Task[None] | None = None
        self._posts: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._sent = False
        self._silent_beats = 0

    def start(self) -> None:
        if self._runner is None:
            self._runner = self._loop.create_task(self._run(), name="gameserver client")

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, if there is one, and never make another."""
        self._closing = Closed(code, reason)
        if self._socket is not None:
            try:
                async with asyncio.timeout(self._tuning.close_timeout + 1):
                    await self._socket.close(code, reason)
            except TimeoutError:
                self._socket.transport.abort()
        tasks = [task for task in (self._runner, *self._posts) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def send(self, message: Message) -> None:
        """Raises ConnectionLost, InvalidArgument for what has no encoding, TimeoutError when the line takes nothing."""
        socket, codec = self._socket, self._codec
        if socket is None or codec is None:
            raise ConnectionLost("there is no connection")
        payload = encode(codec, message)
        if self._signer is not None:
            payload = self._signer.sign(payload, codec.text)
        self._sent = True
        try:
            async with asyncio.timeout(self._tuning.send_timeout):
                await socket.send(payload, text=codec.text)
        except ConnectionClosed as error:
            raise ConnectionLost("the connection was lost") from error
        self._stats.messages_out += 1
        self._stats.bytes_out += len(payload)

    def post(self, *messages: Message) -> None:
        """Send these in order, for whoever cannot wait. What a lost connection swallows, nobody misses."""
        task = self._loop.create_task(self._send_all(messages))
        self._posts.add(task)
        task.add_done_callback(self._posted)

    async def _send_all(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            await self.send(message)

    def _posted(self, task: asyncio.Task[None]) -> None:
        self._posts.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ConnectionLost):
            log.warning("a message could not be sent: %s", error)

    async def _run(self) -> None:
        closed = Closed(ABNORMAL, "cancelled")
        try:
            while True:
                closed = await self._connection()
                delay = await self._delay(closed)
                self._owner.interrupted(closed, delay)
                if delay is None:
                    break
                await asyncio.sleep(delay)
        except Exception:
            log.exception("the client of %s failed", self._dialer.url)
            closed = Closed(Close.INTERNAL, "the client itself failed: see its log")
        finally:
            self._owner.ended(self._closing or closed)

    async def _delay(self, closed: Closed) -> float | None:
        """Seconds until the next attempt; None for none."""
        if not self._reconnect or self._closing is not None:
            return None
        if self._goodbye is not None and not self._goodbye.reconnect:
            return None
        if not closed.reconnect and not (closed.code == Close.BAD_TOKEN and await self._has_new_token()):
            return None
        return self._backoff.delay(closed.retry_after)

    async def _has_new_token(self) -> bool:
        try:
            async with asyncio.timeout(self._tuning.dial_timeout):
                return await self._dialer.renew()
        except Exception as error:
            log.warning("no new token: %s", error)
            return False

    async def _connection(self) -> Closed:
        """One connection from beginning to end, and how it ended."""
        self._goodbye = self._signer = None
        self.resuming = self.resume_token is not None
        try:
            socket, codec = await self._dialer.dial(self.resume_token)
        except NotConnected as error:
            return error.closed
        self._socket, self._codec = socket, codec
        self._stats.connections += 1
        self._timer = self._loop.call_later(self._tuning.welcome_timeout, socket.transport.abort)
        try:
            if self.resuming:
                await self.send(self._owner.greeting())
            closed = await self._read(socket, codec)
        except (ConnectionLost, TimeoutError):
            closed = how_it_closed(socket)
        finally:
            self.connected = False
            self._socket = None
            self._timer.cancel()
            # Harmless when the closing handshake is done; otherwise nobody is left to finish it.
            socket.transport.abort()
            self._backoff.disconnected(self._loop.time())
        return verdict(closed, self._goodbye)

    async def _read(self, socket: ClientConnection, codec: Codec) -> Closed:
        stats = self._stats
        try:
            while True:
                payload = await socket.recv(decode=False)
                self._silent_beats = 0
                stats.messages_in += 1
                stats.bytes_in += len(payload)
                self._handle(codec.decode(payload))
        except ConnectionClosed:
            return how_it_closed(socket)
        except BadMessage as error:
            stats.unreadable += 1
            log.warning("the server sent what cannot be read: %s", error)
            await socket.close(Close.UNSUPPORTED, "unreadable message")
            return Closed(ABNORMAL, f"unreadable message: {error}")

    def _handle(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "welcome":
                self._welcomed(message)
            case "goodbye":
                self._goodbye = Goodbye.of(message)
        self._owner.received(message)

    def _welcomed(self, message: Message) -> None:
        self.connected = True
        self._signer = self._dialer.signer(message.get("resume_token"))
        self._backoff.connected(self._loop.time())
        self._silent_beats = 0
        self._sent = False
        if self._timer is not None:
            self._timer.cancel()
        heartbeat = seconds(message.get("heartbeat")) or 20.0
        self._beat_after(max(heartbeat / BEATS_PER_HEARTBEAT, SHORTEST_BEAT))

    def _beat_after(self, pause: float) -> None:
        self._timer = self._loop.call_later(pause, self._beat, pause)

    def _beat(self, pause: float) -> None:
        """Say something when either side has been silent since the last beat ([LIVE1]); give up a dead line."""
        if self._socket is None:
            return
        if self._silent_beats >= MOST_SILENT_BEATS:
            self._socket.transport.abort()
            return
        if not self._sent or self._silent_beats:
            self.post(self._owner.ping())
        self._sent = False
        self._silent_beats += 1
        self._beat_after(pause)


def how_it_closed(socket: ClientConnection) -> Closed:
    """The close frame the other side sent, or 1006."""
    code = socket.close_code
    return Closed(ABNORMAL if code is None else code, socket.close_reason or "")
