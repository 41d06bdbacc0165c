"""One worker's replication and committer over a faulty bus, and a second worker that commits when it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

import msgspec

from gameserver.buses.base import CLAIM_REFUSALS, Batch, Outcome, StoreLimits
from gameserver.buses.memory_store import MemoryStore
from gameserver.context import lane_of
from gameserver.runtime.batch import BatchBuilder
from gameserver.runtime.committer import Committer
from gameserver.runtime.replication import Replication
from gameserver.runtime.supervise import Supervisor
from gameserver.runtime.work import FunctionWork, Settled, Work
from gameserver.state.commit import Commit
from gameserver.state.delta import State
from gameserver.state.draft import Draft
from gameserver.state.position import Position
from gameserver.state.replica import Replica, decode_entities
from tests.runtime.faulty_bus import FaultyBus
from tests.runtime.virtual_time import now
from tests.state.things import SCHEMA

START_MS = 1_800_000_000_000


def new_store(limits: StoreLimits | None = None) -> MemoryStore:
    """A store whose clock is the virtual loop's."""
    return MemoryStore(limits or StoreLimits(), lambda: START_MS + int(now() * 1000))


class Told:
    """What a replication told its listener, in order."""

    def __init__(self) -> None:
        self.applied_: list[tuple[str, int]] = []
        self.jumps: list[tuple[str, str, Position]] = []
        self.signals: list[tuple[str, str, object, str | None]] = []

    def applied(self, replica: Replica, commit: Commit) -> None:
        assert replica.seq == commit.header.seq
        self.applied_.append((replica.room, replica.seq))

    def reloading(self, replica: Replica) -> None:
        self.jumps.append(("reloading", replica.room, replica.position))

    def reloaded(self, replica: Replica, before: Position) -> None:
        assert self.jumps[-1] == ("reloading", replica.room, before)
        self.jumps.append(("reloaded", replica.room, replica.position))

    def signalled(self, room: str, key: str, data: object, sender: str | None) -> None:
        self.signals.append((room, key, data, sender))

    def seqs(self, room: str) -> list[int]:
        return [seq for name, seq in self.applied_ if name == room]


class OneWorker:
    """Started and closed by `async with`."""

    def __init__(self, store: MemoryStore, name: str = "w1", listener: Any = None) -> None:
        self.name = name
        self.bus = FaultyBus(store, name)
        self.told = Told()
        self.supervisor = Supervisor()
        self.replication = Replication(self.bus, listener or self.told, self.supervisor, now)
        self.committer = Committer(SCHEMA, self.bus, self.replication, self.supervisor, name, now)
        self.settled: list[tuple[str, Settled]] = []
        """What became of what was submitted, in the order of the answers."""

    async def __aenter__(self) -> OneWorker:
        await self.replication.start()
        self.supervisor.start(self.committer.run(), "committer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.supervisor.close()
        await self.bus.close()
        assert kind or not self.supervisor.failures

    async def follow(self, *rooms: str) -> None:
        for room in rooms:
            await self.replication.hold(room)

    def state(self, room: str) -> State:
        """What the replica holds; it must be able to prove it."""
        replica = self.replication.replica(room)
        assert replica is not None
        assert replica.verified
        return replica.entities

    def seq(self, room: str) -> int:
        replica = self.replication.replica(room)
        return -1 if replica is None else replica.seq

    def submit(self, name: str, run: Callable[[Draft], None], **more: Any) -> Work:
        """Hand in a work; `settled` gets its answer under this name."""
        work = FunctionWork(run, lambda settled: self.settled.append((name, settled)), **more)
        self.committer.submit(work)
        return work

    def answer(self, name: str) -> Settled | None:
        """The only answer to the work of this name, None as long as there is none."""
        answers = [settled for answered, settled in self.settled if answered == name]
        assert len(answers) <= 1
        return answers[0] if answers else None

    @property
    def order(self) -> list[str]:
        """The names of those that are answered."""
        return [name for name, _ in self.settled]

    async def write(self, room: str, entity: str, **fields: Any) -> dict[str, int]:
        return await self.committer.perform(setting(room, entity, **fields))


def setting(room: str, entity: str, **fields: Any) -> Callable[[Draft], None]:
    """Game code that sets fields, creating the entity if need be."""

    def run(draft: Draft) -> None:
        thing = draft.room(room).get(entity) or draft.room(room).create(entity)
        for name, value in fields.items():
            setattr(thing, name, value)

    return run


def adding(room: str, entity: str, amount: int = 1) -> Callable[[Draft], None]:
    """Game code that counts up."""

    def run(draft: Draft) -> None:
        thing = draft.room(room).get(entity) or draft.room(room).create(entity)
        thing.n += amount

    return run


class Outsider:
    """Another worker of the world, which commits at once."""

    def __init__(self, store: MemoryStore, name: str = "outsider") -> None:
        self.store = store
        self.name = name
        self.number = 0

    def commit(self, run: Callable[[Draft], None]) -> dict[str, int]:
        """As often as others' claims turn it away."""
        for _ in range(CLAIM_REFUSALS + 1):
            builder = BatchBuilder(SCHEMA, self._load, {}, lane_of)
            builder.run(FunctionWork(run, lambda settled: None))
            self.number += 1
            groups = [builder.for_bus(group, self.name) for group in builder.groups]
            reply = self.store.commit(self.name, Batch(self.store.epoch(), self.number, groups))
            if {result.outcome for result in reply.results} == {Outcome.ACCEPTED}:
                return reply.seq
        raise AssertionError("the outsider's commit was not accepted")

    def write(self, room: str, entity: str, **fields: Any) -> dict[str, int]:
        return self.commit(setting(room, entity, **fields))

    def _load(self, room: str) -> Replica:
        snapshot = self.store.load(room)
        replica = Replica(room)
        replica.load(snapshot.epoch, snapshot.seq, snapshot.sum, decode_entities(snapshot.entities))
        return replica


def stored(store: MemoryStore, room: str, entity: str) -> dict[str, Any] | None:
    """The entity as the store has it."""
    blob = store.load(room).entities.get(entity)
    return None if blob is None else msgspec.msgpack.decode(blob)


async def in_time(future: asyncio.Future[Any], within: float = 10.0) -> Any:
    return await asyncio.wait_for(future, within)
