"""One accepted WebSocket connection: bytes in, messages to whoever is attached; ready-made frames out.

It is all that lives of an idle connection besides its session: no task, no queue, no timer. Whoever is attached is
told of the end exactly once, at the moment it is decided, so that nothing is written after a close frame.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

from gameserver.protocol.closing import NO_CODE, close_frame, read_close
from gameserver.protocol.codes import Close
from gameserver.protocol.frames import PING, encode_pong
from gameserver.protocol.parser import BINARY, CLOSE, FrameParser
from gameserver.protocol.parser import PING as PING_OPCODE

OnMessage = Callable[[bytes, bool], None]
"""Called with each message's payload, and whether it is text."""
OnEnd = Callable[[int, str], None]
"""Called once, with a close code and a reason; nothing can be sent any more."""

LINGER = 5.0
"""Seconds a peer has to take what is left and answer the close frame."""
MAX_AFTERWARDS = 4 * 1024 * 1024
"""Bytes that are read of a peer after the close frame, for it to be heard over what was on its way."""
MAX_PONGS = 16 * 1024
"""Bytes of pongs a peer may leave unread."""
MESSAGE_TIME = 10.0
"""Seconds within which a message must be complete, while we read."""
MESSAGE_LOOKS = 5
"""How often within them it is looked after: what we do not read cannot become complete."""

TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
RTT = struct.Struct("68xI")
"""Where Linux's tcp_info has the smoothed round trip, in microseconds."""


class Connection(asyncio.Protocol):
    """Implements `gameserver.runtime.channel.Channel`. `registry` is the server's set of live connections.

    We are told both when the first bytes stay behind (`pause_writing`) and when the last one left (`resume_writing`).
    """

    __slots__ = (
        "_afterwards",
        "_alive_at",
        "_close_sent",
        "_congested",
        "_drained",
        "_looks",
        "_loop",
        "_message_timer",
        "_on_end",
        "_on_message",
        "_open",
        "_parser",
        "_pongs",
        "_reading",
        "_registry",
        "_timer",
        "_transport",
        "_unsent_seen",
        "text",
        "write",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        registry: set[object],
        parser: FrameParser,
        on_message: OnMessage,
        on_end: OnEnd,
    ) -> None:
        self.text = True
        self.write: Callable[[bytes], None] = transport.write
        """Of the channel: the transport's own while the connection is open, for it is called for every delivery."""
        self._loop = loop
        self._transport = transport
        self._registry = registry
        self._parser = parser
        self._on_message = on_message
        self._on_end: OnEnd | None = on_end
        self._open = True
        self._close_sent = False
        self._reading = True
        self._pongs = 0
        self._afterwards = 0
        self._looks = 0
        self._unsent_seen = 0
        self._alive_at = loop.time()
        self._congested: Callable[[], None] | None = None
        self._drained: Callable[[], None] | None = None
        self._message_timer: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        registry.add(self)
        report_unsent(transport)

    def attach(self, on_message: OnMessage, on_end: OnEnd) -> None:
        """From now on these are called. One that has ended already says so at once."""
        self._on_message = on_message
        if self._open:
            self._on_end = on_end
        else:
            on_end(NO_CODE, "")

    @property
    def deflates(self) -> bool:
        """Whether permessage-deflate was agreed."""
        return self._parser.inflates

    @property
    def open(self) -> bool:
        """Whether anything can still be sent."""
        return self._open

    # -- the channel ------------------------------------------------------------------------------------

    def unsent(self) -> int:
        return 0 if self._transport.is_closing() else self._transport.get_write_buffer_size()

    def on_congested(self, callback: Callable[[], None]) -> None:
        self._congested = callback
        if self.unsent():
            # It began before there was anybody to tell, perhaps before there was a WebSocket.
            self.pause_writing()

    def on_drained(self, callback: Callable[[], None]) -> None:
        self._drained = callback

    @property
    def slack(self) -> int:
        return 0

    def ping(self) -> None:
        self.write(PING)

    def heard(self) -> None:
        self._alive_at = self._loop.time()

    def rtt(self) -> float | None:
        connection = self._transport.get_extra_info("socket")
        if connection is None or TCP_INFO is None or self._transport.is_closing():
            return None
        try:
            info = connection.getsockopt(socket.IPPROTO_TCP, TCP_INFO, RTT.size)
        except OSError:
            return None
        return float(RTT.unpack(info)[0]) / 1e6

    def last_alive(self) -> float:
        unsent = self.unsent()
        if unsent < self._unsent_seen:
            self.heard()
        self._unsent_seen = unsent
        return self._alive_at

    def pause_reading(self) -> None:
        if self._reading and self._open:
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def close(self, code: int, reason: str) -> None:
        if self._open:
            self._transport.write(close_frame(code, reason))
            self._close_sent = True
            self._end(code, reason)
            # The peer's answer is to be read, whatever else it says before.
            self.resume_reading()
            self._cut_after_a_while()

    def abort(self) -> None:
        self._end(NO_CODE, "")
        self._transport.abort()

    def shutdown(self) -> None:
        """uvicorn stops: whoever is still here is told to come back."""
        self.close(Close.RESTART, "")

    # -- writing ----------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        self._unsent_seen = self.unsent()
        if self._congested is not None:
            self._congested()

    def resume_writing(self) -> None:
        self._pongs = 0
        self._unsent_seen = 0
        self.heard()
        if self._drained is not None:
            self._drained()

    # -- reading ----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if not self._open and not self._is_heard_out(len(data)):
            return
        self._alive_at = self._loop.time()
        parser = self._parser
        completed = False
        for opcode, payload in parser.feed(data):
            if opcode <= BINARY:
                completed = True
                if self._open:
                    self._on_message(payload, opcode != BINARY)
            else:
                self._control(opcode, payload)
        if parser.fault is not None:
            self.fail(parser.fault.code, parser.fault.reason)
        elif parser.unfinished or self._message_timer is not None:
            self._watch_message(completed)

    def _is_heard_out(self, size: int) -> bool:
        """Whether the end that has begun still waits for the peer's answer. A flood is not waited out."""
        self._afterwards += size
        if self._afterwards > MAX_AFTERWARDS:
            self._transport.abort()
            return False
        return self._close_sent

    def eof_received(self) -> bool:
        return False

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING_OPCODE:
            self._answer_ping(payload)
        elif opcode == CLOSE:
            self._closed_by_peer(payload)

    def _answer_ping(self, payload: bytes) -> None:
        pong = encode_pong(payload)
        if self._transport.get_write_buffer_size():
            self._pongs += len(pong)
            if self._pongs > MAX_PONGS:
                self.fail(Close.POLICY, "too many pings")
                return
        self.write(pong)

    def _closed_by_peer(self, payload: bytes) -> None:
        code, reason = read_close(payload)
        if self._open:
            # What the peer closed with is what it gets back.
            self._transport.write(close_frame(code, ""))
            self._end(code, reason)
        self._transport.close()
        self._cut_after_a_while()

    def _watch_message(self, completed: bool) -> None:
        """A message that has begun has its time; a completed one gives the next its own."""
        if self._message_timer is not None and (completed or not self._parser.unfinished):
            self._message_timer.cancel()
            self._message_timer = None
        if self._message_timer is None and self._parser.unfinished and self._open:
            self._looks = 0
            self._look_again()

    def _look_again(self) -> None:
        self._message_timer = self._loop.call_later(MESSAGE_TIME / MESSAGE_LOOKS, self._look_after_message)

    def _look_after_message(self) -> None:
        self._looks += self._reading
        if self._looks < MESSAGE_LOOKS:
            self._look_again()
        else:
            self._message_timer = None
            self.fail(Close.POLICY, "the message took too long")

    # -- the end ----------------------------------------------------------------------------------------

    def fail(self, code: int, reason: str) -> None:
        """End the connection for what the peer did; what it sends from now on is read and thrown away."""
        if self._open:
            self._transport.write(close_frame(code, reason))
            self._end(code, reason)
            # A socket that is closed with something unread is reset, and the close frame lost with it.
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()
            self._cut_after_a_while()
        elif self._close_sent:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        stuck = self._unsent_seen > 0
        self._end(NO_CODE, "")
        if self._timer is not None:
            self._timer.cancel()
        self._registry.discard(self)
        if stuck and self._drained is not None:
            # Nothing is unsent any more: whoever waits for that is not to wait for ever.
            self._drained()
        self._congested = self._drained = None

    def _end(self, code: int, reason: str) -> None:
        self._open = False
        self.write = _drop
        if self._message_timer is not None:
            self._message_timer.cancel()
            self._message_timer = None
        self._on_message = _ignore
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(int(code), reason)

    def _cut_after_a_while(self) -> None:
        """Closing waits for what is left to be taken: a peer that takes nothing, or does not answer, is cut."""
        if self._timer is None and self in self._registry:
            self._timer = self._loop.call_later(LINGER, self._transport.abort)


def report_unsent(transport: asyncio.Transport) -> None:
    """Have the transport's protocol told when anything stays behind, and when nothing does any more.

    Over TLS a limit counts as reached by as much as it is, not by more: by 0 bytes, every other write would be told of.
    """
    transport.set_write_buffer_limits(high=1 if transport.get_extra_info("sslcontext") else 0)


def _drop(frame: bytes) -> None:
    """Nobody reads it any more."""


def _ignore(payload: bytes, text: bool) -> None:
    """Nobody is there any more."""
