"""A server for tests: it says exactly what a test tells it to, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from gameserver.client import Client, Tuning
from gameserver.protocol.codec import CODECS, JSON
from gameserver.state.checksum import room_sum

DEADLINE = 5.0
PLAYER = "ann"
EPOCH = 7
HOME = ("global", f"private:{PLAYER}", "sector:1")

QUICK = Tuning(
    backoff_base=0.01,
    backoff_cap=0.02,
    resync_pause=0.02,
    resync_longest_pause=0.1,
    resync_patience=0.1,
    dial_timeout=2,
    welcome_timeout=2,
    close_timeout=0.5,
)

Make = Callable[..., Client]
"""Makes a client of the fake server that has begun to connect; takes what `Client` takes."""

Refusal = Callable[[ServerConnection, Request], Response | None]


class Peer:
    """One connection, from the server's side."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.codec = CODECS[socket.subprotocol] if socket.subprotocol else JSON
        offered = ",".join(socket.request.headers.get_all("Sec-WebSocket-Protocol"))
        self.offers = [offer.strip() for offer in offered.split(",")]

    async def send(self, *messages: Any) -> None:
        for message in messages:
            await self.socket.send(self.codec.encode(message), text=self.codec.text)

    async def next(self, kind: str | None = None) -> dict[str, Any]:
        """The next message, or the next of a type; others are passed over."""
        async with asyncio.timeout(DEADLINE):
            while True:
                message = self.codec.decode(await self.socket.recv(decode=False))
                if kind is None or message["type"] == kind:
                    return message

    async def welcome(self, *rooms: str, **more: Any) -> None:
        """What a server says first: `welcome`, and a snapshot of each room."""
        await self.send(welcome(**more), *(snapshot(room) for room in rooms))

    async def close(self, code: int, reason: str = "") -> None:
        async with asyncio.timeout(DEADLINE):
            await self.socket.close(code, reason)

    def cut(self) -> None:
        self.socket.transport.abort()

    async def gone(self) -> int | None:
        """The code the client closed with."""
        async with asyncio.timeout(DEADLINE):
            await self.socket.wait_closed()
        return self.socket.close_code


class FakeServer:
    """`refuse` may answer a handshake with an HTTP response instead."""

    def __init__(self) -> None:
        self.refuse: Refusal = lambda connection, request: None
        self.handshakes = 0
        self.url = ""
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self._server: Server | None = None

    async def start(self) -> None:
        self._server = await serve(
            self._accepted,
            "127.0.0.1",
            0,
            process_request=self._asked,
            select_subprotocol=first_encoding,
            compression=None,
            ping_interval=None,
            close_timeout=1,
        )
        host, port = next(iter(self._server.sockets)).getsockname()
        self.url = f"ws://{host}:{port}/ws"

    async def peer(self) -> Peer:
        """The next connection."""
        async with asyncio.timeout(DEADLINE):
            return await self._peers.get()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        async with asyncio.timeout(DEADLINE):
            await self._server.wait_closed()

    def _asked(self, connection: ServerConnection, request: Request) -> Response | None:
        self.handshakes += 1
        return self.refuse(connection, request)

    async def _accepted(self, socket: ServerConnection) -> None:
        self._peers.put_nowait(Peer(socket))
        await socket.wait_closed()


def first_encoding(connection: ServerConnection, offers: Sequence[Subprotocol]) -> Subprotocol | None:
    """As the protocol has it: the first encoding known, and never the token."""
    return next((offer for offer in offers if offer in CODECS), None)


def welcome(**more: Any) -> dict[str, Any]:
    return {
        "type": "welcome",
        "session": "s1",
        "resume_token": "r1",
        "player": PLAYER,
        "worker": "w1",
        "now": 1_700_000_000_000,
        "heartbeat": 20,
        "limits": {"command_memory_s": 60},
        "commands": {},
        "schema": {},
        **more,
    }


def snapshot(room: str, seq: int = 10, state: Any = None, epoch: int = EPOCH) -> dict[str, Any]:
    held = {"ship:a": {"x": 1}} if state is None else state
    return {"type": "snapshot", "room": room, "epoch": epoch, "seq": seq, "state": held, "sum": room_sum(held)}


def delta(room: str, prev: int, seq: int, **more: Any) -> dict[str, Any]:
    return {"type": "delta", "room": room, "prev": prev, "seq": seq, **more}


def verify(room: str, seq: int, total: int) -> dict[str, Any]:
    return {"type": "verify", "room": room, "epoch": EPOCH, "seq": seq, "sum": total}


def acknowledge(command: dict[str, Any], **seq: int) -> dict[str, Any]:
    return {"type": "command_ack", "id": command["id"], "ok": True, "seq": seq}


async def both(server: FakeServer, client: Make, **options: Any) -> tuple[Client, Peer]:
    """A client that is ready, and its peer."""
    one = client(**options)
    peer = await server.peer()
    await peer.welcome(*HOME)
    await one.ready(timeout=DEADLINE)
    return one, peer
