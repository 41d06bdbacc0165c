"""The store as plain Python objects: synchronous, and complete in itself.

It is the model that the script of the Redis bus is tested against. Where `gameserver.buses.base` leaves an order
open, both keep this one: of a group first the fence is checked, then its commands, then room by room the
claims (the oldest first), the entities (in the order of `reads`) and the membership. A claim takes
effect at once, also for later groups of the same batch. A lease that ran out keeps its token until
somebody else takes it: until then nobody can have acted under a newer one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from gameserver.buses.base import (
    CLAIM_REFUSALS,
    CLAIMS_PER_ROOM,
    MEMBERSHIP,
    NO_BASE,
    Answered,
    Batch,
    BatchReply,
    Entity,
    Group,
    GroupResult,
    Lease,
    Outcome,
    Room,
    RoomPart,
    RoomSnapshot,
    StaleBatch,
    StoreLimits,
)
from gameserver.errors import ForeignEpoch
from gameserver.state.commit import FORMAT, Header, encode_commit

MASK = 0xFFFFFFFF

Subscriber = Callable[[Room, bytes], None]


class _StoredRoom:
    __slots__ = ("claims", "entities", "log", "log_bytes", "membership", "parts", "seq", "sum")

    def __init__(self) -> None:
        self.seq = 0
        self.sum = 0
        self.membership = 0
        self.entities: dict[Entity, tuple[int, bytes]] = {}
        self.claims: dict[Entity, tuple[str, int]] = {}
        self.parts: list[bytes] = []
        self.log: deque[tuple[int, int, bytes]] = deque()
        self.log_bytes = 0

    def append(self, at: int, payload: bytes, limits: StoreLimits) -> None:
        self.log.append((self.seq, at, payload))
        self.log_bytes += len(payload)
        while self.log_bytes > limits.log_bytes and len(self.log) > 1:
            self.log_bytes -= len(self.log.popleft()[2])
        self.forget(at - limits.log_age * 1000)

    def forget(self, before: float) -> None:
        log = self.log
        while log and log[0][1] < before:
            self.log_bytes -= len(log.popleft()[2])


class MemoryStore:
    """The truth of one world. `now_ms` is the store's clock, in milliseconds since the Unix epoch;
    should it step back, the store's time stands still until it has caught up."""

    def __init__(self, limits: StoreLimits, now_ms: Callable[[], int]) -> None:
        self.limits = limits
        self._now_ms = now_ms
        self._time = 0
        self._subscribers: dict[Room, list[Subscriber]] = {}
        self.clear()

    def clear(self) -> None:
        """Lose everything, as a store that comes back empty; subscriptions stay."""
        self._epoch = 0
        self._rooms: dict[Room, _StoredRoom] = {}
        self._answers: dict[tuple[str, str], tuple[bytes, dict[Room, int]]] = {}
        self._older_answers: dict[tuple[str, str], tuple[bytes, dict[Room, int]]] = {}
        self._generation = 0
        self._last: dict[str, tuple[int, BatchReply]] = {}
        self._owner = ""
        self._token = 0
        self._until = 0

    def _now(self) -> int:
        now = self._now_ms()
        if now > self._time:
            self._time = now
        return self._time

    def epoch(self, seen: int = 0) -> int:
        """The epoch; a new one above `seen` if there is none, or only one older than that."""
        if not self._epoch or self._epoch < seen:
            self._epoch = max(self._now(), seen + 1)
        return self._epoch

    # Commit

    def commit(self, worker: str, batch: Batch) -> BatchReply:
        """Raises ForeignEpoch and StaleBatch. Publications are delivered before it returns."""
        if not self._epoch or batch.epoch != self._epoch:
            raise ForeignEpoch("the store holds another epoch")
        last = self._last.get(worker)
        if last is not None and batch.number <= last[0]:
            if batch.number < last[0]:
                raise StaleBatch(f"batch {batch.number} comes after {last[0]}")
            return last[1]
        now = self._now()
        self._turn_generations(now)
        results = [self._judge(group) for group in batch.groups]
        accepted = [
            group for group, result in zip(batch.groups, results, strict=True) if result.outcome is Outcome.ACCEPTED
        ]
        changed = self._apply(accepted)
        for group in accepted:
            # A group without rooms only asks: there is nothing that could be answered again.
            for command in group.commands if group.rooms else ():
                seqs = {name: self._seq(name) for name in command.rooms}
                self._answers[command.player, command.id] = (command.body, seqs)
        reply = BatchReply(results, {name: room.seq for name, room in changed.items()})
        self._last[worker] = (batch.number, reply)
        self._publish(changed, now, worker, batch.number)
        return reply

    def _turn_generations(self, now: int) -> None:
        generation = int(now // (self.limits.command_memory * 1000))
        if generation != self._generation:
            self._older_answers = self._answers if generation == self._generation + 1 else {}
            self._answers = {}
            self._generation = generation

    def _seq(self, name: Room) -> int:
        room = self._rooms.get(name)
        return 0 if room is None else room.seq

    def _judge(self, group: Group) -> GroupResult:
        if group.fence and (group.fence != self._token or not self._owner):
            return GroupResult(Outcome.FENCED)
        if group.commands:
            answered = self._answered(group)
            if answered:
                return GroupResult(Outcome.ANSWERED, answered=answered)
        for part in group.rooms:
            room = self._rooms.get(part.room)
            if room is None:
                if part.base > 0:
                    raise ForeignEpoch(f"{part.room} was at {part.base}, and the store does not have it")
                # A room nobody wrote has no entity, and no claim either.
                continue
            if room.claims:
                entity = _refusing_claim(room, part, group.claim)
                if entity is not None:
                    return GroupResult(Outcome.CLAIMED, part.room, entity)
            base = part.base
            if base == room.seq or base == NO_BASE:
                continue
            if base > room.seq:
                raise ForeignEpoch(f"{part.room} was at {base}, and the store has {room.seq}")
            entity = _contested(room, part)
            if entity is not None:
                if group.claim:
                    _lay_claim(room, entity, group.claim)
                return GroupResult(Outcome.CONFLICT, part.room, entity)
        if group.claim:
            self._lift_claims(group)
        return GroupResult(Outcome.ACCEPTED)

    def _answered(self, group: Group) -> list[Answered]:
        answered = []
        for index, command in enumerate(group.commands):
            key = (command.player, command.id)
            entry = self._answers.get(key) or self._older_answers.get(key)
            if entry is not None:
                answered.append(Answered(index, dict(entry[1]) if entry[0] == command.body else None))
        return answered

    def _lift_claims(self, group: Group) -> None:
        for part in group.rooms:
            room = self._rooms.get(part.room)
            if room is not None and room.claims:
                room.claims = {entity: claim for entity, claim in room.claims.items() if claim[0] != group.claim}

    def _apply(self, accepted: list[Group]) -> dict[Room, _StoredRoom]:
        rooms = self._rooms
        changed: dict[Room, _StoredRoom] = {}
        for group in accepted:
            for part in group.rooms:
                if not part.part:
                    continue
                name = part.room
                room = changed.get(name)
                if room is None:
                    room = rooms.get(name)
                    if room is None:
                        room = rooms[name] = _StoredRoom()
                    changed[name] = room
                    room.seq += 1
                room.parts.append(part.part)
                room.sum = (room.sum + part.sum_change) & MASK
                seq = room.seq
                for entity, blob in part.writes.items():
                    if blob is None:
                        room.entities.pop(entity, None)
                    else:
                        room.entities[entity] = (seq, blob)
                if part.membership_changed:
                    room.membership = seq
        return changed

    def _publish(self, changed: dict[Room, _StoredRoom], now: int, worker: str, number: int) -> None:
        publications: list[tuple[Room, bytes, tuple[Subscriber, ...]]] = []
        for name, room in changed.items():
            header = Header(FORMAT, self._epoch, room.seq, room.sum, now, worker, number)
            payload = encode_commit(header, room.parts)
            room.parts = []
            room.append(now, payload, self.limits)
            subscribers = self._subscribers.get(name)
            if subscribers:
                publications.append((name, payload, tuple(subscribers)))
        for name, payload, readers in publications:
            for subscriber in readers:
                subscriber(name, payload)

    # Reading

    def load(self, name: Room) -> RoomSnapshot:
        room = self._rooms.get(name)
        if room is None:
            return RoomSnapshot(self._epoch, 0, 0, {})
        entities = {entity: blob for entity, (_, blob) in room.entities.items()}
        return RoomSnapshot(self._epoch, room.seq, room.sum, entities)

    def read_log(self, name: Room, after: int, limit: int) -> list[bytes]:
        room = self._rooms.get(name)
        if room is None:
            return []
        room.forget(self._now() - self.limits.log_age * 1000)
        if not room.log or limit < 1:
            return []
        start = max(0, after + 1 - room.log[0][0])
        return [payload for _, _, payload in islice(room.log, start, start + limit)]

    def positions(self, names: Sequence[Room]) -> tuple[int, list[int]]:
        return self._epoch, [self._seq(name) for name in names]

    def rooms(self) -> list[Room]:
        return sorted(self._rooms)

    # Lease

    def acquire(self, owner: str, ttl: float, seen: int = 0) -> Lease:
        """As `Bus.acquire`; `seen` is the highest token the caller knows."""
        now = self._now()
        if self._owner == owner and self._token >= seen:
            self._until = now + int(ttl * 1000)
        elif not self._owner or self._until <= now or self._owner == owner:
            self._owner, self._until = owner, now + int(ttl * 1000)
            self._token = max(self._token, now, seen) + 1
        return Lease(self._owner, self._token)

    def release(self, owner: str) -> None:
        if self._owner == owner:
            self._owner, self._until = "", 0

    # Subscriptions

    def publish(self, name: Room, payload: bytes) -> None:
        """Deliver bytes that are not logged."""
        for subscriber in list(self._subscribers.get(name, ())):
            subscriber(name, payload)

    def subscribe(self, name: Room, subscriber: Subscriber) -> None:
        subscribers = self._subscribers.setdefault(name, [])
        if subscriber not in subscribers:
            subscribers.append(subscriber)

    def unsubscribe(self, name: Room, subscriber: Subscriber) -> None:
        subscribers = self._subscribers.get(name)
        if subscribers and subscriber in subscribers:
            subscribers.remove(subscriber)
            if not subscribers:
                del self._subscribers[name]


def _refusing_claim(room: _StoredRoom, part: RoomPart, own: str) -> Entity | None:
    for entity, (owner, left) in room.claims.items():
        if owner == own or not _touches(part, entity):
            continue
        if left > 1:
            room.claims[entity] = (owner, left - 1)
        else:
            del room.claims[entity]
        return entity
    return None


def _touches(part: RoomPart, entity: Entity) -> bool:
    if entity == MEMBERSHIP:
        return part.membership or part.membership_changed
    return entity in part.reads


def _contested(room: _StoredRoom, part: RoomPart) -> Entity | None:
    base = part.base
    entities = room.entities
    for entity, existed in part.reads.items():
        stored = entities.get(entity)
        if stored is None:
            if existed:
                return entity
        elif stored[0] > base or not existed:
            return entity
    return MEMBERSHIP if part.membership and room.membership > base else None


def _lay_claim(room: _StoredRoom, entity: Entity, owner: str) -> None:
    room.claims.pop(entity, None)
    room.claims[entity] = (owner, CLAIM_REFUSALS)
    if len(room.claims) > CLAIMS_PER_ROOM:
        del room.claims[next(iter(room.claims))]
