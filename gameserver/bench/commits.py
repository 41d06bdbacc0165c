"""How many commits one worker makes when nothing else is asked of it: no sockets, no messages to read.

`python -m gameserver.bench.commits` runs a node in this process and keeps as many works waiting as there are players; a
player's next is submitted when the one before is answered. All carry a command id, as clients' commands do.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from typing import Any

import uvloop

from gameserver.asgi.server import spare_the_collector
from gameserver.bench.machine import cpu_seconds
from gameserver.bench.processes import read_task
from gameserver.bench.world import ATTIC, SHELVES, SHIPS, crate, item, move_crate, quiet, room_of, rooms
from gameserver.buses.base import Bus, StoreLimits
from gameserver.buses.memory import MemoryBus, MemoryStore
from gameserver.buses.redis.bus import RedisBus
from gameserver.context import Context
from gameserver.runtime.node import Node
from gameserver.runtime.work import FunctionWork, Settled
from gameserver.state.draft import Draft

PLAYERS = 200
WARM_UP = 0.2
"""Seconds under load before anything is measured."""

Run = Callable[[Draft], None]
Kind = Callable[[int], Run]
"""From a work's number to what it does; works of one player have the same remainder by `PLAYERS`."""


def _context(draft: Draft, number: int, here: str | None = None) -> Context:
    return Context(draft, now=1.0, seed=number, player=f"p-{number % PLAYERS}", here=here)


def independent(number: int) -> Run:
    """Each player changes an item of their own, all in one room."""

    def run(draft: Draft) -> None:
        _context(draft, number).room(SHELVES)[item(number)].number += 1

    return run


def spread(number: int) -> Run:
    """Each player changes an item of their own, in twenty rooms."""

    def run(draft: Draft) -> None:
        _context(draft, number).room(room_of(number))[_own_item(number)].number += 1

    return run


def hot(number: int) -> Run:
    """All players change the same item."""

    def run(draft: Draft) -> None:
        _context(draft, number).room(SHELVES)[item(0)].number += 1

    return run


def move(number: int) -> Run:
    """Each player takes a crate of their own from one room to another."""

    def run(draft: Draft) -> None:
        move_crate(_context(draft, number), crate(number))

    return run


def tick(number: int) -> Run:
    """All ships of a room fly on, as a world's tick does it; the rooms take turns."""

    def run(draft: Draft) -> None:
        ctx = _context(draft, number, here=room_of(number))
        for _, ship in ctx.sector.all("ship"):
            ship.x += 0.1
            ship.y -= 0.1

    return run


def _own_item(number: int) -> str:
    """Items were dealt to the rooms in order, the same ones to each."""
    return item(number % PLAYERS // len(rooms()))


KINDS: dict[str, Kind] = {
    "independent, one room": independent,
    "independent, 20 rooms": spread,
    "one hot entity": hot,
    "moves, two rooms": move,
    f"ticks of {SHIPS} ships": tick,
}


class Pressure:
    """Keeps works of one kind waiting until it is told to stop."""

    def __init__(self, node: Node, kind: Kind, first: int) -> None:
        self._node = node
        self._kind = kind
        self._ticks = kind is tick
        self._width = len(rooms()) if self._ticks else PLAYERS
        self._first = first
        self._due: list[int] = []
        self._stopping = False
        self._idle = asyncio.Event()
        self._waiting = 0
        self.accepted = 0
        self.refused = 0

    def start(self) -> None:
        self._due.extend(range(self._first, self._first + self._width))
        self._submit_due()

    async def stop(self) -> None:
        self._stopping = True
        await self._idle.wait()

    def _submit_due(self) -> None:
        due, self._due = self._due, []
        if self._stopping:
            due = []
        self._waiting += len(due)
        for number in due:
            self._submit(number)
        if not self._waiting:
            self._idle.set()

    def _submit(self, number: int) -> None:
        def settle(settled: Settled) -> None:
            self._waiting -= 1
            if isinstance(settled, dict):
                self.accepted += 1
            else:
                self.refused += 1
            # As a player's next command comes by the socket, in a later turn of the loop.
            if not self._due:
                asyncio.get_running_loop().call_soon(self._submit_due)
            self._due.append(number + self._width)

        run = self._kind(number)
        if self._ticks:
            work = FunctionWork(run, settle, alone=True)
        else:
            work = FunctionWork(run, settle, player=f"p-{number % PLAYERS}", id=f"i{number}", body=b"12345678")
        self._node.committer.submit(work)


async def measure(node: Node, seconds: float, redis_pid: int | None) -> dict[str, Any]:
    """Every kind in turn, `seconds` each."""
    measured: dict[str, Any] = {}
    for place, (name, kind) in enumerate(KINDS.items()):
        # Command ids must not come twice.
        pressure = Pressure(node, kind, first=place * 1_000_000_000)
        pressure.start()
        await asyncio.sleep(WARM_UP)
        accepted, refused, batches = pressure.accepted, pressure.refused, node.committer.stats.batches
        started, cpu = time.perf_counter(), time.process_time()
        redis_cpu = cpu_seconds([redis_pid]) if redis_pid else 0.0
        await asyncio.sleep(seconds)
        measured[name] = {
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - cpu,
            "redis_cpu_seconds": cpu_seconds([redis_pid]) - redis_cpu if redis_pid else None,
            "accepted": pressure.accepted - accepted,
            "refused": pressure.refused - refused,
            "batches": node.committer.stats.batches - batches,
        }
        await pressure.stop()
    return measured


async def run(redis_url: str, redis_pid: int | None, seconds: float) -> dict[str, Any]:
    worker = f"bench-{os.getpid()}"
    bus: Bus
    if redis_url:
        bus = RedisBus(redis_url, quiet.name, worker)
    else:
        bus = MemoryBus(MemoryStore(StoreLimits(), lambda: int(time.time() * 1000)), worker)
    node = Node(quiet, bus, worker)
    await node.start()
    try:
        for room in (SHELVES, ATTIC, *rooms()):
            await node.replication.hold(room)
        spare_the_collector()
        return await measure(node, seconds, redis_pid)
    finally:
        await node.close()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(**read_task()))))
