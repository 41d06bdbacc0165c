"""What the load is to do, written as the script that `native/load.c` reads, and what it measured."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.native import program
from gameserver.bench.machine import allow_many_connections
from gameserver.bench.processes import BenchmarkFailed

STAMP = "@T:" + 16 * "#"
"""In a message: becomes the time at which it was due. Whoever receives it has received one delivery."""
ID = "@I:" + 8 * "#"
"""In a message: becomes an id of its own, which its answer must contain."""
TURN = "$$"
"""In a message: two digits that count on, per connection."""
PATIENCE = 180.0
"""Seconds for joining and draining, beyond the time that is measured."""
OPCODES = {True: "text", False: "binary"}


@dataclass(frozen=True, slots=True)
class Message:
    """A frame's payload; `{1}` to `{4}` in it are the connection's arguments, and the marks above are filled in."""

    payload: bytes
    text: bool = True


@dataclass(frozen=True, slots=True)
class Speech:
    """How one talks with a server: the handshake, then what to send and what to wait for in turn.

    `replies` are answers to frames that begin with something (heartbeats above the protocol); `accepted` stands in
    the answer to a command that was not refused.
    """

    request: bytes
    steps: tuple[Message | bytes, ...] = ()
    replies: tuple[tuple[bytes, Message], ...] = ()
    accepted: bytes = b""


Arguments = tuple[bytes, ...]
Figures = dict[str, Any]


def request(path: str, *headers: str) -> bytes:
    """A WebSocket handshake."""
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *headers,
    )
    return "\r\n".join((*lines, "", "")).encode()


def escaped(raw: bytes) -> str:
    """Printable, without tabs and line ends."""
    return "".join(chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\x{byte:02x}" for byte in raw)


@dataclass(slots=True)
class Script:
    """Lines in the order in which they happen. `seconds` adds up what the phases take."""

    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def say(self, *words: object) -> None:
        self.lines.append("\t".join(map(str, words)))

    def group(
        self, name: str, speech: Speech, connections: Sequence[Arguments], *, slow: bool = False, churn: float = 0.0
    ) -> None:
        """Connections that talk alike. `slow` ones read little; `churn` leave and others join every second."""
        self.say("group", name)
        self.say("request", escaped(speech.request))
        for step in speech.steps:
            if isinstance(step, bytes):
                self.say("expect", escaped(step))
            else:
                self.say("send", OPCODES[step.text], escaped(step.payload))
        for begins, answer in speech.replies:
            self.say("reply", escaped(begins), OPCODES[answer.text], escaped(answer.payload))
        if speech.accepted:
            self.say("accepted", escaped(speech.accepted))
        if slow:
            self.say("slow")
        if churn:
            self.say("churn", churn)
        for arguments in connections:
            self.say("connection", *map(escaped, arguments))

    def join(self, name: str) -> None:
        self.say("join", name)

    def phase(
        self,
        name: str,
        kind: str,
        group: str,
        message: Message | None,
        amount: float,
        *,
        seconds: float,
        warm_up: float,
        many: int = 1,
        subscribers: int = 0,
        interval: float = 0.0,
    ) -> None:
        """`quiet`: listen. `saturated`: each connection keeps `amount` commands on the way. `window`: `amount`
        messages on the way to all `subscribers` of a room. `paced`: `amount` bursts a second of `many` messages, the
        connections taking turns."""
        self.seconds += seconds + warm_up
        opcode = OPCODES[message.text] if message else "text"
        payload = escaped(message.payload) if message else ""
        self.say(
            "phase", name, kind, group, amount, many, subscribers or 1, warm_up, seconds, interval, opcode, payload
        )

    def results(self, port: int, core: int | None, processes: dict[str, list[int]]) -> Iterator[Figures]:
        """What the load says, as it comes. Raises BenchmarkFailed when it gives up."""
        head = [f"port\t{port}"] + ([] if core is None else [f"core\t{core}"])
        head += ["\t".join(("process", name, *map(str, pids))) for name, pids in processes.items() if pids]
        with tempfile.TemporaryFile("w+") as order, tempfile.TemporaryFile("w+") as log:
            order.write("\n".join((*head, *self.lines, "")))
            order.seek(0)
            process = subprocess.Popen(
                (str(program("load")),),
                stdin=order,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,
                preexec_fn=allow_many_connections,
            )
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    yield json.loads(line)
                process.wait(self.seconds + PATIENCE)
            finally:
                process.kill()
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()
            if process.returncode:
                log.seek(0)
                raise BenchmarkFailed(f"the load gave up: {log.read()[-600:].strip() or process.returncode}")

    def run(self, port: int, core: int | None, processes: dict[str, list[int]]) -> list[Figures]:
        return list(self.results(port, core, processes))
