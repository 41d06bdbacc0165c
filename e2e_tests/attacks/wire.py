"""A connection of which every byte is the attacker's."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import socket
import struct
import time
import zlib
from collections.abc import Sequence
from typing import Any

import msgpack
import orjson

CONTINUATION, TEXT, BINARY, CLOSE, PING = 0x0, 0x1, 0x2, 0x8, 0x9
FIN, RSV1 = 0x80, 0x40
CUT = 0
"""Stands for the close code of a connection that ended without one."""
ORIGIN = "https://game.test"


def frame(
    opcode: int, payload: bytes = b"", first: int = FIN, masked: bool = True, declared: int | None = None
) -> bytes:
    """One frame, masked with zeros, which masks nothing and is allowed."""
    size = len(payload) if declared is None else declared
    bit = 0x80 if masked else 0
    if size < 126:
        length = bytes((bit | size,))
    elif size < 65536:
        length = bytes((bit | 126,)) + struct.pack("!H", size)
    else:
        length = bytes((bit | 127,)) + struct.pack("!Q", size)
    return bytes((first | opcode,)) + length + (bytes(4) if masked else b"") + payload


def anywhere() -> str:
    """An address that nobody else has, as a proxy would tell it."""
    return ".".join(str(random.randrange(1, 255)) for _ in range(4))


class Wire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.opened = time.monotonic()
        self.messages: list[dict[str, Any]] = []
        self.binary = False
        self._inflating = zlib.decompressobj(wbits=-15)

    @classmethod
    async def connect(cls, port: int, *, narrow: bool = False) -> Wire:
        """`narrow` makes the kernel keep as little as it can for this socket."""
        connection = socket.socket()
        connection.setblocking(False)
        if narrow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 88)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=connection, limit=4096 if narrow else 1 << 20))

    async def __aenter__(self) -> Wire:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def status(self, within: float = 12.0) -> tuple[int, dict[str, str], str]:
        """Of the answer; status 0 when the connection ends without one."""
        try:
            async with asyncio.timeout(within):
                head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, {}, ""
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(first.split()[1])
        body = b"" if status == 101 else await self.reader.read(int(headers.get("content-length", "0")))
        return status, headers, body.decode()

    def say(self, message: object) -> None:
        payload: bytes = msgpack.packb(message) if self.binary else orjson.dumps(message)
        self.send(frame(BINARY if self.binary else TEXT, payload))

    async def read_frame(self) -> tuple[int, bytes]:
        """Raises IncompleteReadError or ConnectionError at the end."""
        first, size = await self.reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        payload = await self.reader.readexactly(size)
        if first & RSV1:
            payload = self._inflating.decompress(payload + b"\0\0\xff\xff")
        return first & 0x0F, payload

    async def next(self, *types: str, within: float = 10.0) -> dict[str, Any]:
        """The next message of these types. Raises AssertionError when the connection ends before."""
        async with asyncio.timeout(within):
            while True:
                opcode, payload = await self.read_frame()
                assert opcode != CLOSE, f"closed with {struct.unpack('!H', payload[:2])[0]} {payload[2:]!r}"
                if opcode not in (TEXT, BINARY):
                    continue
                message = msgpack.unpackb(payload) if opcode == BINARY else orjson.loads(payload)
                self.messages.append(message)
                if message["type"] in types:
                    return message  # type: ignore[no-any-return]

    async def ending(self, within: float = 12.0) -> int:
        """Read until the end; the code it was closed with, or CUT."""
        code = CUT
        try:
            async with asyncio.timeout(within):
                while True:
                    opcode, payload = await self.read_frame()
                    if opcode == CLOSE:
                        return int(struct.unpack("!H", payload[:2])[0])
                    if opcode in (TEXT, BINARY):
                        self.messages.append({"type": "?", "size": len(payload)})
        except (asyncio.IncompleteReadError, ConnectionError):
            return code

    async def alive(self) -> None:
        """The connection is kept: it still answers."""
        at = random.randrange(1 << 30)
        self.say({"type": "ping", "at": at})
        while (await self.next("pong"))["at"] != at:
            pass


def request(
    token: str | None = None,
    *,
    path: str = "/ws",
    origin: str | None = None,
    words: Sequence[str] = ("gameserver.v1.json",),
    version: str = "13",
    keys: int = 1,
    hosts: Sequence[str] = ("game.test",),
    address: str | None = None,
    more: Sequence[str] = (),
) -> bytes:
    """A handshake; everything about it can be wrong."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {path} HTTP/1.1", *(f"Host: {host}" for host in hosts), "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Key: {key}"] * keys + [f"Sec-WebSocket-Version: {version}"]
    offered = [*words, *([f"bearer.{token}"] if token is not None else [])]
    if offered:
        lines.append("Sec-WebSocket-Protocol: " + ", ".join(offered))
    if origin is not None:
        lines.append(f"Origin: {origin}")
    lines.append(f"X-Forwarded-For: {address or anywhere()}")
    return "\r\n".join([*lines, *more, "", ""]).encode("latin-1", "replace")


async def answer(port: int, sent: bytes, within: float = 12.0) -> tuple[int, dict[str, str], str]:
    """What a request is answered."""
    async with await Wire.connect(port) as wire:
        wire.send(sent)
        return await wire.status(within)


async def enter(port: int, token: str, *, narrow: bool = False, **options: Any) -> Wire:
    """Somebody who has been welcomed."""
    wire = await Wire.connect(port, narrow=narrow)
    wire.send(request(token, **options))
    status, headers, _ = await wire.status()
    assert status == 101, status
    wire.binary = headers["sec-websocket-protocol"] != "gameserver.v1.json"
    await wire.next("welcome")
    return wire
