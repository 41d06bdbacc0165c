"""nats-server over WebSocket: a message broker, subjects for rooms."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import processes
from benchmarks.contestants import Contestant, Running
from benchmarks.peers.installing import debian_packages, run
from benchmarks.script import Arguments, Message, Speech, request
from gameserver.bench.machine import Cores
from gameserver.bench.store import free_port

CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"echo":true}\r\n'
PING, PONG = b"PING", Message(b"PONG\r\n", text=False)
CONFIGURATION = """
host: 127.0.0.1
port: {clients}
max_connections: 100000
websocket {{
  host: 127.0.0.1
  port: {port}
  no_tls: true
  compression: false
}}
"""


class Nats(Contestant):
    name = "NATS"

    def prepare(self) -> str:
        return run((str(_binary()), "--version"), "nats-server").strip().removeprefix("nats-server: v")

    @contextmanager
    def start(self, cores: Cores, rooms: int) -> Iterator[Running]:
        port = free_port()
        with tempfile.TemporaryDirectory() as folder:
            configuration = Path(folder, "nats.conf")
            configuration.write_text(CONFIGURATION.format(port=port, clients=free_port()))
            command = (str(_binary()), "--config", str(configuration))
            with processes.started(command, cores.server, port=port) as (process, _):
                yield Running(port, [process.pid])

    def listeners(self) -> Speech:
        subscribe = Message(CONNECT + b"SUB {1} 1\r\nPING\r\n", text=False)
        return Speech(request("/"), (subscribe, b"PONG"), ((PING, PONG),))

    def publishers(self) -> Speech:
        return Speech(request("/"), (Message(CONNECT + b"PING\r\n", text=False), b"PONG"), ((PING, PONG),))

    def listener(self, running: Running, room: int, number: int) -> Arguments:
        return (b"r%d" % room,)

    def message(self, payload: str) -> Message:
        return Message(f"PUB {{1}} {len(payload)}\r\n{payload}\r\n".encode(), text=False)


def _binary() -> Path:
    return debian_packages("nats", "nats-server") / "usr" / "sbin" / "nats-server"
