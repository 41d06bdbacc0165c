"""The channel of a connection served by our own uvicorn protocol: frames go straight to the transport."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from websockets.protocol import OPEN

if TYPE_CHECKING:
    from gameserver.asgi.websocket import GameserverProtocol

TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
PING = b"\x89\x00"
"""A ping frame without payload (RFC 6455, 5.5.2)."""
RTT = struct.Struct("68xI")
"""Where Linux's tcp_info has the smoothed round trip, in microseconds."""


class DirectChannel:
    """Implements `gameserver.runtime.channel.Channel`. `text` is set by whoever accepts the handshake.

    The transport's write buffer has a limit of 0, so that the protocol is told both when the first byte stays
    behind (`on_paused`) and when the last one left (`on_resumed`).
    """

    __slots__ = ("_alive_at", "_drained", "_loop", "_protocol", "_socket", "_taken", "_transport", "_written", "text")

    def __init__(self, protocol: GameserverProtocol, transport: asyncio.Transport) -> None:
        self.text = True
        self._protocol = protocol
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        self._loop = protocol.loop
        self._drained: Callable[[], None] | None = None
        self._written = 0
        self._taken = 0
        self._alive_at = self._loop.time()

    def write(self, frame: bytes) -> None:
        # After a close frame nothing may follow; before the handshake is answered nothing may precede it. A
        # connection that was lost stays open to the state machine, and uvloop raises when a closed one is written to.
        if self._protocol.conn.state is OPEN and not self._transport.is_closing():
            self._written += len(frame)
            self._transport.write(frame)

    def unsent(self) -> int:
        return 0 if self._protocol.disconnected else self._transport.get_write_buffer_size()

    def on_drained(self, callback: Callable[[], None]) -> None:
        self._drained = callback

    def close(self, code: int, reason: str) -> None:
        self._protocol.begin_close(code, reason)

    def abort(self) -> None:
        self._transport.abort()

    @property
    def slack(self) -> int:
        return 0

    def ping(self) -> None:
        self.write(PING)

    def rtt(self) -> float | None:
        if self._socket is None or TCP_INFO is None or self._protocol.disconnected:
            return None
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, TCP_INFO, RTT.size)
        except OSError:
            return None
        return float(RTT.unpack(info)[0]) / 1e6

    def heard(self) -> None:
        self._alive_at = self._loop.time()

    def last_alive(self) -> float:
        unsent = self.unsent()
        taken = self._written - unsent
        if unsent and taken > self._taken:
            self._taken = taken
            self.heard()
        return self._alive_at

    def on_paused(self) -> None:
        """Something stays unsent: from here on, what is taken is taken by the peer."""
        self._taken = self._written - self.unsent()

    def on_resumed(self) -> None:
        """Nothing is unsent any more."""
        self.heard()
        if self._drained is not None:
            self._drained()
