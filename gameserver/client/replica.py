"""All rooms of one client: messages of the server go in, what they mean comes out. No I/O, no clock.

Rules: docs/protocol.md, Snapshots to Verification, and Resume.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gameserver.client.deduplication import EventMemory
from gameserver.client.events import (
    Event,
    EventReceived,
    LostEvents,
    ReplicaEvent,
    ResyncNeeded,
    RoomChanged,
    RoomLeft,
    RoomLoaded,
    SignalReceived,
    Verified,
)
from gameserver.client.room import RoomReplica
from gameserver.errors import BadMessage

Message = dict[str, Any]
Told = list[ReplicaEvent]

MOST_DEPARTED = 64
"""How many rooms that were left are remembered, so that coming back tells no event twice."""

GAP = "gap"
BEHIND = "behind"
MISMATCH = "mismatch"
MALFORMED = "malformed"
FOREIGN_EPOCH = "foreign epoch"
NOT_RECOVERED = "not recovered"
UNKNOWN_ROOM = "unknown room"

HEALED_BY_DELTA = (GAP, BEHIND)
"""Doubts that a delta which fits takes away: nothing was wrong but the position."""
WITHOUT_PLACE = (FOREIGN_EPOCH, NOT_RECOVERED)
"""Doubts in which the position itself is worth nothing, so that only a snapshot can be taken in ([DEL9])."""


@dataclass(slots=True)
class Counters:
    """How often what happened since the replica was made. `resyncs` counts the times a snapshot was
    needed, for whatever reason; `mismatches` those in which the checksum was the reason."""

    snapshots: int = 0
    deltas: int = 0
    partials: int = 0
    duplicates: int = 0
    gaps: int = 0
    events: int = 0
    duplicate_events: int = 0
    signals: int = 0
    lost: int = 0
    verified: int = 0
    mismatches: int = 0
    resyncs: int = 0
    unexpected: int = 0


class ClientReplica:
    """Feed it every message of the types in `handles`, in the order they came."""

    def __init__(self) -> None:
        self.rooms: dict[str, RoomReplica] = {}
        self.counters = Counters()
        self._departed: dict[str, tuple[int, EventMemory]] = {}
        self._unknown: set[str] = set()
        self._handlers: dict[str, Callable[[Message, Told], None]] = {
            "delta": self._delta,
            "snapshot": self._snapshot,
            "signal": self._signal,
            "verify": self._verify,
            "lost": self._lost,
            "left": self._left,
        }
        self.handles = frozenset(self._handlers)

    def feed(self, message: Message) -> list[ReplicaEvent]:
        """What the message means, in order; nothing for types that are not about rooms.

        Takes ownership of the message. Raises BadMessage when it lacks what its type needs; the room
        it named is then in doubt.
        """
        handler = self._handlers.get(message.get("type", ""))
        if handler is None:
            return []
        told: Told = []
        try:
            handler(message, told)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            room = self.rooms.get(str(message.get("room")))
            if room is not None:
                room.doubt = MALFORMED
            raise BadMessage(f"a {message['type']} that cannot be read: {error!r}") from None
        return told

    def positions(self) -> dict[str, list[int]]:
        """The `rooms` of `hello`: `[epoch, seq]`, or `[epoch, seq, watermark]` with events above `seq` ([RES1])."""
        return {name: room.standing() for name, room in self.rooms.items()}

    def doubtful(self) -> list[str]:
        """The rooms that need a snapshot to be trusted again."""
        return [name for name, room in self.rooms.items() if room.doubt is not None]

    def resumed(self, recovered: Mapping[str, bool]) -> None:
        """A `welcome` answered our `hello`: what it did not recover waits for a snapshot or for `left` ([RES5])."""
        self._unknown.clear()
        for name, room in self.rooms.items():
            if not recovered.get(name) and room.doubt is None:
                room.doubt = NOT_RECOVERED

    def clear(self) -> None:
        """Start over, as a connection does that resumes nothing. The counters stay."""
        self.rooms.clear()
        self._departed.clear()
        self._unknown.clear()

    def _snapshot(self, message: Message, told: Told) -> None:
        name, epoch, seq = str(message["room"]), int(message["epoch"]), int(message["seq"])
        state = message["state"]
        if not isinstance(state, dict) or not all(isinstance(fields, dict) for fields in state.values()):
            raise ValueError("state is a map of maps")
        self._unknown.discard(name)
        room = self.rooms.get(name)
        if room is None:
            room = self.rooms[name] = RoomReplica(name)
            room.events = self._memory_of(name, epoch, seq)
        elif room.epoch != epoch:
            room.events = EventMemory(seq)
        room.load(epoch, seq, state)
        self.counters.snapshots += 1
        told.append(RoomLoaded(name, epoch, seq))

    def _memory_of(self, name: str, epoch: int, seq: int) -> EventMemory:
        known_epoch, memory = self._departed.pop(name, (0, None))
        if memory is None or known_epoch != epoch:
            return EventMemory(seq)
        memory.complete(seq, seq)
        return memory

    def _delta(self, message: Message, told: Told) -> None:
        room = self.rooms.get(message["room"])
        if room is None:
            self._stranger(str(message["room"]), told)
            return
        if room.doubt in WITHOUT_PLACE:
            self.counters.unexpected += 1
            return
        seq = int(message["seq"])
        if message.get("partial"):
            self._partial(room, seq, message, told)
            self._events(room, message, told)
            if (watermark := message.get("watermark")) is not None:
                room.events.complete(0, int(watermark))
            return
        prev = int(message["prev"])
        applied = self._exact(room, prev, seq, message, told)
        self._events(room, message, told)
        if applied or prev <= room.watermark:
            room.events.complete(prev, seq)

    def _exact(self, room: RoomReplica, prev: int, seq: int, message: Message, told: Told) -> bool:
        """Whether the delta was applied ([DEL5] to [DEL7])."""
        if seq <= room.seq:
            self.counters.duplicates += 1
            return False
        if prev > room.seq:
            self.counters.gaps += 1
            self._suspect(room, GAP, told)
            return False
        dels, sets = message.get("del") or (), message.get("set") or {}
        room.advance(seq, dels, sets)
        self.counters.deltas += 1
        if room.doubt in HEALED_BY_DELTA:
            room.doubt = None
        if dels or sets:
            told.append(RoomChanged(room.name, dels, sets, False))
        return True

    def _partial(self, room: RoomReplica, seq: int, message: Message, told: Told) -> None:
        dels, sets = message.get("del") or (), message.get("set") or {}
        if not dels and not sets:
            return
        if seq <= room.seq:
            self.counters.duplicates += 1
            return
        room.peek(seq, dels, sets)
        self.counters.partials += 1
        told.append(RoomChanged(room.name, dels, sets, True))

    def _events(self, room: RoomReplica, message: Message, told: Told) -> None:
        for each in message.get("events") or ():
            seq, index = int(each["seq"]), int(each["index"])
            if not room.events.first_time(seq, index):
                self.counters.duplicate_events += 1
                continue
            self.counters.events += 1
            told.append(EventReceived(room.name, read_event(each, seq, index)))

    def _signal(self, message: Message, told: Told) -> None:
        self.counters.signals += 1
        told.append(SignalReceived(str(message["room"]), str(message["key"]), message.get("data"), message.get("from")))

    def _verify(self, message: Message, told: Told) -> None:
        room = self.rooms.get(message["room"])
        if room is None:
            self._stranger(str(message["room"]), told)
            return
        epoch, seq, expected = int(message["epoch"]), int(message["seq"]), int(message["sum"])
        if room.doubt in WITHOUT_PLACE:
            return
        if epoch != room.epoch:
            self._suspect(room, FOREIGN_EPOCH, told)
        elif not room.exact or seq < room.seq:
            return
        elif seq > room.seq:
            self._suspect(room, BEHIND, told)
        else:
            self._compare(room, expected, told)

    def _compare(self, room: RoomReplica, expected: int, told: Told) -> None:
        if room.sum == expected:
            room.doubt = None
            self.counters.verified += 1
            told.append(Verified(room.name, True, room.seq))
        elif room.doubt is None or room.doubt in HEALED_BY_DELTA:
            self.counters.mismatches += 1
            told.append(Verified(room.name, False, room.seq))
            self._suspect(room, MISMATCH, told)

    def _lost(self, message: Message, told: Told) -> None:
        name, lane = str(message["room"]), message.get("lane")
        first, last = int(message["from"]), int(message["to"])
        self.counters.lost += 1
        room = self.rooms.get(name)
        if room is not None:
            room.lost.append((first, last, lane))
            if lane is None and first <= room.watermark + 1:
                room.events.complete(first - 1, last)
        told.append(LostEvents(name, first, last, lane))

    def _left(self, message: Message, told: Told) -> None:
        name = str(message["room"])
        self._unknown.discard(name)
        room = self.rooms.pop(name, None)
        if room is not None:
            self._departed[name] = (room.epoch, room.events)
            if len(self._departed) > MOST_DEPARTED:
                del self._departed[next(iter(self._departed))]
        told.append(RoomLeft(name, str(message.get("reason", ""))))

    def _suspect(self, room: RoomReplica, reason: str, told: Told) -> None:
        """Ask once: a room in doubt has asked already. The graver doubt stays."""
        if room.doubt is None:
            self.counters.resyncs += 1
            told.append(ResyncNeeded(room.name, reason))
        if room.doubt is None or room.doubt in HEALED_BY_DELTA:
            room.doubt = reason

    def _stranger(self, name: str, told: Told) -> None:
        """A message about a room without a snapshot: ask for one, unless the room was left ([ROOM5])."""
        self.counters.unexpected += 1
        if name not in self._departed and name not in self._unknown and len(self._unknown) < MOST_DEPARTED:
            self._unknown.add(name)
            self.counters.resyncs += 1
            told.append(ResyncNeeded(name, UNKNOWN_ROOM))


def read_event(each: Mapping[str, Any], seq: int, index: int) -> Event:
    """An event as it stands in a delta."""
    return Event(
        str(each["name"]),
        each.get("data") or {},
        each.get("from"),
        seq,
        index,
        int(each.get("at", 0)),
        str(each.get("priority", "")),
    )
