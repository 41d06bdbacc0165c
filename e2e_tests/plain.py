"""A client made of `websockets` and `json`, by docs/protocol.md alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from e2e_tests.store import State, checksum

JSON, MSGPACK = "gameserver.v1.json", "gameserver.v1.msgpack"
Message = dict[str, Any]


@dataclass
class Room:
    """`verified` counts checksums that were compared and right."""

    epoch: int
    seq: int
    state: State
    verified: int = 0
    events: list[Message] = field(default_factory=list)


class Plain:
    """Reads messages one by one and keeps its rooms; any message that breaks a rule of deltas fails the test."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.rooms: dict[str, Room] = {}
        self.received: list[Message] = []

    async def send(self, type: str, **fields: Any) -> None:
        message = {"type": type, **fields}
        text = self.socket.subprotocol != MSGPACK
        await self.socket.send(json.dumps(message) if text else msgpack.packb(message))

    async def read(self, timeout: float = 5.0) -> Message:
        """The next message, taken in."""
        async with asyncio.timeout(timeout):
            raw = await self.socket.recv()
        message: Message = json.loads(raw) if isinstance(raw, str) else msgpack.unpackb(raw)
        self.received.append(message)
        self._take(message)
        return message

    async def until(self, fits: Callable[[Message], object], timeout: float = 10.0) -> Message:
        """Read on until a message fits."""
        async with asyncio.timeout(timeout):
            while True:
                message = await self.read(timeout)
                if fits(message):
                    return message

    async def shows(self, fits: Callable[[], object], timeout: float = 10.0) -> None:
        """Read on until the rooms are as wanted."""
        async with asyncio.timeout(timeout):
            while not fits():
                await self.read(timeout)

    async def command(self, name: str, **arguments: Any) -> Message:
        """Its `command_ack`."""
        command_id = f"plain-{len(self.received)}"
        await self.send(name, id=command_id, **arguments)
        return await self.until(lambda message: message.get("id") == command_id)

    async def closed(self, timeout: float = 10.0) -> int:
        """Read to the end; the close code, 1006 when it was lost without a close frame."""
        with suppress(ConnectionClosed):
            while True:
                await self.read(timeout)
        return self.socket.close_code or 0

    @property
    def sector(self) -> str:
        return next(room for room in self.rooms if room.startswith("sector:"))

    def _take(self, message: Message) -> None:
        match message:
            case {"type": "snapshot", "room": name, "epoch": epoch, "seq": seq, "state": state, "sum": total}:
                assert checksum(state) == total, f"[SNAP2] {name}"
                self.rooms[name] = Room(epoch, seq, state)
            case {"type": "delta", "room": name}:
                self._apply(self.rooms[name], message)
            case {"type": "verify", "room": name, "epoch": epoch, "seq": seq, "sum": total}:
                room = self.rooms[name]
                assert (epoch, seq) == (room.epoch, room.seq), f"[VER3] {name}"
                assert checksum(room.state) == total, f"[VER2] {name} at {seq}"
                room.verified += 1
            case {"type": "left", "room": name}:
                del self.rooms[name]

    def _apply(self, room: Room, delta: Message) -> None:
        assert "partial" not in delta, "this client is never slow"
        assert delta["prev"] <= room.seq < delta["seq"], delta
        for entity in delta.get("del", ()):
            room.state.pop(entity, None)
        for entity, fields in delta.get("set", {}).items():
            held = room.state.setdefault(entity, {})
            held.update(fields)
            for gone in [name for name, value in fields.items() if value is None]:
                del held[gone]
        room.seq = delta["seq"]
        room.events += delta.get("events", ())


@asynccontextmanager
async def plain(
    url: str,
    token: str | None = None,
    *offers: str,
    origin: str | None = None,
    headers: dict[str, str] | None = None,
) -> AsyncIterator[Plain]:
    """A connection that offers these subprotocols, and the token as one more. Raises what `websockets` raises."""
    subprotocols: Sequence[Subprotocol] = [Subprotocol(offer) for offer in offers]
    if token is not None:
        subprotocols = [*subprotocols, Subprotocol(f"bearer.{token}")]
    async with connect(
        url,
        subprotocols=subprotocols or None,
        origin=None if origin is None else Origin(origin),
        additional_headers=headers,
        proxy=None,
        # A client that is done reads no more, and closes in time all the same.
        max_queue=None,
    ) as socket:
        yield Plain(socket)


@asynccontextmanager
async def playing(url: str, token: str, encoding: str = JSON) -> AsyncIterator[Plain]:
    """Welcomed, with all home rooms."""
    async with plain(url, token, encoding) as client:
        await client.shows(lambda: any(room.startswith("sector:") for room in client.rooms))
        yield client
