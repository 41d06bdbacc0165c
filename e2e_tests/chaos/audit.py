"""The invariants, judged from the store's own content and from what each player was told.

A nothing acknowledged is lost, B each command applied once, C no delta on a wrong base, D checksums equal again,
E memory and queues bounded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import psutil

from e2e_tests.chaos.load import Entrant
from e2e_tests.store import Store
from e2e_tests.workers import Worker

MOST_MEMORY = 64 << 20
"""Bytes by which a worker may grow over what it had."""
MOST_OUTBOXES = 64 << 20


def check_ledger(store: Store, entrants: Sequence[Entrant]) -> int:
    """A and B; how many commands were applied. Raises AssertionError."""
    total = 0
    for entrant in entrants:
        state = store.state(f"private:{entrant.name}")
        marks = {
            int(name.partition(":")[2]): fields.get("times", 0)
            for name, fields in state.items()
            if name.startswith("mark:")
        }
        lost = sorted(entrant.acked - marks.keys())
        assert not lost, f"acknowledged and lost (A): {entrant.name} {lost[:5]} of {len(lost)}"
        twice = sorted(number for number, times in marks.items() if times != 1)
        assert not twice, f"applied more than once (B): {entrant.name} {twice[:5]} of {len(twice)}"
        assert marks.keys() <= entrant.sent, f"{entrant.name} never sent {sorted(marks.keys() - entrant.sent)[:5]}"
        total += len(marks)
    counted = store.state("sector:1")["tally"].get("total", 0)
    assert counted == total, f"the tally says {counted}, the marks {total} (B)"
    return total


def differing(store: Store, entrants: Sequence[Entrant]) -> list[str]:
    """Rooms of players that are not what the store has (D), as `player in room`."""
    rooms = sorted({room for entrant in entrants for room in entrant.client.rooms})
    stored = store.at_once(rooms)
    wrong = []
    for entrant in entrants:
        if not entrant.client.connected:
            wrong.append(f"{entrant.name} is not connected")
            continue
        for room, held in entrant.client.rooms.items():
            truth = stored[room]
            same = (held.epoch, held.seq) == (truth.epoch, truth.seq) and held.state == truth.state
            if not (same and held.sum == truth.sum == truth.computed):
                wrong.append(f"{entrant.name} in {room} at {held.seq} of {truth.seq}")
    return wrong


async def agree(store: Store, entrants: Sequence[Entrant], within: float) -> float:
    """D: the seconds until every player's rooms are the store's, entity by entity and by checksum."""
    began = time.monotonic()
    while wrong := differing(store, entrants):
        assert time.monotonic() - began < within, f"not equal within {within} s (D): {wrong[:3]} of {len(wrong)}"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


def check_bases(entrants: Sequence[Entrant]) -> None:
    """C: nobody was ever given a delta that did not follow on what they had, or had a checksum that was wrong."""
    for entrant in entrants:
        counters = entrant.client.stats.replica
        troubles = {
            "gaps": counters.gaps,
            "mismatches": counters.mismatches,
            "duplicate events": counters.duplicate_events,
            "unexpected": counters.unexpected,
        }
        assert not any(troubles.values()), f"{entrant.name} was given what did not fit (C): {troubles}"


def memory(worker: Worker) -> int:
    """Resident bytes; 0 when it does not run."""
    return psutil.Process(worker.process.pid).memory_info().rss if worker.running and worker.process else 0


async def check_bounds(workers: Sequence[Worker], before: dict[int, int]) -> None:
    """E: queues are empty again, and no worker of `before` (process ids to bytes) has grown."""
    for worker in workers:
        if not worker.running or worker.get("/health")[0] != 200:
            continue
        assert worker.process is not None
        metrics = worker.metrics()
        began = time.monotonic()
        while metrics["command_backlog"] > 0 and time.monotonic() - began < 5.0:
            await asyncio.sleep(0.05)
            metrics = worker.metrics()
        assert metrics["command_backlog"] == 0, f"{worker.name} still has {metrics['command_backlog']:.0f} waiting (E)"
        assert metrics["outbox_bytes"] <= MOST_OUTBOXES, f"{worker.name} keeps {metrics['outbox_bytes']:.0f} bytes (E)"
        grown = memory(worker) - before.get(worker.process.pid, memory(worker))
        assert grown <= MOST_MEMORY, f"{worker.name} grew by {grown >> 20} MiB (E)"
