"""The two ends of an outbox, modelled: rooms that remember their whole history, and a client that knows the
wire's rules alone (docs/protocol.md) and checks every message against that history."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from random import Random
from typing import Any

from gameserver.sessions.due import (
    DeltaDue,
    Due,
    Hole,
    LeftDue,
    LostDue,
    ReplyDue,
    SignalDue,
    SnapshotDue,
    VerifyDue,
)
from gameserver.state.checksum import room_sum
from gameserver.state.commit import Event
from gameserver.state.events import EventLog, LoggedEvent, logged
from gameserver.state.position import Position
from gameserver.state.priority import LANES, Priority

KINDS = {"drone": Priority.COMBAT, "ship": Priority.MOVEMENT, "port": Priority.TRADE, "star": Priority.COSMETIC}
FIELDS = ("x", "y", "name", "cargo")

State = dict[str, dict[str, Any]]


class ModelRoom:
    """One room as the store and a worker hold it; nothing is ever forgotten here, but `stored` is what the store's
    log still has."""

    def __init__(
        self, name: str, rng: Random, *, population: int = 12, log_events: int = 24, records: bool = True
    ) -> None:
        self.name = name
        self.rng = rng
        self.population = population
        self.records = records
        self.position = Position(1, 0)
        self.state: State = {}
        self.log = EventLog(0, 1, max_events=log_events)
        self.history: dict[Position, State] = {self.position: {}}
        self.events: dict[int, list[LoggedEvent]] = {1: []}
        self.stored: list[tuple[int, Any, list[LoggedEvent]]] = []
        self.gone: dict[int, int] = {1: 0}
        """Per epoch the seq up to which the store's log has nothing any more."""

    def commit(self, now: float, *, changes: int | None = None, events: list[Event] | None = None) -> Any:
        """A random commit, applied: (dels, sets, created)."""
        rng, before = self.rng, set(self.state)
        dels: list[str] = []
        sets: State = {}
        for _ in range(rng.randint(0, 3) if changes is None else changes):
            self._change(f"{rng.choice(list(KINDS))}:{rng.randrange(self.population)}", dels, sets)
        if events is None:
            events = [self._event() for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 7)))]
        self.position = Position(self.position.epoch, self.position.seq + 1)
        at = int(now * 1000)
        self.log.append(self.position.seq, at, events)
        if self.records:
            self.history[self.position] = copy.deepcopy(self.state)
            self.events[self.position.epoch] += logged(self.position.seq, at, events)
            self.stored.append((self.position.seq, (dels, sets), logged(self.position.seq, at, events)))
        created = {entity for entity in sets if entity not in before}
        return dels, sets, created

    def _event(self) -> Event:
        lane = self.rng.choice(LANES)
        return Event(lane.word, {"n": self.rng.randrange(1000)}, None, lane)

    def _change(self, entity: str, dels: list[str], sets: State) -> None:
        rng = self.rng
        if entity in sets or entity in dels:
            return
        known = self.state.get(entity)
        fresh = {field: rng.randrange(100) for field in FIELDS if rng.random() < 0.6}
        if known is None:
            self.state[entity] = dict(fresh)
            sets[entity] = fresh
        elif (roll := rng.random()) < 0.2:
            del self.state[entity]
            dels.append(entity)
        elif roll < 0.3:
            self.state[entity] = dict(fresh)
            dels.append(entity)
            sets[entity] = fresh
        else:
            field = rng.choice(FIELDS)
            value = rng.randrange(100) if rng.random() < 0.7 or field not in known else None
            known[field] = value
            if value is None:
                del known[field]
            sets[entity] = {field: value}

    def trim(self) -> None:
        """The store's log loses its oldest half."""
        for seq, _, _ in self.stored[: len(self.stored) // 2]:
            self.gone[self.position.epoch] = seq
        del self.stored[: len(self.stored) // 2]

    def reborn(self) -> None:
        """The store came back with other content."""
        self.gone[self.position.epoch] = self.position.seq
        self.position = Position(self.position.epoch + 1, self.rng.randrange(5))
        self.state = {"ship:0": {"x": 1}} if self.rng.random() < 0.5 else {}
        self.history[self.position] = copy.deepcopy(self.state)
        self.events[self.position.epoch] = []
        self.gone[self.position.epoch] = self.position.seq
        self.stored.clear()
        self.log.reset(self.position.seq, self.position.epoch)

    def read(self, hole: Hole, most: int) -> tuple[list[LoggedEvent], int, int] | None:
        """As the shell reads the store's log: (events, complete from, complete up to); None when the epoch changed."""
        if hole.epoch != self.position.epoch:
            return None
        entries = [entry for entry in self.stored if entry[0] > hole.after][:most]
        if not entries or entries[0][0] > hole.upto:
            return [], hole.upto + 1, hole.upto
        events = [event for _, _, found in entries for event in found]
        return events, entries[0][0], entries[-1][0]


class View:
    """A room as one (narrowed) subscription shows it: what the hub offers an outbox."""

    def __init__(self, room: ModelRoom, kinds: frozenset[str], fields: frozenset[str]) -> None:
        self.model = room
        self.kinds = kinds
        self.fields = fields

    @property
    def room(self) -> str:
        return self.model.name

    @property
    def position(self) -> Position:
        return self.model.position

    @property
    def events(self) -> EventLog:
        return self.model.log

    def shows(self, entity: str) -> bool:
        return entity.partition(":")[0] in self.kinds

    def narrow(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {field: value for field, value in fields.items() if field in self.fields}

    def entity(self, entity: str) -> Mapping[str, Any] | None:
        fields = self.model.state.get(entity)
        return None if fields is None or not self.shows(entity) else self.narrow(fields)

    def of(self, state: State) -> State:
        return {entity: self.narrow(fields) for entity, fields in state.items() if self.shows(entity)}

    def state(self) -> State:
        return self.of(self.model.state)

    def sum(self) -> int:
        return room_sum(self.state())

    def priority(self, entity: str) -> Priority:
        return KINDS[entity.partition(":")[0]]

    def change(self, dels: list[str], sets: State, created: set[str]) -> Any:
        """A commit in the view's terms."""
        seen = {
            entity: self.narrow(fields)
            for entity, fields in sets.items()
            if self.shows(entity) and (entity in created or entity in dels or self.narrow(fields))
        }
        return [entity for entity in dels if self.shows(entity)], seen, created


class ClientRoom:
    def __init__(self, view: View, epoch: int, seq: int, state: State, events_upto: int) -> None:
        self.view = view
        self.epoch = epoch
        self.seq = seq
        self.state = state
        self.inexact_since: float | None = None
        self.owed_after = events_upto
        self.watermark = events_upto
        self.got: set[tuple[int, int]] = set()
        self.last = [(-1, -1)] * len(LANES)
        self.lost: list[LostDue] = []
        self.repeats = False
        """After a resume events may come a second time, and deletions of what it does not have."""

    def check_events(self, upto: int) -> None:
        """Everything owed up to there has come or was declared lost."""
        for event in self.view.model.events[self.epoch]:
            if self.owed_after < event.seq <= upto and (event.seq, event.index) not in self.got:
                assert any(
                    lost.first <= event.seq <= lost.last and lost.lane in (None, event.lane) for lost in self.lost
                ), f"{self.view.room}: event {event.seq}.{event.index} ({event.lane.word}) was skipped"


class Client:
    """Raises AssertionError for whatever a client could not make sense of."""

    def __init__(self, exact_every_s: float) -> None:
        self.exact_every_s = exact_every_s
        self.rooms: dict[str, ClientRoom] = {}
        self.views: dict[str, View] = {}
        """What the server believes each subscription to be."""
        self.leaving: dict[str, int] = {}
        self.signals: dict[tuple[str, str], Any] = {}
        self.replies: list[Any] = []
        self.full_tier = True
        self.unneeded_dels = False

    def receive(self, due: Due, now: float) -> None:
        self.check_overdue(due, now)
        if isinstance(due, ReplyDue):
            assert due.message == self.replies.pop(0)
        elif isinstance(due, SnapshotDue):
            self.snapshot(due)
        elif isinstance(due, SignalDue):
            assert due.room in self.rooms
            assert self.signals.pop((due.room, due.key)) == due.data
        else:
            room = self.rooms[due.room]
            if isinstance(due, DeltaDue):
                self.delta(room, due, now)
            elif isinstance(due, LostDue):
                self.declare(room, due)
            elif isinstance(due, VerifyDue):
                assert (room.epoch, room.seq) == (due.epoch, due.seq)
                assert room.inexact_since is None
                assert room_sum(room.state) == due.sum
            elif isinstance(due, LeftDue):
                if room.epoch == room.view.position.epoch:
                    room.check_events(self.leaving[due.room])
                del self.rooms[due.room], self.leaving[due.room]

    def check_overdue(self, due: Due, now: float) -> None:
        overdue = {
            name
            for name, room in self.rooms.items()
            if name not in self.leaving
            and room.inexact_since is not None
            and now - room.inexact_since >= self.exact_every_s
        }
        if overdue and self.full_tier and not isinstance(due, ReplyDue | LostDue | LeftDue):
            exact = isinstance(due, SnapshotDue) or (isinstance(due, DeltaDue) and not due.partial)
            assert exact, f"{overdue} wait for an exact message, not {due}"
            assert due.room in overdue

    def snapshot(self, due: SnapshotDue) -> None:
        assert due.room not in self.leaving, "a new room before the old one was left"
        view = self.views[due.room]
        assert due.state == view.of(view.model.history[Position(due.epoch, due.seq)])
        assert room_sum(due.state) == due.sum
        known = self.rooms.get(due.room)
        if known is None:
            assert not self.leaving, "a new room before the old one was left"
            self.rooms[due.room] = ClientRoom(view, due.epoch, due.seq, copy.deepcopy(due.state), due.seq)
            return
        if known.epoch == due.epoch:
            assert due.seq >= known.seq
        else:
            owed = [event.seq for event in view.model.events[known.epoch] if event.seq > known.owed_after]
            known.check_events(max(owed, default=0))
            known.epoch, known.owed_after, known.watermark = due.epoch, due.seq, due.seq
            known.got, known.lost, known.last = set(), [], [(-1, -1)] * len(LANES)
        known.view, known.seq, known.state = view, due.seq, copy.deepcopy(due.state)
        known.inexact_since = None

    def delta(self, room: ClientRoom, due: DeltaDue, now: float) -> None:
        assert due.events or due.dels or due.sets or not due.partial, "an empty message"
        self.events(room, due)
        if due.dels or due.sets or not due.partial:
            self.change(room, due)
        if due.partial:
            assert due.watermark is not None
            assert due.watermark >= room.watermark, f"{due.room}: {due.watermark} after {room.watermark}"
            room.watermark = due.watermark
            if (due.dels or due.sets) and room.inexact_since is None:
                room.inexact_since = now
            room.check_events(due.watermark)
        else:
            assert due.prev <= room.seq < due.seq, "an exact delta that does not fit"
            room.seq = room.watermark = due.seq
            room.inexact_since = None
            assert room.state == room.view.of(room.view.model.history[Position(room.epoch, room.seq)])
            room.check_events(due.seq)

    def change(self, room: ClientRoom, due: DeltaDue) -> None:
        assert room.view.room not in self.leaving
        truth = room.view.of(room.view.model.history[Position(room.epoch, due.seq)])
        for entity in due.dels:
            assert room.repeats or self.unneeded_dels or entity in room.state, f"{entity} was deleted and never had"
            assert entity not in truth or entity in due.sets
            room.state.pop(entity, None)
        for entity, fields in due.sets.items():
            assert entity in truth, f"{entity} was set and does not exist"
            known = room.state.setdefault(entity, {})
            for field, value in fields.items():
                if value is None:
                    known.pop(field, None)
                else:
                    known[field] = value
            assert known == truth[entity], f"{entity} was changed on another base"

    def events(self, room: ClientRoom, due: DeltaDue) -> None:
        for event in due.events:
            place = (event.seq, event.index)
            assert event in room.view.model.events[room.epoch]
            assert event.seq <= due.seq
            if room.repeats and place in room.got:
                continue
            assert place not in room.got, "an event came twice"
            assert place > room.last[event.lane] or room.repeats, "an event came out of its lane's order"
            room.last[event.lane] = place
            room.got.add(place)

    def declare(self, room: ClientRoom, due: LostDue) -> None:
        assert room.owed_after < due.last
        assert due.first <= due.last
        assert due.last <= room.view.model.gone[room.epoch], "declared lost, but the store has it"
        room.lost.append(due)
