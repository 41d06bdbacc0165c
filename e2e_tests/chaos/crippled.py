"""`python -m e2e_tests.chaos.crippled WORD,... run`: a worker without some of what guards it, for negative twins.

The product has no switches for this: what is taken away is taken from its classes, in this process alone.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from gameserver.cli.main import main


def without_dedupe() -> None:
    """Command ids and batch numbers mean nothing: what is sent twice is done twice."""
    from gameserver.buses.redis.bus import RedisBus
    from gameserver.runtime.batch import BatchBuilder

    for_bus, commit = BatchBuilder.for_bus, RedisBus.commit
    numbers = iter(range(1, 1 << 60))

    def forgetful(self: Any, group: Any, worker: str) -> Any:
        sent = for_bus(self, group, worker)
        sent.commands = []
        return sent

    async def renumbered(self: Any, batch: Any) -> Any:
        batch.number = next(numbers)
        return await commit(self, batch)

    BatchBuilder.for_bus = forgetful  # type: ignore[method-assign]
    RedisBus.commit = renumbered  # type: ignore[method-assign]


def without_fence() -> None:
    """Ticks are committed by whoever thinks it owns them."""
    from gameserver.runtime.batch import BatchBuilder

    for_bus = BatchBuilder.for_bus

    def unfenced(self: Any, group: Any, worker: str) -> Any:
        sent = for_bus(self, group, worker)
        sent.fence = 0
        return sent

    BatchBuilder.for_bus = unfenced  # type: ignore[method-assign]


def sleepwalking() -> None:
    """No twin, but part of a fault: a worker that was stopped believes in its lease for a few seconds more."""
    from gameserver.runtime.ticker import Ticker

    renew = Ticker._renew
    last = [time.monotonic()]
    asleep = [0.0]

    def owner(self: Any) -> bool:
        return bool(self._token > 0)

    async def dreaming(self: Any) -> None:
        now = time.monotonic()
        if now - last[0] > 3.0:
            asleep[0] = now
        last[0] = now
        if not self._token or now - asleep[0] > 3.0:
            await renew(self)

    Ticker.owner = property(owner)  # type: ignore[assignment, method-assign]
    Ticker._renew = dreaming  # type: ignore[method-assign]


def without_probe() -> None:
    """Readiness depends on nothing."""
    from gameserver.asgi.worker import Worker

    async def confident(self: Any) -> None:
        self.reachable = True

    Worker._probe = confident  # type: ignore[method-assign]


def without_repositioning() -> None:
    """After a new connection to the store nobody looks what was missed, then or at verification ticks."""
    from gameserver.runtime.replication import Replication

    async def incurious(self: Any) -> None:
        return None

    Replication._lost = lambda self: None  # type: ignore[method-assign]
    Replication.check = incurious  # type: ignore[method-assign]


def without_gap_check() -> None:
    """Whatever commit comes is applied, whatever is missing before it; no loss is ever looked for."""
    from gameserver.runtime.replication import Replication
    from gameserver.state.replica import Receipt, Replica

    receive = Replica.receive

    def greedy(self: Any, commit: Any) -> Any:
        receipt = receive(self, commit)
        if receipt is Receipt.GAP:
            self.seq = commit.header.seq - 1
            receipt = receive(self, commit)
        return receipt

    Replica.receive = greedy  # type: ignore[method-assign]
    Replication.expect = lambda self, room, seq: None  # type: ignore[method-assign]
    Replication.distrust = lambda self, room: None  # type: ignore[method-assign]
    without_repositioning()


def without_deadline() -> None:
    """Whoever asks the store waits for as long as it takes."""
    from gameserver.buses.redis.connection import Connection

    Connection._look = lambda self, when, last_look: None  # type: ignore[method-assign]


def without_checks() -> None:
    """Starts on whatever Redis there is."""
    from gameserver.cli import redis_checks

    redis_checks.judge = lambda *_: []


def without_stagger() -> None:
    """Everybody is told to go in the same moment, and to come back at once."""
    from gameserver.runtime.node import Node
    from gameserver.sessions.transitions import Input

    async def abrupt(self: Any, window: float) -> None:
        self.draining = True
        for session in list(self.sessions.values()):
            session.end(Input.DRAIN, "the worker restarts", retry_after=0.0)

    Node.drain = abrupt  # type: ignore[method-assign]


def without_lag_watch() -> None:
    """Nobody looks whether the event loop gets its turns."""
    from gameserver.runtime.lag import LagWatch

    async def blind(self: Any) -> None:
        return None

    LagWatch.run = blind  # type: ignore[method-assign]


def stalling() -> None:
    """No twin, but a fault: at SIGUSR2 the event loop does nothing for three seconds."""
    signal.signal(signal.SIGUSR2, lambda *_: time.sleep(3.0))


MECHANISMS: dict[str, Callable[[], None]] = {
    "dedupe": without_dedupe,
    "fence": without_fence,
    "probe": without_probe,
    "repositioning": without_repositioning,
    "gap check": without_gap_check,
    "deadline": without_deadline,
    "start-up check": without_checks,
    "stagger": without_stagger,
    "lag watch": without_lag_watch,
    "sleepwalking": sleepwalking,
    "stalling": stalling,
}

if __name__ == "__main__":
    for word in sys.argv[1].split(","):
        MECHANISMS[word]()
    sys.exit(main(sys.argv[2:]))
