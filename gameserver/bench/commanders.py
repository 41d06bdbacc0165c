"""Players that send commands and count the answers: one process for all, `python -m gameserver.bench.commanders`.

In a *saturated* phase every player has a fixed number of commands on the way, and sends the next when one is
answered. In a *paced* phase commands are due at fixed times, whatever the answers do, and a latency counts from the
time the command was due: a server that stalls is charged for everybody who would have come meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from array import array
from typing import Any

import uvloop

from gameserver.asgi.auth import issue_token
from gameserver.bench.figures import quantile
from gameserver.bench.machine import allow_many_connections, cpu_seconds
from gameserver.bench.pace import Pace
from gameserver.bench.processes import read_task
from gameserver.bench.wire import Frame, Player, client_frame, join_all
from gameserver.protocol.codec import CODECS, Codec
from gameserver.settings import Settings

WARM_UP = 0.4
DRAIN = 5.0
"""Seconds in which everything that was sent must have been answered."""
BEATS = 1000.0
DIGITS = 8
PLACEHOLDER = "#" * DIGITS


class Commander(Player):
    """One player; ids are unique because they only grow."""

    def __init__(self, codec: Codec, token: str, crew: Crew, number: int) -> None:
        super().__init__(codec, token)
        self._crew = crew
        self._number = number
        self._head = self._tail = b""
        # Both encodings put the id, of fixed length, right behind this.
        self._before_id = b'"id":"' if codec.text else b"\xa2id" + bytes((0xA0 + DIGITS,))
        self._accepted = b'"ok":true' if codec.text else b"\xa2ok\xc3"

    def speak(self, command: str, what: int | None) -> None:
        """From now on send this command, about `what` or else about a thing of one's own."""
        message = {"type": command, "id": PLACEHOLDER, "what": self._number if what is None else what, "by": 1}
        frame = client_frame(self.codec.encode(message), self.codec.text)
        self._head, _, self._tail = frame.partition(PLACEHOLDER.encode())

    def command(self, number: int) -> bytes:
        return b"%b%08d%b" % (self._head, number, self._tail)

    def frames_received(self, frames: list[Frame]) -> None:
        answered = []
        for _, payload in frames:
            # Other messages (checksums, presence) are not ours to judge.
            if payload.find(b"command_ack", 0, 32) < 0:
                continue
            at = payload.find(self._before_id) + len(self._before_id)
            answered.append(int(payload[at : at + DIGITS]))
            self._crew.count(self._accepted in payload)
        if answered:
            self._crew.answered(self, answered)


class Crew:
    """All commanders of one process and what they counted."""

    def __init__(self, server_pids: list[int]) -> None:
        self.commanders: list[Commander] = []
        self._pids = server_pids
        self._next = 0
        self._open = 0
        self._sending = False
        self._accepted = 0
        self._refused = 0
        self._quiet = asyncio.Event()
        self._due: dict[int, float] = {}
        self._latencies = array("d")
        self._paced = False

    def count(self, accepted: bool) -> None:
        self._accepted += accepted
        self._refused += not accepted

    def answered(self, commander: Commander, numbers: list[int]) -> None:
        self._open -= len(numbers)
        if self._paced:
            now = time.monotonic()
            self._latencies.extend(now - self._due.pop(number) for number in numbers if number in self._due)
        elif self._sending:
            self._send(commander, len(numbers))
        if not self._open:
            self._quiet.set()

    def _send(self, commander: Commander, many: int) -> None:
        first = self._next
        self._next += many
        self._open += many
        commander.transport.write(b"".join(map(commander.command, range(first, first + many))))

    async def saturate(self, depth: int, seconds: float) -> dict[str, Any]:
        """Every player keeps `depth` commands on the way."""
        self._begin(paced=False)
        for commander in self.commanders:
            self._send(commander, depth)
        await asyncio.sleep(WARM_UP)
        accepted, refused = self._accepted, self._refused
        started, cpu, own = time.perf_counter(), cpu_seconds(self._pids), time.process_time()
        await asyncio.sleep(seconds)
        measured = {
            "accepted": self._accepted - accepted,
            "refused": self._refused - refused,
            "seconds": time.perf_counter() - started,
            "cpu_seconds": cpu_seconds(self._pids) - cpu,
            "load_cpu_seconds": time.process_time() - own,
        }
        await self._end()
        return measured

    async def keep_pace(self, rate: float, seconds: float) -> dict[str, Any]:
        """`rate` commands a second, by all players in turn.

        Times are in seconds; `late` is by how much commands were sent after they were due.
        """
        self._begin(paced=True)
        start = time.monotonic() + 0.05
        end = start + WARM_UP + seconds
        sent, late = 0, array("d")

        def beat() -> None:
            nonlocal sent
            now = time.monotonic()
            while (due := start + sent / rate) <= min(now, end):
                if due >= start + WARM_UP:
                    self._due[self._next] = due
                    late.append(now - due)
                self._send(self.commanders[sent % len(self.commanders)], 1)
                sent += 1

        refused = self._refused
        pace = Pace(min(BEATS, rate), start, beat)
        await asyncio.sleep(end - time.monotonic())
        pace.stop()
        await self._end()
        ordered = sorted(self._latencies)
        return {
            "answered": len(ordered),
            "refused": self._refused - refused,
            "p50": quantile(ordered, 0.50),
            "p99": quantile(ordered, 0.99),
            "worst": ordered[-1],
            "late_p99": quantile(sorted(late), 0.99),
        }

    def speak(self, command: str, what: int | None) -> None:
        for commander in self.commanders:
            commander.speak(command, what)

    def _begin(self, *, paced: bool) -> None:
        self._sending, self._paced = True, paced
        self._due.clear()
        self._latencies = array("d")
        self._quiet.clear()

    async def _end(self) -> None:
        """Raises TimeoutError when something was never answered, ConnectionError when a player was lost."""
        self._sending = False
        if self._open:
            async with asyncio.timeout(DRAIN):
                await self._quiet.wait()
        if any(commander.lost for commander in self.commanders):
            raise ConnectionError("the server closed players' connections")


async def run(
    port: int, encoding: str, players: int, server_pids: list[int], phases: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """One result per phase: `{"command", "what", "seconds"}` and either `depth` or `rate`."""
    settings = Settings.load(os.environ)
    crew = Crew(server_pids)
    for number in range(players):
        token = issue_token(settings, f"c-{number}")
        crew.commanders.append(Commander(CODECS[encoding], token, crew, number))
    await join_all(port, crew.commanders)
    results = []
    for phase in phases:
        crew.speak(phase["command"], phase.get("what"))
        if "depth" in phase:
            results.append(await crew.saturate(phase["depth"], phase["seconds"]))
        else:
            results.append(await crew.keep_pace(phase["rate"], phase["seconds"]))
    return results


if __name__ == "__main__":
    allow_many_connections()
    print(json.dumps(uvloop.run(run(**read_task()))))
