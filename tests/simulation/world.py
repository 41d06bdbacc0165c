"""Several workers of one world, their store and their clients, in one process and in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

from gameserver import Game
from gameserver.buses.base import StoreLimits
from gameserver.errors import GameserverError
from gameserver.protocol.codec import Codec
from gameserver.protocol.codes import Close
from gameserver.runtime.clock import Clock
from gameserver.runtime.node import Node, NodeLimits
from gameserver.sessions.claims import Claims
from gameserver.state.commit import Commit
from gameserver.state.position import Position
from gameserver.state.replica import Replica
from tests.simulation.bus import SimulatedBus
from tests.simulation.game import COUNTERS, SECTORS, audited
from tests.simulation.ledger import Ledger
from tests.simulation.loop import Domain, current
from tests.simulation.player import Player
from tests.simulation.store import WitnessedStore
from tests.simulation.trace import Trace
from tests.simulation.wire import Wire

START_MS = 1_800_000_000_000
LIMITS = NodeLimits(
    heartbeat=3.0, grace=3.0, resume_grace=4.0, verify=1.0, commands_per_second=1000.0, commands_burst=1000.0
)
"""Times shorter than usual, so that what they are for happens in a short run."""
HANDSHAKE = 0.02
MEMORY = StoreLimits(log_bytes=1 << 15, log_age=8.0)
"""A store whose logs forget, so that snapshots are needed as well."""


class SimulatedNode(Node):
    """Holds each of its replicas against what is true, whenever one changes."""

    ledger: Ledger
    trace: Trace

    def applied(self, replica: Replica, commit: Commit) -> None:
        self._compare(replica)
        super().applied(replica, commit)

    def reloaded(self, replica: Replica, before: Position) -> None:
        self._compare(replica)
        super().reloaded(replica, before)

    def _compare(self, replica: Replica) -> None:
        true = self.ledger.sum(replica.epoch, replica.room, replica.seq)
        held = replica.computed_sum()
        if true != held:
            place = f"{replica.room} at {replica.epoch}/{replica.seq}"
            self.trace.violated("C", f"{self.worker} holds {place} with {held}, and {true} is right")


class Worker:
    """One process from its start to its end; its `slot` outlives it."""

    def __init__(self, world: World, slot: int, name: str) -> None:
        self.world = world
        self.slot = slot
        self.name = name
        self.domain = Domain(name)
        self.bus = SimulatedBus(world.store, name, self.domain, world.random(f"bus {name}"), world.trace)
        dice = world.random(f"node {name}")
        clock = Clock(world.loop.time, world.wall, dice, dice)
        self.node = SimulatedNode(world.game, self.bus, name, limits=LIMITS, clock=clock)
        self.node.ledger, self.node.trace = world.ledger, world.trace
        self.wires: dict[Wire, None] = {}
        self.alive = True
        self.ready = False

    def within(self, work: Coroutine[Any, Any, Any], what: str) -> asyncio.Task[Any]:
        """Run it as the worker's own."""
        return self.world.loop.create_task(work, name=f"{self.name}: {what}", context=self.domain.context)

    async def start(self) -> None:
        """Return when it takes connections; tried for as long as the store cannot be reached."""
        try:
            await self.within(self.node.start(), "start")
        except GameserverError:
            await self.kill()
            await asyncio.sleep(0.3)
            if not self.world.over:
                self.world.begin(self.slot)
            return
        self.ready = self.alive
        self.world.trace.note("worker", f"{self.name} is there")

    def admit(self, wire: Wire, claims: Claims, codec: Codec, resume_token: str | None) -> None:
        """A handshake arrives in a moment."""
        self.wires[wire] = None
        context = self.domain.context
        self.world.loop.call_later(HANDSHAKE, self._admit, wire, claims, codec, resume_token, context=context)

    def _admit(self, wire: Wire, claims: Claims, codec: Codec, resume_token: str | None) -> None:
        if not self.alive or wire.gone:
            return
        if not self.node.has_room():
            wire.close(int(Close.TRY_LATER), "not now")
            return
        wire.session = self.node.admit(claims, wire, codec, "here", resume_token)
        self.node.welcome(wire.session)
        wire.listen()

    async def kill(self) -> None:
        """As `kill -9`: what it has sent is under way, and nothing more comes from it."""
        if not self.alive:
            return
        self.alive = self.ready = False
        self.bus.die()
        for wire in list(self.wires):
            wire.cut()
        self.world.loop.thaw(self.domain)
        await self.node.supervisor.close()

    async def stop(self, window: float) -> None:
        """As SIGTERM."""
        self.ready = False
        await self.within(self._stopping(window), "stop")
        self.alive = False

    async def _stopping(self, window: float) -> None:
        try:
            async with asyncio.timeout(window + 3.0):
                await self.node.drain(window)
        except TimeoutError:
            for wire in list(self.wires):
                wire.abort()
        await self.node.close()


class World:
    """Everything there is. `over` once no more faults happen."""

    def __init__(self, seed: int, workers: int) -> None:
        self.seed = seed
        self.loop = current()
        self.trace = Trace()
        self.ledger = Ledger(self.trace)
        self.store = WitnessedStore(lambda: int(self.wall() * 1000), self.ledger, self.trace, MEMORY)
        self.game: Game = audited()
        self.workers: list[Worker] = []
        self.players: list[Player] = []
        self.over = False
        self.away = False
        self._incarnations = [0] * workers
        self._starting: set[asyncio.Task[None]] = set()

    def random(self, purpose: str) -> Random:
        """Chance of its own for each purpose, so that one more throw here changes nothing there."""
        return Random(f"{self.seed} {purpose}")

    def wall(self) -> float:
        """Seconds since the Unix epoch."""
        return START_MS / 1000 + self.loop.time()

    # -- workers ----------------------------------------------------------------------------------------------

    def begin(self, slot: int) -> Worker:
        """Start a worker in the slot, under a name that was never used before."""
        self._incarnations[slot] += 1
        worker = Worker(self, slot, f"w{slot + 1}.{self._incarnations[slot]}")
        worker.bus.away = self.away
        self.workers = [each for each in self.workers if each.slot != slot] + [worker]
        self.workers.sort(key=lambda each: each.slot)
        task = self.loop.create_task(worker.start())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)
        return worker

    def living(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.alive and worker.ready]

    def somewhere(self, random: Random, last: Worker | None) -> Worker | None:
        """A worker to connect to: rather another one than the last."""
        living = self.living()
        others = [worker for worker in living if last is None or worker.slot != last.slot]
        return random.choice(others if others and random.random() < 0.8 else living) if living else None

    # -- what players do --------------------------------------------------------------------------------------

    def some_command(self, random: Random, tag: str) -> dict[str, Any]:
        """A command of the game, the contested ones often."""
        first, second = random.sample(COUNTERS, 2)
        match random.choices(("add", "trade", "shout", "place", "take", "go"), (30, 20, 10, 15, 10, 6))[0]:
            case "add":
                return {"type": "add", "tag": tag, "counter": first}
            case "shout":
                return {"type": "shout", "tag": tag, "counter": first}
            case "trade":
                return {"type": "trade", "tag": tag, "giver": first, "taker": second}
            case "go":
                return {"type": "go", "tag": tag, "to": random.choice(SECTORS)}
            case word:
                return {"type": word, "tag": tag}
