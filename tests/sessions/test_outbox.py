"""One outbox, step by step."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from outbox_model import FIELDS, KINDS, ModelRoom, View

from gameserver.sessions.arrears import OutboxLimits
from gameserver.sessions.due import DeltaDue, Hole, LeftDue, LostDue, ReplyDue, SignalDue, SnapshotDue, VerifyDue
from gameserver.sessions.outbox import Outbox, Standing
from gameserver.state.commit import Event
from gameserver.state.events import logged
from gameserver.state.position import Position
from gameserver.state.priority import Priority


class Room:
    """A room whose commits are written out, and an outbox that stands in it."""

    def __init__(self, limits: OutboxLimits | None = None, log_events: int = 100) -> None:
        self.model = ModelRoom("sector:1", Random(0), log_events=log_events)
        self.view = View(self.model, frozenset(KINDS), frozenset(FIELDS))
        self.outbox = Outbox(limits) if limits else Outbox()
        self.outbox.join(self.view, 0, 1, 0, 0.0)

    def commit(
        self, sets: dict[str, dict[str, Any]] | None = None, dels: list[str] | None = None, events: int = 0
    ) -> None:
        sets, dels, model = sets or {}, dels or [], self.model
        created = [entity for entity in sets if entity not in model.state]
        for entity in dels:
            del model.state[entity]
        for entity, fields in sets.items():
            known = model.state.setdefault(entity, {})
            for field, value in fields.items():
                if value is None:
                    known.pop(field)
                else:
                    known[field] = value
        model.position = Position(1, model.position.seq + 1)
        model.log.append(model.position.seq, 0, [Event("e", {}, None, Priority.CHAT)] * events)
        self.outbox.mark("sector:1", dels, sets, created, 0.0)

    def drain(self) -> list[Any]:
        sent = []
        while (due := self.outbox.next(0.0)) is not None:
            sent.append(due)
        return sent

    def delta(self) -> DeltaDue:
        (due,) = [due for due in self.drain() if not isinstance(due, VerifyDue)]
        assert isinstance(due, DeltaDue)
        return due


def test_only_what_changed_as_it_is_now() -> None:
    """Many changes of an entity become the present values of the fields that changed, None for those gone."""
    room = Room()
    room.commit({"ship:1": {"x": 1, "y": 1, "name": "a"}})
    assert room.delta().sets == {"ship:1": {"x": 1, "y": 1, "name": "a"}}
    room.commit({"ship:1": {"x": 2}})
    room.commit({"ship:1": {"x": 3}})
    room.commit({"ship:1": {"y": None}})
    delta = room.delta()
    assert (delta.prev, delta.seq, delta.partial) == (1, 4, False)
    assert delta.sets == {"ship:1": {"x": 3, "y": None}}


def test_an_entity_that_came_and_went_is_not_mentioned() -> None:
    """Created and deleted before the client heard of it: neither a set nor a del, but the position moves."""
    room = Room()
    room.commit({"ship:1": {"x": 1}})
    room.commit(dels=["ship:1"])
    delta = room.delta()
    assert (delta.seq, list(delta.dels), delta.sets) == (2, [], {})


def test_replaced_whole() -> None:
    """Deleted and made again: in both dels and sets, whole; made again before the client ever had it: a set alone."""
    room = Room()
    room.commit({"ship:1": {"x": 1, "y": 1}})
    room.drain()
    room.commit(dels=["ship:1"])
    room.commit({"ship:1": {"x": 5}, "ship:2": {"x": 1}})
    room.commit({"ship:2": {"y": 2}}, dels=["ship:2"])
    delta = room.delta()
    assert list(delta.dels) == ["ship:1"]
    assert delta.sets == {"ship:1": {"x": 5}, "ship:2": {"y": 2}}
    room.commit({"ship:3": {"x": 1}})
    room.commit({"ship:3": {"x": 2}}, dels=["ship:3"])
    room.commit(dels=["ship:3"])
    assert list(room.delta().dels) == []


def test_drained_with_a_proof() -> None:
    """After the last delta comes a proof, then nothing is owed."""
    room = Room()
    room.commit({"ship:1": {"x": 1}})
    assert not room.outbox.drained
    sent = room.drain()
    assert isinstance(sent[-1], VerifyDue)
    assert (sent[-1].seq, sent[-1].sum) == (1, room.view.sum())
    assert room.outbox.drained
    assert room.outbox.positions() == {"sector:1": Standing(1, 1, 1, True)}
    assert room.outbox.due_at(0.0) is None


def test_commits_the_view_does_not_show_move_the_position() -> None:
    """A room that only moved on is brought up by an empty exact delta."""
    room = Room()
    room.commit()
    delta = room.delta()
    assert (delta.prev, delta.seq, delta.sets) == (0, 1, {})


def test_too_many_dirty_entities_become_a_snapshot() -> None:
    """Above the cap the memory of what is dirty is released and a snapshot owed."""
    room = Room(OutboxLimits(dirty_cap=100))
    for number in range(0, 10_000, 50):
        room.commit({f"ship:{each}": {"x": 1} for each in range(number, number + 50)})
        assert room.outbox.size < 2000 + 1500 + 150 * 150
    (snapshot, verify) = room.drain()
    assert isinstance(snapshot, SnapshotDue)
    assert isinstance(verify, VerifyDue)
    assert len(snapshot.state) == 10_000


def test_answers_come_first_and_congest() -> None:
    """Answers are never dropped; too many of them, or too large, say to read no more."""
    room = Room(OutboxLimits(replies_cap=3, reply_bytes=100))
    room.commit({"ship:1": {"x": 1}})
    for number in range(3):
        assert not room.outbox.congested
        room.outbox.reply(number, 10)
    assert room.outbox.congested
    assert [room.outbox.next(0.0) for _ in range(3)] == [ReplyDue(number) for number in range(3)]
    room.outbox.reply("large", 100)
    assert room.outbox.congested
    assert room.outbox.next(0.0) == ReplyDue("large")
    assert not room.outbox.congested


def test_the_latest_signal_by_key() -> None:
    """A key keeps its turn and shows its latest value; beyond the caps the longest waiting is dropped."""
    room = Room(OutboxLimits(signal_cap=2, signal_bytes=3000))
    for key, value in (("a", 1), ("b", 2), ("a", 3)):
        room.outbox.signal("sector:1", key, value, "ann", 0.0)
    room.outbox.prove("sector:1", 0.0)
    signals = [due for due in room.drain() if isinstance(due, SignalDue)]
    assert [(due.key, due.data) for due in signals] == [("a", 3), ("b", 2)]
    for key in "abc":
        room.outbox.signal("sector:1", key, key, None, 0.0)
    assert [due.key for due in room.drain()] == ["b", "c"]
    for key in "abc":
        room.outbox.signal("sector:1", key, b"x" * 1600, None, 0.0)
    assert [due.key for due in room.drain()] == ["c"]


def test_leaving_pays_the_events_and_says_so() -> None:
    """Events due, `left`, and only then the snapshot of the room entered instead; no state of the old."""
    room = Room()
    room.commit({"ship:1": {"x": 1}}, events=100)
    other = View(ModelRoom("sector:2", Random(0)), frozenset(KINDS), frozenset(FIELDS))
    assert room.outbox.leave("sector:1", "moved", 0.0)
    room.outbox.enter(other, 0.0)
    sent = room.drain()
    assert [type(due) for due in sent] == [DeltaDue, DeltaDue, LeftDue, SnapshotDue, VerifyDue]
    assert sum(len(due.events) for due in sent[:2]) == 100
    assert not any(due.sets for due in sent[:2])
    assert sent[1].watermark == 1
    assert sent[2] == LeftDue("sector:1", "moved")


def test_leaving_a_room_never_shown() -> None:
    """A room that was left before its snapshot was sent leaves no trace."""
    outbox = Outbox()
    outbox.enter(View(ModelRoom("sector:2", Random(0)), frozenset(KINDS), frozenset(FIELDS)), 0.0)
    outbox.signal("sector:2", "pose", 1, None, 0.0)
    assert outbox.positions() == {}
    assert not outbox.leave("sector:2", "moved", 0.0)
    assert outbox.next(0.0) is None
    assert outbox.drained


def test_joining_twice_is_a_mistake() -> None:
    """A room the client is in cannot be joined again."""
    room = Room()
    with pytest.raises(ValueError, match="already"):
        room.outbox.enter(room.view, 0.0)
    assert "sector:1" in room.outbox


def test_a_position_from_elsewhere_is_answered_by_a_snapshot() -> None:
    """Of another epoch, or ahead of the room: no delta can start there."""
    room = Room()
    room.commit({"ship:1": {"x": 1}})
    for epoch, seq in ((9, 1), (1, 5)):
        outbox = Outbox()
        outbox.join(room.view, seq, epoch, seq, 0.0)
        assert isinstance(outbox.next(0.0), SnapshotDue)
        assert outbox.positions()["sector:1"] == Standing(1, 1, 1, True)


def test_a_hole_is_wanted_refilled_and_the_rest_declared() -> None:
    """Events the worker dropped are asked for; what the store has no longer is declared lost before the others."""
    room = Room(log_events=5)
    for _ in range(10):
        room.commit(events=1)
    assert room.outbox.wanted() == [Hole("sector:1", 1, 0, 5)]
    assert room.outbox.next(0.0) is None
    refill = [logged(seq, 0, [Event("e", {}, None, Priority.CHAT)])[0] for seq in (4, 5)]
    room.outbox.refill(Hole("sector:1", 9, 0, 5), refill, 4)
    assert room.outbox.wanted(), "an answer about another epoch fills nothing"
    room.outbox.refill(room.outbox.wanted()[0], refill, 4)
    assert room.outbox.wanted() == []
    lost, delta, verify = room.drain()
    assert lost == LostDue("sector:1", 1, 3, Priority.CHAT)
    assert [event.seq for event in delta.events] == [4, 5, 6, 7, 8, 9, 10]
    assert (delta.partial, delta.seq) == (False, 10)
    assert isinstance(verify, VerifyDue)


def test_everything_gone() -> None:
    """A reset log of which the store has nothing loses all lanes at once."""
    room = Room()
    room.model.position = Position(1, 8)
    room.model.log.reset(8, 1)
    (hole,) = room.outbox.wanted()
    assert hole == Hole("sector:1", 1, 0, 8)
    room.outbox.refill(hole, [], hole.upto + 1)
    assert room.drain()[0] == LostDue("sector:1", 1, 8, None)


def test_a_new_epoch_ends_the_old_one_first() -> None:
    """What was due of the old epoch is declared lost while the client still counts by it, then comes the snapshot."""
    room = Room()
    room.commit({"ship:1": {"x": 1}}, events=1)
    room.model.reborn()
    lost, snapshot, verify = room.drain()
    assert lost == LostDue("sector:1", 1, 1, None)
    assert snapshot.epoch == verify.epoch == 2
    assert room.outbox.drained


def test_resync_owes_the_events_too() -> None:
    """A snapshot takes no event away: those not sent yet follow it."""
    room = Room()
    room.commit({"ship:1": {"x": 1}}, events=100)
    room.outbox.reset("sector:1", 0.0)
    sent = room.drain()
    assert isinstance(sent[0], SnapshotDue)
    assert sum(len(due.events) for due in sent if isinstance(due, DeltaDue)) == 100
    assert all(due.partial for due in sent if isinstance(due, DeltaDue))
    assert room.outbox.positions()["sector:1"].watermark == 1
