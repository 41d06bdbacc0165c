"""Socket.IO: the server on node, and the one in Python on uvicorn. Both speak the same protocol (Engine.IO 4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import processes
from benchmarks.contestants import Contestant, Running
from benchmarks.peers.installing import node_packages, node_version, python_packages, run
from benchmarks.places import PEERS
from benchmarks.script import ID, Arguments, Message, Speech, request
from gameserver.bench.machine import Cores

PATH = "/socket.io/?EIO=4&transport=websocket"
PING, PONG = b"2", Message(b"3")
CONNECT = Message(b"40")


class SocketIo(Contestant):
    name = "socket.io"
    echoes = True

    def prepare(self) -> str:
        node_packages("socketio", "socket.io")
        return node_version("socketio", "socket.io")

    @contextmanager
    def start(self, cores: Cores, rooms: int) -> Iterator[Running]:
        node, environ = node_packages("socketio", "socket.io")
        command = (node, str(PEERS / "socketio_server.js"))
        with processes.started(command, cores.server, environ=environ) as (process, port):
            yield Running(port, [process.pid])

    def listeners(self) -> Speech:
        join = Message(b'420["join","{1}"]')
        return Speech(
            request(PATH), (b'0{"sid"', CONNECT, b"40{", join, b'430["joined"]'), ((PING, PONG),), b'"ok":true'
        )

    def publishers(self) -> Speech:
        return Speech(request(PATH), (b'0{"sid"', CONNECT, b"40{"), ((PING, PONG),), b'"ok":true')

    def listener(self, running: Running, room: int, number: int) -> Arguments:
        return (b"r%d" % room,)

    def message(self, payload: str) -> Message:
        return Message(f'42["publish","{{1}}","{payload}"]'.encode())

    def command(self) -> Message:
        # Every acknowledgement has the same number; the command's own id is in it as well.
        return Message(f'427["nothing",{{"id":"{ID}","what":7,"by":1}}]'.encode())


class PythonSocketIo(SocketIo):
    name = "python-socketio"

    def prepare(self) -> str:
        python = python_packages("python-socketio", "python-socketio", "uvicorn[standard]")
        asked = "from importlib.metadata import version; print(version('python-socketio'), version('uvicorn'))"
        socketio, uvicorn = run((str(python), "-c", asked), "python-socketio").split()
        return f"{socketio}, uvicorn {uvicorn}"

    @contextmanager
    def start(self, cores: Cores, rooms: int) -> Iterator[Running]:
        python = python_packages("python-socketio", "python-socketio", "uvicorn[standard]")
        command = (str(python), str(PEERS / "python_socketio_server.py"))
        with processes.started(command, cores.server) as (process, port):
            yield Running(port, [process.pid])
