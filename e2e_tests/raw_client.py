"""A WebSocket client close to its socket: it can stop reading, and count without decoding."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from collections.abc import Callable
from typing import cast

TCP_MAXSEG = 88
"""The smallest segment Linux allows: with it the kernel holds about 70 kB for a reader that does not read."""


TEXT, PING, PONG = 0x1, 0x9, 0xA


class RawClient(asyncio.Protocol):
    """`on_message(payload)` is called with every text message's payload, in order."""

    def __init__(self, on_message: Callable[[bytes], None]) -> None:
        self.on_message = on_message
        self.received = 0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    @classmethod
    async def connect(
        cls, port: int, token: str, on_message: Callable[[bytes], None], *, narrow: bool = False
    ) -> RawClient:
        """Connect to /ws in JSON; `narrow` makes the kernel keep as little as it can for this socket."""
        loop = asyncio.get_running_loop()
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        if narrow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, TCP_MAXSEG)
        await loop.sock_connect(connection, ("127.0.0.1", port))
        _, client = await loop.create_connection(lambda: cls(on_message), sock=connection)
        key = base64.b64encode(os.urandom(16)).decode()
        assert client.transport is not None
        client.transport.write(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: gameserver.v1.json\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        await asyncio.wait_for(client.opened, 20)
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods without being asyncio's class.
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.closed, self.opened):
            if not future.done():
                future.set_result(None)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self._buffer += data
        if not self.opened.done():
            head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not found:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._buffer = bytearray(rest)
            self.opened.set_result(None)
        self._split()

    def _split(self) -> None:
        buffer, start = self._buffer, 0
        while len(buffer) - start >= 2:
            size, head = buffer[start + 1], 2
            if size == 126:
                size, head = int.from_bytes(buffer[start + 2 : start + 4], "big"), 4
            elif size == 127:
                size, head = int.from_bytes(buffer[start + 2 : start + 10], "big"), 10
            if len(buffer) - start < head + size:
                break
            payload = bytes(buffer[start + head : start + head + size])
            if buffer[start] & 0x0F == TEXT:
                self.on_message(payload)
            elif buffer[start] & 0x0F == PING:
                self._send(PONG, payload)
            start += head + size
        del buffer[:start]

    def send(self, payload: bytes) -> None:
        """One masked text message (with a mask of zeros, which masks nothing and is allowed)."""
        self._send(TEXT, payload)

    def _send(self, opcode: int, payload: bytes) -> None:
        assert self.transport is not None
        assert len(payload) < 126
        self.transport.write(bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload)

    def pause(self) -> None:
        assert self.transport is not None
        self.transport.pause_reading()

    def resume(self) -> None:
        assert self.transport is not None
        self.transport.resume_reading()

    def close(self) -> None:
        assert self.transport is not None
        self.transport.abort()
