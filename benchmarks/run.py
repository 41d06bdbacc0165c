"""All rounds of all workloads, and what came of them."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.contestants import Contestant
from benchmarks.native import Unavailable, program
from benchmarks.peers import PEERS
from benchmarks.plan import Plan
from benchmarks.tables import TABLES
from benchmarks.workloads import WORKLOADS, Measurement
from gameserver.bench.machine import Cores, facts
from gameserver.bench.processes import BenchmarkFailed


class Run:
    """`failed` holds what of ours could not be measured; `missing` what of peers, by name, with the reason."""

    def __init__(self, plan: Plan, peers: Sequence[str]) -> None:
        self.plan = plan
        self.failed: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.machine = facts()
        self._cores = Cores.of_this_machine()
        self._peers = self._prepare(peers)

    def _prepare(self, names: Iterable[str]) -> list[Contestant]:
        """Those that could be installed."""
        ready = []
        for name in names:
            peer = PEERS[name]
            try:
                self.versions[peer.name] = peer.prepare()
            except Unavailable as reason:
                self.missing[peer.name] = str(reason)
                print(f"without {peer.name}: {reason}", file=sys.stderr)
            else:
                ready.append(peer)
        return ready

    def all(self, names: Sequence[str]) -> None:
        """Every second round goes the other way round, so that what changes meanwhile hits all alike."""
        try:
            program("load")
            program("floor")
        except Unavailable as reason:
            self.failed["everything that needs the load"] = str(reason)
            names = [name for name in names if name == "W5"]
        for number in range(self.plan.rounds):
            for name in names if number % 2 == 0 else reversed(names):
                self._round(number, name)

    def _round(self, number: int, name: str) -> None:
        started = time.monotonic()
        print(f"round {number + 1} of {self.plan.rounds}: {name} ", end="", file=sys.stderr, flush=True)
        measurements = list(WORKLOADS[name](self._cores, self.plan, self._peers))
        for measurement in measurements if number % 2 == 0 else reversed(measurements):
            self._measure(name, measurement)
        print(f"{time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)

    def _measure(self, workload: str, measurement: Measurement) -> None:
        try:
            measurement.run()
        except (BenchmarkFailed, Unavailable, OSError) as reason:
            print(f"\n  {workload}, {measurement.of}: {reason}", file=sys.stderr)
            is_peer = any(measurement.of == peer.name for peer in self._peers)
            where = self.missing if is_peer else self.failed
            where[f"{workload}, {measurement.of}"] = str(reason)
        except Exception as bug:
            # Twenty minutes of other figures are not to go with it.
            traceback.print_exc()
            self.failed[f"{workload}, {measurement.of}"] = repr(bug)

    def to_json(self, seconds: float) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "versions": self.versions,
            "rounds": self.plan.rounds,
            "seconds": round(seconds),
            "missing": self.missing,
            "failed": self.failed,
            "tables": [table.to_json() for table in TABLES if table.rounds],
        }
