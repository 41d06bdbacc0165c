"""All workloads of `gameserver bench`, one after the other, and what they came to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gameserver.bench.figures import Table, facts_page
from gameserver.bench.machine import facts
from gameserver.bench.processes import Settings
from gameserver.bench.workloads import TABLES, WORKLOADS, Plan

WITHOUT_REDIS = "There is no redis-server on PATH: only what goes without one is measured."


class Suite:
    def __init__(self, rounds: int = 1, plan: Plan | None = None, only: Sequence[str] = ()) -> None:
        has_redis = shutil.which("redis-server") is not None
        self._plan = replace(plan or Plan(), rounds=rounds, redis=has_redis)
        self._names = only or list(WORKLOADS)
        self._machine: dict[str, str] = {}

    def run(self, tell: Callable[[str], None]) -> None:
        """Raises BenchmarkFailed. Every second round goes the other way round, so that what changes hits all alike."""
        self._machine = facts()
        for table in TABLES:
            table.rounds.clear()
        settings = Settings.new()
        if not self._plan.redis:
            tell(WITHOUT_REDIS)
        for number in range(self._plan.rounds):
            for name in self._names if number % 2 == 0 else reversed(self._names):
                tell(f"round {number + 1} of {self._plan.rounds}: {name}")
                WORKLOADS[name](settings, self._plan)

    @property
    def _tables(self) -> list[Table]:
        return [table for table in TABLES if table.rounds]

    def page(self) -> str:
        return "\n\n".join((facts_page(self._machine), *(table.page() for table in self._tables)))

    def to_json(self) -> dict[str, Any]:
        return {
            "machine": self._machine,
            "rounds": self._plan.rounds,
            "tables": [table.to_json() for table in self._tables],
        }
