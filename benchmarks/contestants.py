"""Who is measured: our bus, the floor and the peers, each as the load sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks import processes
from benchmarks.native import program
from benchmarks.script import ID, Arguments, Message, Speech, request
from gameserver.bench.machine import Cores
from gameserver.bench.processes import BenchmarkFailed


@dataclass(frozen=True, slots=True)
class Running:
    """A server that serves. `pids` are all processes of the server itself, `others` what it cannot do without."""

    port: int
    pids: list[int]
    others: Mapping[str, list[int]] = field(default_factory=dict)
    shared: Any = None
    """What its contestant has to remember of it."""

    @property
    def processes(self) -> dict[str, list[int]]:
        return {"server": self.pids, **self.others}


class Contestant(ABC):
    """A server, and how to speak with it. Rooms are numbered from 0."""

    name: str
    echoes = False
    """Whether commands are answered (W3)."""
    publishers_listen = False
    """Whether publishers get what they send."""
    most_idle = 100_000
    """Connections above which joining takes too long to be waited for (W4)."""

    @abstractmethod
    def prepare(self) -> str:
        """Install what is needed; the version. Raises Unavailable with the reason."""

    @abstractmethod
    def start(self, cores: Cores, rooms: int) -> AbstractContextManager[Running]:
        """A server with room for so many rooms."""

    @abstractmethod
    def listeners(self) -> Speech: ...

    @abstractmethod
    def listener(self, running: Running, room: int, number: int) -> Arguments: ...

    def publishers(self) -> Speech:
        return self.listeners()

    def publisher(self, running: Running, room: int) -> Arguments:
        return self.listener(running, room, 0)

    def commander(self, running: Running, number: int) -> Arguments:
        return self.listener(running, number, number)

    @abstractmethod
    def message(self, payload: str) -> Message:
        """What a publisher sends so that its room gets `payload`, which holds the marks of the script."""

    def command(self) -> Message:
        """A command with small arguments that is answered, by `listeners`' connections. Raises BenchmarkFailed where
        there is no such thing."""
        raise BenchmarkFailed(f"{self.name} answers no commands.")


class Floor(Contestant):
    """The least a server can do (native/floor.c): what is due for a room, written once per member."""

    echoes = True

    def __init__(self, *, joined: bool = True) -> None:
        self._joined = joined
        self.name = "floor (joined)" if joined else "floor (one write each)"

    def prepare(self) -> str:
        program("floor")
        return "C"

    @contextmanager
    def start(self, cores: Cores, rooms: int) -> Iterator[Running]:
        command = (str(program("floor")), "joined" if self._joined else "each")
        with processes.started(command, cores.server) as (process, port):
            yield Running(port, [process.pid])

    def listeners(self) -> Speech:
        return Speech(request("/{1}"))

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
