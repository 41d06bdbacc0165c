"""Colyseus with its schema: messages change the rooms' state, and patches of it reach the clients."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import msgpack

from benchmarks import processes
from benchmarks.contestants import Contestant, Running
from benchmarks.peers.installing import node_packages, node_version
from benchmarks.places import PEERS
from benchmarks.script import TURN, Arguments, Message, Speech, request
from gameserver.bench.machine import Cores

PACKAGES = ("@colyseus/core@0.18", "@colyseus/ws-transport@0.18", "@colyseus/schema@5", "express@5")
"""Its core needs express without saying so, and npm would take an older core for an older node."""
JOIN_ROOM, ROOM_DATA = b"\x0a", b"\x0d"
PATCH_MS = 50


class Colyseus(Contestant):
    name = "Colyseus"
    publishers_listen = True
    most_idle = 1000

    def prepare(self) -> str:
        node_packages("colyseus", *PACKAGES)
        return node_version("colyseus", "@colyseus/core")

    @contextmanager
    def start(self, cores: Cores, rooms: int) -> Iterator[Running]:
        node, environ = node_packages("colyseus", *PACKAGES)
        command = (node, str(PEERS / "colyseus_server.js"))
        environ = environ | {"PATCH_MS": str(PATCH_MS)}
        with processes.started(command, cores.server, environ=environ) as (process, port):
            yield Running(port, [process.pid])

    def listeners(self) -> Speech:
        # The server's JOIN_ROOM is answered by the client's, and only then the state comes.
        return Speech(request("/{1}"), (JOIN_ROOM, Message(JOIN_ROOM, text=False)))

    def listener(self, running: Running, room: int, number: int) -> Arguments:
        """Seats are reserved over HTTP, one each."""
        order = urllib.request.Request(
            f"http://127.0.0.1:{running.port}/matchmake/joinOrCreate/sector",
            json.dumps({"number": room}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(order, timeout=10) as answer:
            seat = json.load(answer)
        place = seat.get("room", seat)
        return (f"{place['processId']}/{place['roomId']}?sessionId={seat['sessionId']}".encode(),)

    def message(self, payload: str) -> Message:
        content = msgpack.packb({"slot": TURN, "text": payload})
        return Message(ROOM_DATA + msgpack.packb("mark") + content, text=False)
