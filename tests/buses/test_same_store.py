"""Random batches to the memory store and to Redis: the same replies, the same state, and a sum that is right."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import count
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameserver.buses.base import NO_BASE, Batch, BatchReply, Bus, CommandKey, Group, Outcome, RoomPart, StoreLimits
from gameserver.buses.memory import MemoryBus, MemoryStore
from gameserver.buses.redis.bus import RedisBus
from gameserver.errors import ForeignEpoch
from gameserver.state.checksum import change_sum, room_sum
from gameserver.state.commit import Commit, Event, Part, decode_commit, encode_part
from tests.redis_server import RedisServer

ROOMS = ["sector:1", "sector:2", "team:red"]
ENTITIES = ["a", "b", "c", "d"]
WORKERS = ["w1", "w2"]

_worlds = count(1)

State = dict[str, dict[str, dict[str, Any]]]


@dataclass
class RoomWish:
    """What a group wants of a room; `back` is by how much its base is behind, None for no base."""

    room: str
    back: int | None
    reads: list[str]
    writes: dict[str, int | None]
    membership: bool
    lie: bool


@dataclass
class GroupWish:
    rooms: list[RoomWish]
    command: tuple[str, str, bytes] | None
    fence: str
    claim: str


room_wishes = st.builds(
    RoomWish,
    room=st.sampled_from([ROOMS[0], *ROOMS]),
    back=st.sampled_from([0, 0, 1, 1, 2, 3, 5, None]),
    reads=st.lists(st.sampled_from(ENTITIES), max_size=2),
    writes=st.dictionaries(st.sampled_from(ENTITIES), st.none() | st.integers(0, 9) | st.integers(0, 9), max_size=2),
    membership=st.booleans(),
    lie=st.sampled_from([False, False, False, False, True]),
)
group_wishes = st.builds(
    GroupWish,
    rooms=st.lists(room_wishes, min_size=1, max_size=2, unique_by=lambda wish: wish.room),
    command=st.none()
    | st.tuples(
        st.sampled_from(["ann", "bob"]), st.sampled_from(["i1", "s1", "s2"]), st.sampled_from([b"b" * 8, b"c" * 8])
    ),
    fence=st.sampled_from([""] * 12 + ["current", "wrong"]),
    claim=st.sampled_from(["", "ann", "bob"]),
)
steps = st.one_of(
    st.tuples(st.sampled_from(WORKERS), st.lists(group_wishes, min_size=1, max_size=4), st.booleans()),
    st.tuples(st.sampled_from(WORKERS), st.lists(group_wishes, min_size=1, max_size=4), st.booleans()),
    st.tuples(st.just("lease"), st.sampled_from(WORKERS), st.sampled_from(["acquire", "release"])),
)


class Side:
    """One of the two stores, with a bus for each worker and what it published to the first."""

    def __init__(self, buses: dict[str, Bus]) -> None:
        self.buses = buses
        self.any = buses[WORKERS[0]]
        self.published: list[tuple[str, bytes]] = []
        self.epoch = 0
        self.token = 0

    async def open(self) -> Side:
        for bus in self.buses.values():
            await bus.start(self._take if bus is self.any else lambda room, payload: None, lambda: None)
        self.epoch = await self.any.epoch()
        await self.any.subscribe(ROOMS)
        return self

    def _take(self, room: str, payload: bytes) -> None:
        self.published.append((room, payload))

    async def commit(self, worker: str, number: int, groups: list[Group], fences: list[str]) -> BatchReply:
        tokens = {"": 0, "current": self.token, "wrong": self.token + 1}
        for group, fence in zip(groups, fences, strict=True):
            group.fence = tokens[fence]
        return await self.buses[worker].commit(Batch(self.epoch, number, groups))

    async def lease(self, worker: str, action: str) -> str:
        if action == "release":
            await self.buses[worker].release(worker)
            return ""
        lease = await self.buses[worker].acquire(worker, 600)
        self.token = lease.token
        return lease.owner

    async def outlook(self) -> Any:
        """All there is to see, without what differs by nature: the epoch and the time."""
        rooms = {}
        for room in ROOMS:
            snapshot = await self.any.load(room)
            assert snapshot.epoch == self.epoch
            entities = {entity: msgspec.msgpack.decode(blob) for entity, blob in snapshot.entities.items()}
            assert snapshot.sum == room_sum(entities)
            log = [self._timeless(payload) for payload in await self.any.read_log(room, 0)]
            rooms[room] = (snapshot.seq, entities, log)
        epoch, seqs = await self.any.positions(ROOMS)
        assert epoch == self.epoch
        published = [(room, self._timeless(payload)) for room, payload in self.published]
        return rooms, seqs, await self.any.rooms(), published

    def _timeless(self, payload: bytes) -> Commit:
        commit = decode_commit(payload)
        assert commit.header.epoch == self.epoch
        header = msgspec.structs.replace(commit.header, epoch=0, at=0)
        return Commit(header, commit.parts)


class Model:
    """The state as it should be, to say what existed and by how much a sum changes."""

    def __init__(self) -> None:
        self.state: State = {room: {} for room in ROOMS}
        self.seqs = dict.fromkeys(ROOMS, 0)

    def group(self, wish: GroupWish, taken: set[tuple[str, str]]) -> Group:
        parts = [self.part(room, taken) for room in wish.rooms]
        commands = [CommandKey(*wish.command, [room.room for room in wish.rooms])] if wish.command else []
        return Group(parts, commands, claim=wish.claim)

    def part(self, wish: RoomWish, taken: set[tuple[str, str]]) -> RoomPart:
        """`taken` are the entities of earlier groups of the batch, which this one must leave alone."""
        state = self.state[wish.room]
        if wish.back is None:
            events = encode_part(Part(events=[Event("said", {"who": "ü"}, None, 4)]))
            return RoomPart(wish.room, NO_BASE, {}, {}, False, False, 0, events)
        writes = {entity: value for entity, value in wish.writes.items() if (wish.room, entity) not in taken}
        writes = {entity: value for entity, value in writes.items() if value is not None or entity in state}
        touched = [*writes, *(entity for entity in wish.reads if (wish.room, entity) not in taken)]
        taken.update((wish.room, entity) for entity in touched)
        after = {entity: None if value is None else {"x": value} for entity, value in writes.items()}
        return RoomPart(
            room=wish.room,
            base=max(0, self.seqs[wish.room] - wish.back),
            reads={entity: (entity in state) != wish.lie for entity in touched},
            writes={
                entity: None if value is None else msgspec.msgpack.encode(value) for entity, value in after.items()
            },
            membership=wish.membership,
            membership_changed=any((value is None) == (entity in state) for entity, value in after.items()),
            sum_change=sum(change_sum(entity, state.get(entity), value) for entity, value in after.items()),
            part=encode_part(
                Part(
                    [entity for entity, value in after.items() if value is None],
                    {entity: value for entity, value in after.items() if value is not None},
                )
            )
            if after
            else b"",
        )

    def apply(self, groups: list[Group], reply: BatchReply) -> None:
        for group, result in zip(groups, reply.results, strict=True):
            if result.outcome is not Outcome.ACCEPTED:
                continue
            for part in group.rooms:
                for entity, blob in part.writes.items():
                    if blob is None:
                        self.state[part.room].pop(entity, None)
                    else:
                        self.state[part.room][entity] = msgspec.msgpack.decode(blob)
        self.seqs.update(reply.seq)


async def compare(url: str, script: list[Any]) -> None:
    store = MemoryStore(StoreLimits(), lambda: 1_700_000_000_000)
    world = f"same-{next(_worlds)}"
    memory = await Side({worker: MemoryBus(store, worker) for worker in WORKERS}).open()
    redis = await Side({worker: RedisBus(url, world, worker, None, 5.0) for worker in WORKERS}).open()
    model = Model()
    try:
        for number, step in enumerate(script, 1):
            if step[0] == "lease":
                assert await memory.lease(*step[1:]) == await redis.lease(*step[1:])
                continue
            worker, wishes, twice = step
            taken: set[tuple[str, str]] = set()
            groups = [model.group(wish, taken) for wish in wishes]
            fences = [wish.fence for wish in wishes]
            for _ in range(1 + twice):
                expected = await memory.commit(worker, number, groups, fences)
                assert await redis.commit(worker, number, groups, fences) == expected
            model.apply(groups, expected)
        seen = await memory.outlook()
        assert {room: entities for room, (_, entities, _) in seen[0].items()} == model.state
        await redis.any.probe()
        assert await redis.outlook() == seen
        for side in (memory, redis):
            try:
                await side.commit(
                    "w1", len(script) + 1, [Group([RoomPart(ROOMS[0], 999, {}, {}, False, False, 0, b"")])], [""]
                )
            except ForeignEpoch:
                continue
            raise AssertionError("a base from the future was taken")
    finally:
        for bus in (*memory.buses.values(), *redis.buses.values()):
            await bus.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(steps, min_size=8, max_size=40))
def test_redis_does_what_the_memory_store_does(server: RedisServer, script: list[Any]) -> None:
    """Reply for reply and byte for byte, refusals, claims and repeated batches included."""
    asyncio.run(compare(server.url, script))
