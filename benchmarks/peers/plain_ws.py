"""`ws` on node: no protocol above WebSocket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import processes
from benchmarks.contestants import Contestant, Running
from benchmarks.peers.installing import node_packages, node_version
from benchmarks.places import PEERS
from benchmarks.script import ID, Arguments, Message, Speech, request
from gameserver.bench.machine import Cores


class PlainWs(Contestant):
    name = "ws"
    echoes = True

    def prepare(self) -> str:
        node_packages("ws", "ws")
        return node_version("ws", "ws")

    @contextmanager
    def start(self, cores: Cores, rooms: int) -> Iterator[Running]:
        node, environ = node_packages("ws", "ws")
        command = (node, str(PEERS / "ws_server.js"))
        with processes.started(command, cores.server, environ=environ) as (process, port):
            yield Running(port, [process.pid])

    def listeners(self) -> Speech:
        return Speech(request("/{1}"), accepted=b'"ok":true')

    def listener(self, running: Running, room: int, number: int) -> Arguments:
        return (b"room/%d" % room,)

    def publisher(self, running: Running, room: int) -> Arguments:
        return (b"publish", b"%04d" % room)

    def commander(self, running: Running, number: int) -> Arguments:
        return (b"echo",)

    def message(self, payload: str) -> Message:
        return Message(b"{2}" + payload.encode())

    def command(self) -> Message:
        return Message(f'{{"type":"nothing","id":"{ID}","what":7,"by":1}}'.encode())
