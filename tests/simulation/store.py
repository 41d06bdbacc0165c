"""The store of a simulated world: a memory store whose every commit is written down, and audited before it is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gameserver.buses.base import Batch, BatchReply, Outcome, Room, StoreLimits
from gameserver.buses.memory_store import MemoryStore
from tests.simulation.ledger import Ledger
from tests.simulation.trace import Trace


class WitnessedStore(MemoryStore):
    def __init__(self, now_ms: Callable[[], int], ledger: Ledger, trace: Trace, limits: StoreLimits) -> None:
        self._ledger = ledger
        self._trace = trace
        super().__init__(limits, now_ms)

    def commit(self, worker: str, batch: Batch) -> BatchReply:
        fence, owned = self._token, bool(self._owner)
        number = self._last.get(worker, (0, None))[0]
        reply = super().commit(worker, batch)
        if batch.number > number:
            for group, result in zip(batch.groups, reply.results, strict=True):
                self._trace.counts[f"group {result.outcome.name.lower()}"] += 1
                if result.outcome is Outcome.ACCEPTED and group.fence and not (owned and group.fence == fence):
                    self._trace.violated("F", f"{worker} wrote with fence {group.fence}, and {fence} is the lease's")
        else:
            self._trace.counts["batch answered again"] += 1
        return reply

    def _publish(self, changed: dict[Room, Any], now: int, worker: str, number: int) -> None:
        super()._publish(changed, now, worker, number)
        # Publications are only on their way: nobody has them yet.
        for name, room in changed.items():
            payload = room.log[-1][2]
            self._trace.note("commit", f"{name} {room.seq} of {worker} {number}", payload)
            self._ledger.committed(name, payload)

    def wipe(self) -> None:
        """Lose everything."""
        self._ledger.audit(self)
        self._ledger.lives += 1
        self.clear()
