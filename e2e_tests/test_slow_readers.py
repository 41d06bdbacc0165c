"""A hundred clients that stop reading beside a hundred that read: memory bounded, the others undisturbed."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from e2e_tests.raw_client import RawClient
from e2e_tests.workers import Worker, token
from gameserver.client.replica import ClientReplica

WORLD = "e2e_tests.worlds.flood:game"
SECTOR = "sector:1"
READERS = 100
STALL = 20.0
"""Seconds."""
FILLS_MS = 3000
"""Until the kernel has taken all it can for who does not read: what comes before goes out in the order it happened."""
DUE_EACH = 20_000_000
MEMORY_EACH = 1 << 20


class Run:
    """One server with readers and, in the run that counts, as many that stop."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        assert worker.process is not None
        self.process = psutil.Process(worker.process.pid)
        self.latencies: list[float] = []
        self.measuring = False
        self.readers: list[RawClient] = []
        self.others: list[RawClient] = []
        self.received: list[list[bytes]] = []
        self.due = 0
        self.grown = 0

    def _take(self, payload: bytes) -> None:
        place = payload.rfind(b'"at":', -160)
        if self.measuring and place > 0:
            self.latencies.append(time.time() * 1000 - int(payload[place + 5 : place + 18]))

    async def connect(self, narrow: bool) -> None:
        port = self.worker.port
        self.readers = [
            await RawClient.connect(port, token(f"reader{number}"), self._take) for number in range(READERS)
        ]
        for number in range(READERS):
            taken: list[bytes] = []
            self.received.append(taken)
            on_message = taken.append if narrow else (lambda payload: None)
            self.others.append(await RawClient.connect(port, token(f"other{number}"), on_message, narrow=narrow))

    async def measure(self) -> None:
        """Let the flood go on for a while; note what was due to a reader and by how much the server grew."""
        before, start = self.process.memory_info().rss, self.readers[0].received
        self.measuring = True
        until = time.monotonic() + STALL
        while time.monotonic() < until:
            await asyncio.sleep(0.25)
            self.grown = max(self.grown, self.process.memory_info().rss - before)
        self.measuring = False
        self.due = self.readers[0].received - start

    def percentile(self, share: float) -> float:
        return sorted(self.latencies)[int(len(self.latencies) * share)]

    def close(self) -> None:
        for client in (*self.readers, *self.others):
            client.close()


def start(directory: Path, name: str) -> Worker:
    worker = Worker(name, directory, "", WORLD, {"verify_s": 2})
    worker.start()
    worker.wait_ready()
    return worker


async def until(condition: Any, what: str, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.05)


def events_between(messages: list[dict[str, Any]], since: float, until: float) -> list[tuple[int, str]]:
    """(index of the message, name) of every event of the sector that happened between two moments (ms)."""
    return [
        (index, event["name"])
        for index, message in enumerate(messages)
        if message.get("room") == SECTOR
        for event in message.get("events", ())
        if since < event["at"] < until
    ]


@pytest.mark.timeout(240)
async def test_slow_readers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stalled reader costs at most 1 MiB, disturbs nobody, gets combat first, and ends up with the truth."""
    worker = start(tmp_path, "control")
    control = Run(worker)
    try:
        await control.connect(narrow=False)
        await control.measure()
    finally:
        control.close()
        worker.stop()

    worker = start(tmp_path, "stalled")
    run = Run(worker)
    try:
        await run.connect(narrow=True)
        await until(lambda: all(run.received), "everybody was welcomed")
        paused = time.time() * 1000
        for client in run.others:
            client.pause()
        stalled_at = [len(taken) for taken in run.received]
        await run.measure()
        resumed = time.time() * 1000
        for client in run.others:
            client.resume()
        await until(lambda: all(len(t) > n + 3 for t, n in zip(run.received, stalled_at, strict=True)), "they read")
        run.readers[0].send(b'{"type":"hush","id":"hush"}')
        truth: list[bytes] = []
        await settle(run, truth)
        with capsys.disabled():
            print(
                f"\n  due to each {run.due / 1e6:.1f} MB; server grew {run.grown / 1e6:.1f} MB,"
                f" {control.grown / 1e6:.1f} MB in the control run;"
                f" readers' latency p50 {run.percentile(0.5):.1f} ms p99 {run.percentile(0.99):.1f} ms,"
                f" control {control.percentile(0.5):.1f} and {control.percentile(0.99):.1f} ms"
            )
        assert run.due >= DUE_EACH
        assert run.grown - max(0, control.grown) <= READERS * MEMORY_EACH
        # Not a promise of speed: a stalled peer that blocked the others would cost them seconds.
        assert run.percentile(0.99) < control.percentile(0.99) + 500
        expected = replay([json.loads(payload) for payload in truth])
        for taken in run.received:
            messages = [json.loads(payload) for payload in taken]
            check_order(events_between(messages, paused + FILLS_MS, resumed))
            replica = replay(messages)
            assert replica.counters.mismatches == replica.counters.gaps == 0
            assert replica.rooms[SECTOR].position == expected.rooms[SECTOR].position
            assert replica.rooms[SECTOR].state == expected.rooms[SECTOR].state
            assert replica.rooms[SECTOR].sum == expected.rooms[SECTOR].sum
            check_complete(messages)
    finally:
        run.close()
        worker.stop()


async def settle(run: Run, truth: list[bytes]) -> None:
    """The flood has stopped: wait until every slow reader stands where a newcomer's snapshot does."""
    deadline = time.monotonic() + 60
    while True:
        truth.clear()
        newcomer = await RawClient.connect(run.worker.port, token("newcomer"), truth.append)
        await until(lambda: any(b'"snapshot","room":"sector:1"' in payload for payload in truth), "a snapshot")
        newcomer.close()
        if len({position(taken) for taken in [truth, *run.received]}) == 1:
            return
        assert time.monotonic() < deadline, "the slow readers did not catch up"
        await asyncio.sleep(1.0)


def position(payloads: list[bytes]) -> int:
    """The seq of the last exact message of the sector."""
    for payload in reversed(payloads):
        if b'"room":"sector:1"' in payload[:60] and b'"partial":true' not in payload:
            message = json.loads(payload)
            if message["type"] in ("snapshot", "delta", "verify"):
                return int(message["seq"])
    return -1


def replay(messages: list[dict[str, Any]]) -> ClientReplica:
    replica = ClientReplica()
    for message in messages:
        replica.feed(message)
    return replica


def check_order(events: list[tuple[int, str]]) -> None:
    """Every fight of the stall came before any chat of it."""
    last_fight = max(index for index, name in events if name == "blow")
    first_chat = min(index for index, name in events if name == "babble")
    assert last_fight <= first_chat


def check_complete(messages: list[dict[str, Any]]) -> None:
    """Every tenth tick babbled and every twentieth had a blow: none is missing and none came twice."""
    counts: dict[str, list[int]] = {"babble": [], "blow": []}
    for message in messages:
        assert message["type"] != "lost"
        if message.get("room") == SECTOR:
            for event in message.get("events", ()):
                counts[event["name"]].append(event["data"]["count"])
    for name, step in (("babble", 10), ("blow", 20)):
        seen = sorted(counts[name])
        assert seen == list(range(seen[0], seen[-1] + 1, step)), name
