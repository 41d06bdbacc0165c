"""A WebSocket client with as little in it as a load generator needs, so that the server is the bottleneck.

Frames are masked by the key 0: the server has the same work to undo it, and frames can be made once and sent often.
"""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from typing import Any, cast

from gameserver.protocol.codec import Codec

CLOSE = 8
KEY = bytes(4)
OPEN_DEADLINE = 30.0

Frame = tuple[int, bytes]
"""Opcode and payload."""


def client_frame(payload: bytes, text: bool) -> bytes:
    """One message of a client, ready to be sent."""
    size = len(payload)
    opcode = 0x81 if text else 0x82
    if size < 126:
        return bytes((opcode, 0x80 | size)) + KEY + payload
    return struct.pack("!BBH", opcode, 0x80 | 126, size) + KEY + payload


def take_frames(data: bytes) -> tuple[list[Frame], bytes]:
    """The complete server frames at the beginning of `data`, and what is left behind them."""
    frames: list[Frame] = []
    at, end = 0, len(data)
    while end - at >= 2:
        size, start = data[at + 1], at + 2
        if size == 126:
            start = at + 4
            size = int.from_bytes(data[at + 2 : start], "big")
        elif size == 127:
            start = at + 10
            size = int.from_bytes(data[at + 2 : start], "big")
        if start > end or start + size > end:
            break
        frames.append((data[at] & 0x0F, data[start : start + size]))
        at = start + size
    return frames, data[at:]


class Player(asyncio.Protocol):
    """One player's connection. Subclasses say what to do with frames once it is `ready`: in its sector."""

    def __init__(self, codec: Codec, token: str) -> None:
        self.codec = codec
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = False
        self.received_bytes = 0
        self.transport: asyncio.Transport
        self._token = token
        self._rest = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            "GET /ws HTTP/1.1",
            "Host: benchmark",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: {self.codec.subprotocol}",
            f"Authorization: Bearer {self._token}",
        )
        self.transport.write("\r\n".join((*lines, "", "")).encode())

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if not self._upgraded:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self._fail(head.partition(b"\r\n")[0].decode("latin-1"))
                return
            self._upgraded = True
        frames, self._rest = take_frames(data)
        self.received_bytes += len(data) - len(self._rest)
        if frames:
            if frames[-1][0] == CLOSE:
                self._fail(f"closed: {frames[-1][1][2:].decode(errors='replace')}")
            elif self.ready.done():
                self.frames_received(frames)
            else:
                self._look_for_sector(frames)

    def _look_for_sector(self, frames: list[Frame]) -> None:
        for _, payload in frames:
            message: Any = self.codec.decode(payload)
            if message["type"] == "snapshot" and message["room"].startswith("sector:") and not self.ready.done():
                self.ready.set_result(None)

    def frames_received(self, frames: list[Frame]) -> None:
        """Complete frames, after the connection became ready."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(str(exc or "the server closed the connection"))

    def _fail(self, why: str) -> None:
        self.lost = True
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"a player could not join: {why}"))


async def join(port: int, player: Player) -> None:
    """Connect a player and wait until it has its sector's snapshot. Raises ConnectionError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(OPEN_DEADLINE):
        await loop.create_connection(lambda: player, "127.0.0.1", port)
        await player.ready


async def join_all(port: int, players: list[Any], at_once: int = 64) -> None:
    """Connect all, so many at a time. Raises ConnectionError when one is refused."""
    gate = asyncio.Semaphore(at_once)

    async def one(player: Player) -> None:
        async with gate:
            await join(port, player)

    async with asyncio.TaskGroup() as group:
        for player in players:
            group.create_task(one(player))
