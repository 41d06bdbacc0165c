"""Players that only listen: `python -m gameserver.bench.receivers` counts what reaches them and how old it is.

The tick writes the wall clock's time into the room's state when it begins; the difference to the clock when the
bytes are read is the latency of a delivery. Sender and receiver share the machine's clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import time
from array import array
from typing import Any

import uvloop

from gameserver.asgi.auth import issue_token
from gameserver.bench.figures import quantile
from gameserver.bench.machine import allow_many_connections, cpu_seconds, resident_bytes
from gameserver.bench.processes import read_task
from gameserver.bench.wire import Frame, Player, join_all
from gameserver.bench.world import HZ, room_of
from gameserver.protocol.codec import CODECS, Codec
from gameserver.settings import Settings

SETTLE = 1.0
"""Seconds after the last player joined before anything is measured."""
_DOUBLE = struct.Struct(">d").unpack_from


class Receiver(Player):
    """Reads the stamp out of each frame without decoding the rest."""

    def __init__(self, codec: Codec, token: str, room: str, tally: Tally) -> None:
        super().__init__(codec, token)
        self.room = room
        self._tally = tally
        self._marker = b'"stamp":' if codec.text else b"\xa5stamp\xcb"

    def frames_received(self, frames: list[Frame]) -> None:
        tally = self._tally
        if not tally.counting:
            return
        now = time.time()
        tally.frames += len(frames)
        for _, payload in frames:
            at = payload.find(self._marker)
            if at >= 0:
                tally.note(self.room, self._stamp(payload, at + len(self._marker)), now)

    def _stamp(self, payload: bytes, at: int) -> float:
        if not self.codec.text:
            stamp: float = _DOUBLE(payload, at)[0]
            return stamp
        end = at
        while payload[end] not in b",}":
            end += 1
        return float(payload[at:end])


class Tally:
    """What all receivers saw while `counting`."""

    def __init__(self) -> None:
        self.counting = False
        self.frames = 0
        self._stamps = array("d")
        self._arrivals = array("d")
        self._of_room: dict[str, set[float]] = {}

    def note(self, room: str, stamp: float, now: float) -> None:
        self._stamps.append(stamp)
        self._arrivals.append(now)
        self._of_room.setdefault(room, set()).add(stamp)

    @property
    def changes(self) -> int:
        """Deliveries of a tick's changes, as opposed to checksums and presence."""
        return len(self._stamps)

    def from_start_of_tick(self) -> list[float]:
        return sorted(arrived - stamp for stamp, arrived in zip(self._stamps, self._arrivals, strict=True))

    def from_due_time(self) -> list[float]:
        """Latencies from when each tick should have begun: a late tick is late for everybody."""
        late: dict[float, float] = {}
        for stamps in self._of_room.values():
            late.update(lateness(stamps))
        return sorted(
            arrived - stamp + late[stamp] for stamp, arrived in zip(self._stamps, self._arrivals, strict=True)
        )


def lateness(stamps: set[float]) -> dict[float, float]:
    """By how much each tick of a room began late.

    The beat is where most ticks are; one that is later than four fifths of a period is taken for the next, early.
    """
    period = 1 / HZ
    slack = period / 5
    beat = max(stamps, key=lambda each: sum((stamp - each + slack / 4) % period < slack / 2 for stamp in stamps))
    return {stamp: max(0.0, (stamp - beat + slack) % period - slack) for stamp in stamps}


def recruit(encodings: list[str], players: int, first: int, tally: Tally) -> list[Receiver]:
    """Players numbered from `first`, taking the encodings in turn."""
    settings = Settings.load(os.environ)
    return [
        Receiver(
            CODECS[encodings[number // 20 % len(encodings)]],
            issue_token(settings, f"r-{number}"),
            room_of(number),
            tally,
        )
        for number in range(first, first + players)
    ]


async def receive(port: int, encodings: list[str], players: int, server_pids: list[int], seconds: float) -> Any:
    tally = Tally()
    receivers = recruit(encodings, players, 0, tally)
    started, cpu = time.perf_counter(), cpu_seconds(server_pids)
    await join_all(port, receivers)
    joined, joined_cpu = time.perf_counter() - started, cpu_seconds(server_pids) - cpu
    await asyncio.sleep(SETTLE)
    taken = sum(receiver.received_bytes for receiver in receivers)
    started, cpu, own = time.perf_counter(), cpu_seconds(server_pids), time.process_time()
    tally.counting = True
    await asyncio.sleep(seconds)
    tally.counting = False
    measured = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": cpu_seconds(server_pids) - cpu,
        "load_cpu_seconds": time.process_time() - own,
        "bytes": sum(receiver.received_bytes for receiver in receivers) - taken,
    }
    began, due = tally.from_start_of_tick(), tally.from_due_time()
    return measured | {
        "lost": sum(receiver.lost for receiver in receivers),
        "frames": tally.frames,
        "deliveries": tally.changes,
        "p50": quantile(began, 0.50),
        "p99": quantile(began, 0.99),
        "due_p99": quantile(due, 0.99),
        "join_seconds": joined,
        "join_cpu_seconds": joined_cpu,
    }


async def idle(port: int, encodings: list[str], players: int, server_pids: list[int]) -> Any:
    """The server's memory before and after `players` join; some others are there already, so that what
    is allocated once is not counted as theirs."""
    tally = Tally()
    await join_all(port, recruit(encodings, players // 10, players, tally))
    await asyncio.sleep(SETTLE)
    before = sum(map(resident_bytes, server_pids))
    receivers = recruit(encodings, players, 0, tally)
    await join_all(port, receivers)
    await asyncio.sleep(SETTLE)
    after = sum(map(resident_bytes, server_pids))
    return {"bytes": after - before, "connections": players, "lost": sum(receiver.lost for receiver in receivers)}


def main() -> None:
    allow_many_connections()
    task = read_task()
    work = idle if task.pop("what") == "idle" else receive
    print(json.dumps(uvloop.run(work(**task))))


if __name__ == "__main__":
    main()
