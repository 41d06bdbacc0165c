"""The test's own reading of the store, made from docs/protocol.md and the layout that the scripts describe.

Nothing here calls the code under test: state is decoded with `msgpack`, the checksum is written anew.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
import redis

State = dict[str, dict[str, Any]]
LANES = ("system", "combat", "trade", "movement", "chat", "cosmetic")
EXACT = 2**53 - 1
MEMBERSHIP = b"\0"
"""A mark beside the entities that is none of them."""


@dataclass(frozen=True)
class StoredRoom:
    """`sum` is what the store keeps; `computed` is what it should be."""

    epoch: int
    seq: int
    sum: int
    state: State
    stamps: dict[str, int]

    @property
    def computed(self) -> int:
        return checksum(self.state)


@dataclass(frozen=True)
class StoredEvent:
    """As it stands on the wire, so that the two can be compared."""

    seq: int
    index: int
    name: str
    data: Mapping[str, Any]
    sender: str | None
    at: int
    priority: str


@dataclass(frozen=True)
class StoredCommit:
    """`dels` and `sets` are those of the parts, in order."""

    epoch: int
    seq: int
    sum: int
    at: int
    worker: str
    number: int
    parts: list[tuple[list[str], State]]
    events: list[StoredEvent]
    siblings: frozenset[str]


class Store:
    """One world's keys, read by a plain Redis client."""

    def __init__(self, client: redis.Redis, world: str) -> None:
        self.client = client
        self.tag = f"{{gs:{world}}}"

    def epoch(self) -> int:
        return int(self.client.get(self.tag) or 0)

    def rooms(self) -> list[str]:
        return sorted(name.decode() for name in self.client.smembers(f"{self.tag}:rooms"))

    def room(self, name: str) -> StoredRoom:
        """One room at one moment."""
        return self.at_once([name])[name]

    def state(self, name: str) -> State:
        return self.room(name).state

    def everything(self) -> dict[str, StoredRoom]:
        """Every room of the world, all at the same moment."""
        return self.at_once(self.rooms())

    def at_once(self, names: list[str]) -> dict[str, StoredRoom]:
        with self.client.pipeline(transaction=True) as pipeline:
            pipeline.get(self.tag)
            for name in names:
                pipeline.hmget(f"{self.tag}:m:{name}", "seq", "sum")
                pipeline.hgetall(f"{self.tag}:e:{name}")
            epoch, *answers = pipeline.execute()
        return {
            name: _read_room(int(epoch or 0), meta, entities)
            for name, meta, entities in zip(names, answers[::2], answers[1::2], strict=True)
        }

    def seq(self, name: str) -> int:
        return int(self.client.hget(f"{self.tag}:m:{name}", "seq") or 0)

    def log(self, name: str, after: int = 0) -> list[StoredCommit]:
        """The room's commits above `after`, as far as the log has them."""
        entries = self.client.xrange(f"{self.tag}:l:{name}", f"({after}-0", "+")
        return [_read_commit(entry, fields) for entry, fields in entries]

    def logs(self, after: Mapping[str, int]) -> dict[str, list[StoredCommit]]:
        """Of several rooms, each above its own seq."""
        with self.client.pipeline(transaction=False) as pipeline:
            for name, seq in after.items():
                pipeline.xrange(f"{self.tag}:l:{name}", f"({seq}-0", "+")
            answers = pipeline.execute()
        return {
            name: [_read_commit(entry, fields) for entry, fields in entries]
            for name, entries in zip(after, answers, strict=True)
        }

    def lease_owner(self) -> str:
        return (self.client.hget(f"{self.tag}:lease", "owner") or b"").decode()


def _read_room(epoch: int, meta: list[bytes | None], entities: Mapping[bytes, bytes]) -> StoredRoom:
    state: State = {}
    stamps = {}
    for entity, blob in entities.items():
        if entity == MEMBERSHIP:
            continue
        name = entity.decode()
        stamps[name] = int.from_bytes(blob[:8], "big")
        state[name] = msgpack.unpackb(blob[8:])
    seq, total = meta
    return StoredRoom(epoch, int(seq or 0), int(total or 0), state, stamps)


def _read_commit(entry: bytes, fields: Mapping[bytes, bytes]) -> StoredCommit:
    header, parts = msgpack.unpackb(fields[b"c"])
    _, epoch, seq, total, at, worker, number = header
    assert entry == f"{seq}-0".encode(), f"the entry {entry!r} holds the commit {seq}"
    told = [event for part in parts for event in part[2]]
    events = [
        StoredEvent(seq, index, name, data, sender, at, LANES[lane])
        for index, (name, data, sender, lane) in enumerate(told)
    ]
    siblings = frozenset(room for part in parts for room in part[3])
    return StoredCommit(epoch, seq, total, at, worker, number, [(part[0], part[1]) for part in parts], events, siblings)


def apply(state: State, commit: StoredCommit) -> None:
    """What a commit does to a room's state ([DEL1] to [DEL4])."""
    for dels, sets in commit.parts:
        for entity in dels:
            state.pop(entity, None)
        for entity, fields in sets.items():
            held = state.setdefault(entity, {})
            for field, value in fields.items():
                if value is None:
                    held.pop(field, None)
                else:
                    held[field] = value


def checksum(state: Mapping[str, Mapping[str, Any]]) -> int:
    """[SUM1], [SUM2]."""
    return sum(_terms(state)) % 2**32


def _terms(state: Mapping[str, Mapping[str, Any]]) -> Iterator[int]:
    for entity, fields in state.items():
        prefix = entity.encode() + b"\0"
        if not fields:
            yield zlib.crc32(prefix)
        for field, value in fields.items():
            yield zlib.crc32(prefix + field.encode() + b"\0" + msgpack.packb(canonical(value)))


def canonical(value: Any) -> Any:
    """What packs to the canonical bytes ([SUM3] to [SUM5]); `msgpack` itself takes the shortest form of each."""
    match value:
        case bool() | str():
            return value
        case int() | float() if value == int(value) and abs(value) <= EXACT:
            return int(value)
        case int() | float():
            return float(value)
        case list():
            return [canonical(item) for item in value]
        case dict():
            return {key: canonical(value[key]) for key in sorted(value, key=str.encode)}
    raise ValueError(f"{value!r} has no place in state")
