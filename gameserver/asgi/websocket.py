"""WebSockets as `gameserver run` serves them: uvicorn's protocol, made direct and hard to hurt.

It offers the application a channel onto the transport (`scope["extensions"]["gameserver.channel"]`), keeps
little unsent data in the kernel so that a slow reader is noticed, and ends what stock uvicorn lets go on for
ever: handshakes nobody finishes, peers that never read their close frame, floods of pings and of fragments.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from asyncio.transports import BaseTransport
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import InvalidState
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import OPEN

from gameserver.asgi.direct import DirectChannel
from gameserver.asgi.logs import redact_queries
from gameserver.protocol.codes import Close

EXTENSION = "gameserver.channel"
"""Under this name the channel is among the scope's extensions."""

UNSENT_IN_KERNEL = 16 * 1024
"""Bytes the kernel takes beyond what is on its way; above, they stay with us, where they are counted."""
LINGER = 5.0
"""Seconds a peer has to take what is left and answer the close frame."""
MAX_PONGS = 16 * 1024
"""Bytes of pongs a peer may leave unread."""
MAX_FRAGMENTS = 64
MESSAGE_TIME = 10.0
"""Seconds within which a message must be complete, while we read."""
MESSAGE_LOOKS = 5
"""How often within them it is looked after: what we do not read cannot become complete."""
HANDSHAKE_TIME = 10.0
MAX_REASON = 123
"""Bytes of a close frame's reason (RFC 6455, 5.5)."""

_logger = logging.getLogger("gameserver.websocket")


class GameserverProtocol(WebSocketsSansIOProtocol):
    """For uvicorn's `ws` setting; `gameserver.asgi.http.server_config` sets the rest."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # At debug level the library would log every header, the token among them.
        self.conn.logger = _logger
        self.conn.debug = False
        self.handshake_time: float = getattr(config, "handshake_time", HANDSHAKE_TIME)
        self.channel: DirectChannel | None = None
        self._fragments = 0
        self._in_message = False
        self._looks = 0
        self._pongs = 0
        self._handshake_timer: asyncio.TimerHandle | None = None
        self._message_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None

    # Connection

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        _set_options(transport)
        self._handshake_timer = self.loop.call_later(self.handshake_time, self._end_slow_handshake)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._handshake_timer, self._message_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        stuck = not self.writable.is_set()
        super().connection_lost(exc)
        if stuck and self.channel is not None:
            # Nothing is unsent any more: whoever waits for that is not to wait for ever.
            self.channel.on_resumed()

    def data_received(self, data: bytes) -> None:
        if self.channel is not None:
            self.channel.heard()
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # The request could not be read: the library has its answer ready, but stock uvicorn never sends it.
            self.handshake_initiated = self.handshake_complete = self.close_sent = True
            self._flush()
            self._close_transport()

    def handle_connect(self, event: Request) -> None:
        versions = event.headers.get_all("Sec-WebSocket-Version")
        if len(versions) == 1 and versions[0].strip() != "13":
            self._refuse_version()
            return
        super().handle_connect(event)
        if not self.close_sent:
            # With a limit of 0 we are told as soon as one byte stays behind, and again when none does.
            self.transport.set_write_buffer_limits(high=0)
            self.channel = DirectChannel(self, self.transport)
            extensions: dict[str, object] = self.scope.setdefault("extensions", {})  # type: ignore[assignment]
            extensions[EXTENSION] = self.channel

    def _refuse_version(self) -> None:
        response = self.conn.reject(426, "Version 13 of the WebSocket protocol is spoken here.\n")
        response.headers["Upgrade"] = "websocket"
        response.headers["Sec-WebSocket-Version"] = "13"
        self.conn.send_response(response)
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        self._flush()
        self._close_transport()

    def _end_slow_handshake(self) -> None:
        if not self.handshake_complete:
            self.transport.abort()

    # Writing

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.channel is not None:
            self.channel.on_paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._pongs = 0
        if self.channel is not None:
            self.channel.on_resumed()

    def handle_ping(self) -> None:
        output = b"".join(self.conn.data_to_send())
        if not self.writable.is_set():
            self._pongs += len(output)
            if self._pongs > MAX_PONGS:
                self.fail(Close.POLICY, "too many pings")
                return
        self.transport.write(output)

    def _flush(self) -> None:
        self.transport.write(b"".join(self.conn.data_to_send()))

    # Reading

    def handle_events(self) -> None:
        any_frame = bool(self.conn.events)
        super().handle_events()
        if self._in_message or self.channel is None:
            return
        if any_frame:
            self._stop_message_timer()
        if self.conn.reader.buffer and self._message_timer is None:
            # The beginning of a frame, of which nobody tells us.
            self._start_message_timer()

    def handle_text(self, event: Frame) -> None:
        self._begin_message(event)
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        self._begin_message(event)
        super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        self._fragments += 1
        if self._fragments > MAX_FRAGMENTS:
            self.fail(Close.POLICY, "too many fragments")
            return
        if event.fin:
            self._in_message = False
        super().handle_cont(event)

    def _begin_message(self, event: Frame) -> None:
        if not event.fin:
            self._fragments = 1
            self._in_message = True
            self._stop_message_timer()
            self._start_message_timer()

    def _start_message_timer(self) -> None:
        self._looks = 0
        self._message_timer = self.loop.call_later(MESSAGE_TIME / MESSAGE_LOOKS, self._look_after_message)

    def _stop_message_timer(self) -> None:
        if self._message_timer is not None:
            self._message_timer.cancel()
            self._message_timer = None

    def _look_after_message(self) -> None:
        if not self.read_paused:
            self._looks += 1
        if self._looks < MESSAGE_LOOKS:
            self._message_timer = self.loop.call_later(MESSAGE_TIME / MESSAGE_LOOKS, self._look_after_message)
        else:
            self._message_timer = None
            self.fail(Close.POLICY, "the message took too long")

    # Closing

    def begin_close(self, code: int, reason: str) -> None:
        """Start the closing handshake; the application is told by a `websocket.disconnect` with this code.

        Before the handshake is answered, and for a peer that does not answer in time, the connection is cut.
        """
        if self.disconnected or self.close_sent or self.transport.is_closing():
            return
        if not self.handshake_complete:
            self.transport.abort()
            return
        reason = reason.encode()[:MAX_REASON].decode(errors="ignore")
        try:
            self.conn.send_close(int(code), reason)
        except InvalidState:
            return
        self._ended(code, reason)
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._cut_unless_answered()

    def fail(self, code: Close, reason: str) -> None:
        """End the connection for what the peer did, without waiting for its close frame."""
        if self.close_sent or self.conn.state is not OPEN:
            return
        self.conn.fail(int(code), reason)
        self._ended(int(code), reason)
        self._close_transport()

    def _ended(self, code: int, reason: str) -> None:
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.close_sent = True
        self._flush()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            # A refusal is an answer too: uvicorn would complain that there was none.
            self.handshake_complete = True
        if message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self._cut_unless_answered()

    def _cut_unless_answered(self) -> None:
        # As uvicorn has it, but aborting: closing would wait for a peer that does not read.
        self.close_timer = self.loop.call_later(LINGER, self.transport.abort)

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._linger()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        if self.transport.is_closing():
            self._linger()

    def shutdown(self) -> None:
        super().shutdown()
        self._linger()

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if self.transport.is_closing():
            self._linger()

    def _close_transport(self) -> None:
        self.transport.close()
        self._linger()

    def _linger(self) -> None:
        """A closed transport first writes what is left: a peer that takes none of it is cut."""
        if not self.disconnected and self._linger_timer is None:
            self._linger_timer = self.loop.call_later(LINGER, self.transport.abort)


def _set_options(transport: BaseTransport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # macOS has the option, Python's socket module there has no name for it.
    lowat = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if lowat is not None:
        connection.setsockopt(socket.IPPROTO_TCP, lowat, UNSENT_IN_KERNEL)


redact_queries()
