"""The client's copy against a model of the server, over random histories and lines."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.client.events import EventReceived, LostEvents, ResyncNeeded
from gameserver.client.replica import ClientReplica
from gameserver.protocol import outgoing
from gameserver.protocol.codes import Priority
from gameserver.state.checksum import room_sum
from gameserver.state.delta import Delta, State, apply

ROOM = "sector:1"
EPOCH = 5
LANES = (Priority.COMBAT, Priority.CHAT)

entities = st.sampled_from(["a", "b", "c"])
fields = st.dictionaries(st.sampled_from(["x", "y"]), st.none() | st.integers(0, 3), max_size=2)
commits = st.tuples(
    st.sets(entities, max_size=1),
    st.dictionaries(entities, fields, max_size=2),
    st.lists(st.integers(0, 1), max_size=2),
)


@dataclass
class Truth:
    """A room's whole history: the state at every seq, and the changes and events between."""

    states: list[State] = field(default_factory=lambda: [{}])
    deltas: list[Delta] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)

    @property
    def head(self) -> int:
        return len(self.deltas)

    def commit(self, dels: set[str], sets: State, lanes: list[int]) -> None:
        before = self.states[-1]
        known = set(before) - dels
        # As a draft does: a new entity has no fields to remove.
        made = {
            entity: changed
            if entity in known
            else {name: value for name, value in changed.items() if value is not None}
            for entity, changed in sets.items()
        }
        state = copy.deepcopy(before)
        apply(state, dels, made)
        self.states.append(state)
        self.deltas.append(Delta(dels, made))
        self.events += [
            outgoing.event("e", {}, None, self.head, index, 0, LANES[lane]) for index, lane in enumerate(lanes)
        ]

    def between(self, low: int, high: int, lanes: tuple[Priority, ...] = LANES) -> list[Any]:
        words = [lane.word for lane in lanes]
        return [each for each in self.events if low < each["seq"] <= high and each["priority"] in words]

    def snapshot(self, seq: int) -> Any:
        return outgoing.snapshot(ROOM, EPOCH, seq, self.states[seq], room_sum(self.states[seq]))

    def exact(self, prev: int, seq: int) -> Any:
        composed = Delta()
        for each in self.deltas[prev:seq]:
            composed.extend(each.dels, each.sets)
        return outgoing.delta(ROOM, prev, seq, composed.dels, composed.sets, self.between(prev, seq))

    def partial(self, prev: int, seq: int, entity: str) -> Any:
        now = self.states[seq].get(entity)
        return outgoing.delta(ROOM, prev, seq, [entity], {} if now is None else {entity: now}, partial=True)

    def verify(self, seq: int) -> Any:
        return outgoing.verify(ROOM, EPOCH, seq, room_sum(self.states[seq]))


def history(all_commits: list[Any]) -> Truth:
    truth = Truth()
    for dels, sets, lanes in all_commits:
        truth.commit(dels, sets, lanes)
    return truth


@settings(max_examples=150, deadline=None)
@given(st.lists(commits, min_size=1, max_size=8), st.data())
def test_whatever_the_line_does_an_exact_copy_is_the_truth(all_commits: list[Any], data: st.DataObject) -> None:
    """Lost, doubled and reordered messages never make a copy that is wrong and thinks itself exact [DEL5] [DEL7]."""
    truth = history(all_commits)
    seqs = st.integers(0, truth.head)
    ranges = st.tuples(seqs, seqs).filter(lambda pair: pair[0] < pair[1])
    messages = st.one_of(
        ranges.map(lambda pair: truth.exact(*pair)),
        st.tuples(ranges, entities).map(lambda given: truth.partial(*given[0], given[1])),
        seqs.map(truth.verify),
        seqs.map(truth.snapshot),
    )
    replica = ClientReplica()
    replica.feed(copy.deepcopy(truth.snapshot(data.draw(seqs))))
    told: Counter[tuple[int, int]] = Counter()
    for message in data.draw(st.lists(messages, max_size=14)):
        for each in replica.feed(copy.deepcopy(message)):
            if isinstance(each, EventReceived):
                told[each.event.seq, each.event.index] += 1
        room = replica.rooms[ROOM]
        if room.exact:
            assert room.state == truth.states[room.seq]
            assert room.sum == room_sum(room.state)
    assert replica.counters.mismatches == 0
    assert all(times == 1 for times in told.values())


@dataclass
class Server:
    """What a correct server sends to one client over a line that keeps the order and may be cut."""

    truth: Truth
    seq: int = 0
    cursors: list[int] = field(default_factory=lambda: [0, 0])
    line: list[Any] = field(default_factory=list)

    def flush(self) -> None:
        """Everything up to the head, as an exact delta; lanes that ran ahead are not repeated."""
        head = self.truth.head
        message = self.truth.exact(self.seq, head)
        message["events"] = self._due([head, head])
        self.line.append(message)
        self.seq, self.cursors = head, [head, head]

    def hurry(self, lane: int, entity: str) -> None:
        """One lane's events and one entity, ahead of the rest."""
        cursors = list(self.cursors)
        cursors[lane] = self.truth.head
        message = self.truth.partial(self.seq, self.truth.head, entity)
        message["events"] = self._due(cursors)
        message["watermark"] = min(cursors)
        self.line.append(message)
        self.cursors = cursors

    def snapshot(self, lose: bool) -> None:
        """A snapshot, then the events owed up to it or word that they are lost."""
        head = self.truth.head
        self.line.append(self.truth.snapshot(head))
        low = min(self.cursors)
        if lose and low < head:
            self.line.append(outgoing.lost(ROOM, low + 1, head))
        else:
            owed = self._due([head, head])
            self.line.append(outgoing.delta(ROOM, self.seq, head, events=owed, partial=True, watermark=head))
        self.seq, self.cursors = head, [head, head]

    def resume(self, given: list[int]) -> None:
        self.line.clear()
        self.seq = given[1]
        self.cursors = [given[-1], given[-1]]

    def _due(self, cursors: list[int]) -> list[Any]:
        return [
            each
            for lane, (low, high) in enumerate(zip(self.cursors, cursors, strict=True))
            for each in self.truth.between(low, high, (LANES[lane],))
        ]


steps = st.one_of(
    st.tuples(st.just("commit"), commits),
    st.tuples(st.just("flush"), st.none()),
    st.tuples(st.just("hurry"), st.tuples(st.integers(0, 1), entities)),
    st.tuples(st.just("snapshot"), st.booleans()),
    st.tuples(st.just("deliver"), st.integers(0, 3)),
    st.tuples(st.just("cut"), st.none()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=30))
def test_every_event_comes_once_or_is_declared_lost(script: list[Any]) -> None:
    """Over lanes, resyncs and resumes no event is told twice and none goes missing in silence [EVT3] [EVT4] [RES5]."""
    truth = Truth()
    server, replica = Server(truth), ClientReplica()
    replica.feed(truth.snapshot(0))
    told: Counter[tuple[int, int]] = Counter()
    lost: set[int] = set()

    def deliver(count: int) -> None:
        for message in server.line[:count]:
            for each in replica.feed(copy.deepcopy(message)):
                assert not isinstance(each, ResyncNeeded)
                if isinstance(each, EventReceived):
                    told[each.event.seq, each.event.index] += 1
                elif isinstance(each, LostEvents):
                    lost.update(range(each.first, each.last + 1))
        del server.line[:count]

    for step, argument in script:
        if step == "commit":
            truth.commit(*argument)
        elif step == "flush" and server.seq < truth.head:
            server.flush()
        elif step == "hurry" and server.seq < truth.head:
            server.hurry(*argument)
        elif step == "snapshot":
            server.snapshot(argument)
        elif step == "deliver":
            deliver(argument)
        elif step == "cut":
            server.resume(replica.positions()[ROOM])
    server.flush()
    deliver(len(server.line))

    assert replica.rooms[ROOM].exact
    assert replica.rooms[ROOM].state == truth.states[-1]
    assert all(times == 1 for times in told.values())
    assert {(each["seq"], each["index"]) for each in truth.events if each["seq"] not in lost} <= set(told)
    assert len(replica.rooms[ROOM].events) == 0
