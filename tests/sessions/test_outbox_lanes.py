"""In what order a slow client gets things: what matters first, and nothing never."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

from outbox_model import FIELDS, KINDS, ModelRoom, View

from gameserver.sessions.arrears import OutboxLimits
from gameserver.sessions.due import DeltaDue, SnapshotDue
from gameserver.sessions.outbox import Outbox
from gameserver.sessions.quality import Tier
from gameserver.state.commit import Event
from gameserver.state.events import EventLog
from gameserver.state.priority import Priority

AGING = 2.0


def everything(model: ModelRoom) -> View:
    return View(model, frozenset(KINDS), frozenset(FIELDS))


class Siege:
    """Two rooms that change far faster than one client's line carries: some messages a second for two minutes."""

    def __init__(self, messages_per_second: float) -> None:
        rng = Random(7)
        self.models = [
            ModelRoom(name, rng, population=80, log_events=4000, records=False) for name in ("sector:1", "global")
        ]
        self.outbox = Outbox()
        self.now = 0.0
        self.waits: dict[str, list[float]] = {lane.word: [] for lane in Priority}
        self.exact: dict[str, list[float]] = {model.name: [0.0] for model in self.models}
        for model in self.models:
            for _ in range(100):
                model.commit(0.0, changes=10, events=[])
            self.outbox.join(everything(model), model.position.seq, 1, model.position.seq, 0.0)
        line = 0.0
        while self.now < 120.0:
            self.now += 0.05
            for model in self.models:
                chat = [Event("chat", {"text": "x" * 50}, None, Priority.CHAT)] * 4
                combat = [Event("combat", {}, None, Priority.COMBAT)] if rng.random() < 0.1 else []
                change = everything(model).change(*model.commit(self.now, changes=40, events=chat + combat))
                self.outbox.mark(model.name, *change, self.now)
            line += messages_per_second * 0.05
            while line >= 1.0:
                line -= 1.0
                self.take()

    def take(self) -> None:
        due = self.outbox.next(self.now)
        if isinstance(due, SnapshotDue):
            self.exact[due.room].append(self.now)
        elif isinstance(due, DeltaDue):
            if not due.partial:
                self.exact[due.room].append(self.now)
            for event in due.events:
                self.waits[event.name].append(self.now - event.at / 1000)


def test_combat_comes_before_chat_and_chat_comes() -> None:
    """Under steady overload combat waits for no more than the messages of other obligations, chat for its age."""
    siege = Siege(messages_per_second=4)
    combat, chat = siege.waits["combat"], siege.waits["chat"]
    assert len(combat) > 300
    assert max(combat) < 4.0
    assert sorted(combat)[len(combat) // 2] < 0.6
    assert len(chat) > 5000
    assert max(chat) < 20.0


def test_every_room_is_made_exact_from_time_to_time() -> None:
    """However little the line carries, no room stays inexact much longer than five seconds."""
    siege = Siege(messages_per_second=3)
    for moments in siege.exact.values():
        assert len(moments) > 10
        assert max(later - earlier for earlier, later in pairwise(moments)) < 8.0


def beset() -> tuple[Outbox, ModelRoom]:
    """A room never made exact by force, with one star and one chat event of time 0 behind what matters more."""
    model = ModelRoom("sector:1", Random(1), population=1000, records=False)
    model.log = EventLog(0, 1, max_bytes=1 << 26, max_events=100_000)
    outbox = Outbox(OutboxLimits(exact_every_s=math.inf))
    outbox.join(everything(model), 0, 1, 0, 0.0)
    model.state = {"star:0": {"x": 1}}
    model.position = model.position._replace(seq=1)
    model.log.append(1, 0, [Event("chat", {}, None, Priority.CHAT)])
    outbox.mark("sector:1", [], {"star:0": {"x": 1}}, ["star:0"], 0.0)
    return outbox, model


def wait_for(lane: Priority) -> float:
    """How long the star or the chat event waits while each message could be filled with fresh combat."""
    outbox, model = beset()
    for tenth in range(1, 300):
        now = tenth / 10
        sets = {f"drone:{number}": {"x": now} for number in range(300)}
        model.state.update(sets)
        model.position = model.position._replace(seq=model.position.seq + 1)
        combat = [Event("combat", {}, None, Priority.COMBAT)] * 100
        model.log.append(model.position.seq, round(now * 1000), combat)
        outbox.mark("sector:1", [], sets, (), now)
        due = outbox.next(now)
        assert isinstance(due, DeltaDue)
        if "star:0" in due.sets if lane is Priority.COSMETIC else any(event.lane is lane for event in due.events):
            return now
    raise AssertionError(f"{lane.word} starves")


def test_low_state_does_not_starve() -> None:
    """The least important entity is sent once it has waited for as many agings as it is lanes away."""
    assert 6.0 <= wait_for(Priority.COSMETIC) <= (Priority.COSMETIC - Priority.COMBAT) * AGING + 0.6


def test_chat_does_not_starve() -> None:
    """An event of chat too, though combat events alone fill every message and pile up."""
    assert 6.0 <= wait_for(Priority.CHAT) <= 12.0


def test_more_important_rooms_first() -> None:
    """A message of one room does not take along what matters less than another room's work."""
    outbox = Outbox()
    for name, lanes in (("global", (1,) + (4,) * 100), ("sector:1", (1,) * 100)):
        model = ModelRoom(name, Random(1), log_events=1000)
        outbox.join(everything(model), 0, 1, 0, 0.0)
        change = model.commit(0.0, changes=0, events=[Event("", {}, None, lane) for lane in lanes])
        outbox.mark(name, *change, 0.0)
    sent = [outbox.next(0.0) for _ in range(3)]
    assert all(isinstance(due, DeltaDue) for due in sent)
    assert [{event.lane for event in due.events} for due in sent if isinstance(due, DeltaDue)] == [
        {Priority.COMBAT}
    ] * 3


def test_a_low_tier_waits_but_not_with_answers_and_system_events() -> None:
    """At 1 Hz state waits for its turn; answers and system events do not."""
    model = ModelRoom("global", Random(1))
    outbox = Outbox(tier=Tier.LOW)
    outbox.join(everything(model), 0, 1, 0, 0.0)

    def commit(now: float, *lanes: int) -> None:
        outbox.mark("global", *model.commit(now, changes=3, events=[Event("", {}, None, lane) for lane in lanes]), now)

    commit(10.0)
    first = outbox.next(10.0)
    assert isinstance(first, DeltaDue)
    assert outbox.next(10.0) is not None  # the proof
    commit(10.1, Priority.CHAT)
    assert outbox.next(10.1) is None
    assert outbox.due_at(10.1) == 11.0
    outbox.reply("pong", 10)
    assert outbox.due_at(10.2) == 10.2
    assert outbox.next(10.2) is not None
    commit(10.3, Priority.SYSTEM)
    announced = outbox.next(10.3)
    assert isinstance(announced, DeltaDue)
    assert announced.partial
    assert [event.lane for event in announced.events] == [Priority.SYSTEM]
    assert not announced.sets
    assert outbox.next(10.4) is None
    rest = outbox.next(11.0)
    assert isinstance(rest, DeltaDue)
    assert not rest.partial
    assert [event.lane for event in rest.events] == [Priority.CHAT]
    outbox.tier = Tier.FULL
    commit(11.1)
    assert isinstance(outbox.next(11.1), DeltaDue)
