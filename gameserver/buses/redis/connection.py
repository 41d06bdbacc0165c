"""One RESP3 connection: pipelined commands, and pushes seen before the replies that follow them.

Redis answers commands in order and puts push frames between the replies, so a client that handles both as
they arrive has seen every publication of its own commit when the commit's reply comes. That is why
this does not use redis-py, which reads pushes and replies through different calls.

SSUBSCRIBE and SUNSUBSCRIBE have no reply of their own but one push per channel; an error, though, comes as a
reply. They wait in the same queue as commands, and whichever comes first settles them.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

import hiredis

from gameserver.buses.base import BusStats
from gameserver.buses.redis.faults import ELSEWHERE, fault_of, first_word, unavailable

logger = logging.getLogger(__name__)

OnPush = Callable[[bytes, bytes], None]
"""Called with channel and payload of each publication; must not raise."""

Argument = bytes | str | int

MAX_UNSENT = 64 << 20
STALL = 0.1
LAST_LOOK = 0.01

_INCOMPLETE = object()


class _Awaited:
    """A command that was sent; `channels` are those still to be confirmed, for one that has no reply."""

    __slots__ = ("channels", "deadline", "future", "kind")

    def __init__(self, future: asyncio.Future[Any], deadline: float) -> None:
        self.future = future
        self.deadline = deadline
        self.kind = b""
        self.channels: set[bytes] = set()


class Connection(asyncio.Protocol):
    """Made by `connect`. `deadline` is in seconds, for every command from its sending to its reply: when one
    passes, the connection is aborted, because nothing behind a reply that never comes can be told apart."""

    def __init__(
        self, on_push: OnPush, on_end: Callable[[], None], deadline: float, max_pending: int, stats: BusStats
    ) -> None:
        self._on_push = on_push
        self._on_end = on_end
        self._deadline = deadline
        self._max_pending = max_pending
        self._stats = stats
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._awaited: deque[_Awaited] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.heard = 0
        """Bytes received so far: unchanged for a while means idle, or dead."""
        self.fault = ""
        """Why the connection ended."""
        self.closed: asyncio.Future[None] = self._loop.create_future()

    # Sending

    def call(self, *arguments: Argument, deadline: float | None = None) -> asyncio.Future[Any]:
        """Send at once. The future answers what Redis does (strings as bytes); raises Unavailable or StoreRefused."""
        return self._send(arguments, deadline).future

    def subscribe(self, channels: Iterable[bytes], deadline: float | None = None) -> asyncio.Future[Any]:
        """Done when every channel is confirmed; all must lie in one slot."""
        return self._send_channels(b"SSUBSCRIBE", channels, deadline)

    def unsubscribe(self, channels: Iterable[bytes], deadline: float | None = None) -> asyncio.Future[Any]:
        return self._send_channels(b"SUNSUBSCRIBE", channels, deadline)

    def _send_channels(self, command: bytes, channels: Iterable[bytes], deadline: float | None) -> asyncio.Future[Any]:
        names = set(channels)
        awaited = self._send((command, *names), deadline)
        awaited.kind = command.lower()
        awaited.channels = names
        return awaited.future

    def _send(self, arguments: tuple[Argument, ...], deadline: float | None) -> _Awaited:
        transport = self._transport
        if transport is None or self.closed.done():
            raise unavailable(self.fault or "the store is not connected")
        if len(self._awaited) >= self._max_pending or transport.get_write_buffer_size() > MAX_UNSENT:
            raise unavailable("too much is waiting for the store already")
        due = self._loop.time() + (self._deadline if deadline is None else deadline)
        awaited = _Awaited(self._loop.create_future(), due)
        self._awaited.append(awaited)
        if self._timer is None or due < self._timer.when():
            self._watch(due)
        transport.write(hiredis.pack_command(cast(Any, arguments)))
        return awaited

    # Deadlines: one timer for all, for the earliest known.

    def _watch(self, when: float, *, last_look: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look, when, last_look)

    def _look(self, when: float, last_look: bool) -> None:
        self._timer = None
        if not self._awaited:
            return
        now = self._loop.time()
        earliest = min(awaited.deadline for awaited in self._awaited)
        if earliest > now:
            self._watch(earliest)
        elif now - when > STALL and not last_look:
            # It was this process that slept: what has arrived meanwhile is read before judging.
            self._watch(now + LAST_LOOK, last_look=True)
        else:
            self._stats.deadlines += 1
            self.abort("the store did not answer in time")

    # Receiving

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard += len(data)
        reader = self._reader
        reader.feed(data)
        try:
            # An aborted connection hands out nothing more: its callers were told already.
            while not self.closed.done():
                reply = reader.gets()
                if reply is _INCOMPLETE:
                    return
                if type(reply) is hiredis.PushNotification:
                    self._pushed(reply)
                else:
                    self._replied(reply)
        except hiredis.ProtocolError as error:
            self.abort(f"the store speaks no RESP3: {error}")

    def _replied(self, reply: Any) -> None:
        if not self._awaited:
            self.abort("the store answered what was never asked")
            return
        future = self._awaited.popleft().future
        if not isinstance(reply, hiredis.ReplyError):
            if not future.done():
                future.set_result(reply)
            return
        text = str(reply)
        if not future.done():
            future.set_exception(fault_of(text))
        if first_word(text) in ELSEWHERE:
            self.abort(f"the world is kept elsewhere: {text}")

    def _pushed(self, push: list[Any]) -> None:
        kind = push[0]
        if kind == b"smessage":
            self._on_push(push[1], push[2])
        elif kind in (b"ssubscribe", b"sunsubscribe"):
            self._confirmed(kind, push[1])

    def _confirmed(self, kind: bytes, channel: bytes) -> None:
        head = self._awaited[0] if self._awaited else None
        if head is not None and head.kind == kind and channel in head.channels:
            head.channels.discard(channel)
            if not head.channels:
                self._awaited.popleft()
                if not head.future.done():
                    head.future.set_result(None)
        elif kind == b"sunsubscribe":
            # Sent unasked when the slot moves to another node.
            self.abort("the store gave up a subscription")

    # The end

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"the connection to the store was lost: {exc}" if exc else "the store closed the connection")

    def abort(self, why: str) -> None:
        """Drop the connection now; every pending command fails with Unavailable."""
        self._end(why)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, why: str) -> None:
        if self.closed.done():
            return
        self.fault = why
        self.closed.set_result(None)
        self._on_end()
        if self._timer is not None:
            self._timer.cancel()
        while self._awaited:
            future = self._awaited.popleft().future
            if not future.done():
                future.set_exception(unavailable(why))
                # Not everybody who sent waits for each of several answers.
                future.exception()


async def connect(
    host: str,
    port: int,
    on_push: OnPush,
    on_end: Callable[[], None],
    *,
    deadline: float,
    max_pending: int,
    stats: BusStats,
    tls: ssl.SSLContext | None = None,
) -> Connection:
    """A TCP (or TLS) connection, before HELLO. Raises Unavailable within `deadline` seconds.

    `on_end` is called the moment it is known that the connection is of no more use.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(deadline):
            _, connection = await loop.create_connection(
                lambda: Connection(on_push, on_end, deadline, max_pending, stats), host, port, ssl=tls
            )
    except (OSError, TimeoutError) as error:
        raise unavailable(f"cannot connect to the store at {host}:{port}: {error or 'no answer'}") from error
    return connection
