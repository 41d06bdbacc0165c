"""The client's copy of its rooms, rule by rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gameserver.client.deduplication import EventMemory
from gameserver.client.events import (
    EventReceived,
    LostEvents,
    ResyncNeeded,
    RoomChanged,
    RoomLeft,
    RoomLoaded,
    SignalReceived,
    Verified,
)
from gameserver.client.replica import ClientReplica
from gameserver.errors import BadMessage
from gameserver.protocol import outgoing
from gameserver.protocol.codes import Priority
from gameserver.state.checksum import room_sum
from gameserver.state.position import Position

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "checksum.json").read_text())
ROOM = "sector:1"
SHIP = {"ship:a": {"x": 1, "y": 2}}


def event(seq: int, index: int = 0) -> Any:
    return outgoing.event("hit", {"n": seq}, None, seq, index, 0, Priority.COMBAT)


def feed(replica: ClientReplica, message: Any) -> list[Any]:
    return list(replica.feed(json.loads(json.dumps(message))))


def delta(prev: int, seq: int, **more: Any) -> Any:
    return outgoing.delta(ROOM, prev, seq, **more)


def verify(seq: int, state: Any, epoch: int = 7) -> Any:
    return outgoing.verify(ROOM, epoch, seq, room_sum(state))


def loaded(seq: int = 10, state: Any = None) -> ClientReplica:
    replica = ClientReplica()
    feed(replica, outgoing.snapshot(ROOM, 7, seq, SHIP if state is None else state, 0))
    return replica


def seqs_told(told: list[Any]) -> list[int]:
    return [each.event.seq for each in told if isinstance(each, EventReceived)]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["case"])
def test_checksums_are_those_of_the_vectors(vector: Any) -> None:
    """A snapshot's state sums to what every other implementation computes [SUM1] [SUM2] [SUM3] [SUM4] [SUM5]."""
    replica = ClientReplica()
    feed(replica, outgoing.snapshot(ROOM, 1, 1, vector["state"], vector["sum"]))
    assert replica.rooms[ROOM].sum == vector["sum"]


def test_a_snapshot_replaces_everything() -> None:
    """State, position and epoch are the snapshot's [SNAP1]."""
    replica = loaded()
    told = feed(replica, outgoing.snapshot(ROOM, 8, 3, {"b": {}}, 0))
    assert told == [RoomLoaded(ROOM, 8, 3)]
    assert replica.rooms[ROOM].state == {"b": {}}
    assert replica.rooms[ROOM].position == Position(8, 3)


def test_an_exact_delta_applies_del_before_set() -> None:
    """In both an entity is replaced whole, null removes a field, the position moves [DEL1] [DEL2] [DEL3] [DEL4]."""
    replica = loaded(state={"ship:a": {"x": 1, "y": 2}, "ship:b": {"x": 1, "y": 2}, "ship:c": {"x": 1}})
    told = feed(
        replica,
        delta(10, 14, dels=["ship:a", "ship:c"], sets={"ship:a": {"z": 3}, "ship:b": {"y": None}, "ship:d": {}}),
    )
    expected = {"ship:a": {"z": 3}, "ship:b": {"x": 1}, "ship:d": {}}
    assert [type(each) for each in told] == [RoomChanged]
    assert replica.rooms[ROOM].state == expected
    assert replica.rooms[ROOM].position == Position(7, 14)
    assert replica.rooms[ROOM].sum == room_sum(expected)


def test_the_checksum_follows_changes() -> None:
    """What was summed before a change is summed anew after it [SUM1]."""
    replica = loaded()
    room = replica.rooms[ROOM]
    for seq, sets in enumerate([{"ship:a": {"x": 5}}, {"ship:b": {"x": 5}}, {"ship:a": {"x": None, "y": None}}], 11):
        assert room.sum == room_sum(room.state)
        feed(replica, delta(seq - 1, seq, sets=sets))
        assert room.sum == room_sum(room.state)
    feed(replica, delta(13, 14, dels=["ship:a", "never:there"]))
    assert room.sum == room_sum({"ship:b": {"x": 5}})


@pytest.mark.parametrize(("prev", "seq"), [(8, 9), (9, 10), (5, 10)])
def test_at_or_below_the_position_nothing_changes(prev: int, seq: int) -> None:
    """Old deltas change no state, and their events count once [DEL7] [EVT3]."""
    replica = loaded()
    message = delta(prev, seq, dels=["ship:a"], events=[event(seq)])
    assert seqs_told(feed(replica, message)) == [seq]
    assert feed(replica, message) == []
    assert replica.rooms[ROOM].state == SHIP
    assert replica.counters.duplicates == 2
    assert replica.counters.duplicate_events == 1


def test_a_composed_delta_may_reach_over_the_position() -> None:
    """Only prev <= position < seq counts [DEL5] [DEL8]."""
    replica = loaded()
    feed(replica, delta(7, 12, sets={"ship:a": {"x": 9}}))
    assert replica.rooms[ROOM].position.seq == 12


def test_a_gap_asks_once_and_is_not_applied() -> None:
    """A prev above the position asks for a resync, once until that came; its events count [DEL6]."""
    replica = loaded()
    told = feed(replica, delta(11, 12, dels=["ship:a"], events=[event(12)]))
    assert [each for each in told if isinstance(each, ResyncNeeded)] == [ResyncNeeded(ROOM, "gap")]
    assert seqs_told(told) == [12]
    assert feed(replica, delta(12, 13)) == []
    assert replica.rooms[ROOM].state == SHIP
    assert replica.rooms[ROOM].doubt == "gap"
    feed(replica, outgoing.snapshot(ROOM, 7, 13, {}, 0))
    assert replica.rooms[ROOM].doubt is None
    assert [type(each) for each in feed(replica, delta(15, 16))] == [ResyncNeeded]
    assert replica.counters.resyncs == 2


def test_a_gap_is_healed_by_a_delta_that_fits() -> None:
    """What bridges the gap makes a snapshot needless."""
    replica = loaded()
    feed(replica, delta(11, 12))
    feed(replica, delta(10, 12, sets={"ship:a": {"x": 2}}))
    assert replica.rooms[ROOM].doubt is None
    assert replica.doubtful() == []


def test_a_partial_delta_moves_no_position() -> None:
    """Values come early, nothing is compared until an exact delta [DEL10] [DEL11]."""
    replica = loaded()
    told = feed(replica, delta(10, 15, sets={"ship:a": {"x": 5}}, partial=True))
    room = replica.rooms[ROOM]
    assert told == [RoomChanged(ROOM, (), {"ship:a": {"x": 5}}, True)]
    assert (room.position.seq, room.exact, room.state["ship:a"]["x"]) == (10, False, 5)
    assert feed(replica, verify(10, SHIP)) == []
    assert feed(replica, verify(15, SHIP)) == []
    feed(replica, delta(10, 15, sets={"ship:a": {"x": 5}}))
    assert room.exact
    assert feed(replica, verify(15, room.state)) == [Verified(ROOM, True, 15)]


def test_an_exact_delta_below_a_partial_leaves_the_room_inexact() -> None:
    """Values read at 15 are still in the state after an exact delta to 12 [DEL11]."""
    replica = loaded()
    feed(replica, delta(10, 15, sets={"ship:a": {"x": 5}}, partial=True))
    feed(replica, delta(10, 12, sets={"ship:a": {"y": 5}}))
    assert not replica.rooms[ROOM].exact


def test_a_partial_delta_of_events_alone_stays_exact() -> None:
    """Only a partial with state makes a room inexact [DEL11]."""
    replica = loaded()
    assert seqs_told(feed(replica, delta(10, 15, events=[event(12)], partial=True, watermark=12))) == [12]
    assert replica.rooms[ROOM].exact


def test_verify_compares_at_the_exact_position_alone() -> None:
    """Equal is told, below is ignored, above and another epoch ask for a resync [VER2] [VER3]."""
    assert feed(loaded(), verify(10, SHIP)) == [Verified(ROOM, True, 10)]
    assert feed(loaded(), verify(9, {})) == []
    assert feed(loaded(), verify(11, SHIP)) == [ResyncNeeded(ROOM, "behind")]
    assert feed(loaded(), verify(10, SHIP, epoch=8)) == [ResyncNeeded(ROOM, "foreign epoch")]


def test_a_mismatch_is_counted_and_outlasts_deltas() -> None:
    """A wrong copy stays in doubt until a snapshot, however well the deltas fit [VER2]."""
    replica = loaded()
    assert feed(replica, verify(10, {})) == [Verified(ROOM, False, 10), ResyncNeeded(ROOM, "mismatch")]
    feed(replica, delta(10, 11))
    assert feed(replica, verify(11, {})) == []
    assert replica.doubtful() == [ROOM]
    assert (replica.counters.mismatches, replica.counters.resyncs) == (1, 1)
    feed(replica, outgoing.snapshot(ROOM, 7, 11, {}, 0))
    assert feed(replica, verify(11, {})) == [Verified(ROOM, True, 11)]


def test_in_a_foreign_epoch_no_delta_is_taken() -> None:
    """Numbers of another epoch may fit by chance: only a snapshot places the room again [DEL9]."""
    replica = loaded()
    feed(replica, verify(10, SHIP, epoch=8))
    assert feed(replica, delta(10, 11, dels=["ship:a"], events=[event(11)])) == []
    assert replica.rooms[ROOM].state == SHIP
    assert replica.counters.unexpected == 1


def test_events_of_a_new_epoch_are_new() -> None:
    """The same seq and index in another epoch is another event [EVT3]."""
    replica = loaded()
    assert seqs_told(feed(replica, delta(10, 11, events=[event(11)]))) == [11]
    feed(replica, outgoing.snapshot(ROOM, 8, 10, {}, 0))
    assert seqs_told(feed(replica, delta(10, 11, events=[event(11)]))) == [11]


def test_events_owed_after_a_resync_are_taken_before_and_after_the_next_delta() -> None:
    """What lay between watermark and snapshot counts once, also when it comes late [SNAP3]."""
    replica = loaded()
    feed(replica, delta(11, 12, events=[event(12)]))
    feed(replica, outgoing.snapshot(ROOM, 7, 14, SHIP, 0))
    assert replica.positions() == {ROOM: [7, 10]}
    assert seqs_told(feed(replica, delta(10, 14, events=[event(11)], partial=True))) == [11]
    assert seqs_told(feed(replica, delta(14, 15, events=[event(15)]))) == [15]
    assert seqs_told(feed(replica, delta(10, 14, events=[event(12), event(13)], partial=True))) == [13]
    assert replica.positions() == {ROOM: [7, 15]}
    assert seqs_told(feed(replica, delta(10, 15, events=[event(11), event(12), event(13), event(15)]))) == []


def test_hello_names_a_watermark_above_the_position() -> None:
    """Events that ran ahead of the state are not asked for again [RES1] [DEL13]."""
    replica = loaded()
    feed(replica, delta(10, 15, events=[event(13)], partial=True, watermark=14))
    assert replica.positions() == {ROOM: [7, 10, 14]}
    assert seqs_told(feed(replica, delta(10, 15, events=[event(13), event(15)]))) == [15]


def test_lost_events_are_told_and_recorded() -> None:
    """A declared loss moves the watermark when it is of all lanes and leaves no hole [EVT4]."""
    replica = loaded()
    message = outgoing.lost(ROOM, 11, 13, Priority.CHAT)
    assert feed(replica, message) == [LostEvents(ROOM, 11, 13, "chat")]
    assert replica.positions() == {ROOM: [7, 10]}
    feed(replica, outgoing.lost(ROOM, 13, 14))
    assert replica.positions() == {ROOM: [7, 10]}
    feed(replica, outgoing.lost(ROOM, 11, 14))
    assert replica.positions() == {ROOM: [7, 10, 14]}
    assert list(replica.rooms[ROOM].lost) == [(11, 13, "chat"), (13, 14, None), (11, 14, None)]
    assert replica.counters.lost == 3


def test_signals_are_passed_on() -> None:
    """A signal is neither counted by seq nor kept [SIG1]."""
    told = feed(ClientReplica(), outgoing.signal(ROOM, "pose", [1, 2], "robot"))
    assert told == [SignalReceived(ROOM, "pose", [1, 2], "robot")]


def test_a_room_that_was_left_is_gone_and_coming_back_tells_nothing_twice() -> None:
    """After left the room is not held; its events are remembered for a return [ROOM5] [EVT3]."""
    replica = loaded()
    feed(replica, delta(10, 11, events=[event(11)]))
    assert feed(replica, outgoing.left(ROOM, "moved")) == [RoomLeft(ROOM, "moved")]
    assert replica.rooms == {}
    assert feed(replica, delta(11, 12)) == []
    feed(replica, outgoing.snapshot(ROOM, 7, 13, {}, 0))
    assert seqs_told(feed(replica, delta(10, 13, events=[event(11), event(13)]))) == [13]


def test_a_room_without_a_snapshot_asks_for_one() -> None:
    """Told of a room it does not hold, a client is lost and says so once."""
    replica = ClientReplica()
    assert feed(replica, delta(1, 2)) == [ResyncNeeded(ROOM, "unknown room")]
    assert feed(replica, verify(2, {})) == []


def test_what_was_not_recovered_waits_for_its_snapshot() -> None:
    """A room of which welcome says false takes nothing but a snapshot or left [RES5] [RES8]."""
    replica = loaded()
    feed(replica, outgoing.snapshot("global", 7, 1, {}, 0))
    replica.resumed({"global": True, ROOM: False})
    assert replica.doubtful() == [ROOM]
    assert feed(replica, verify(10, {})) == []
    feed(replica, outgoing.snapshot(ROOM, 7, 11, {}, 0))
    assert replica.doubtful() == []


@pytest.mark.parametrize(
    "message",
    [
        {"type": "delta", "room": ROOM, "prev": 10, "seq": 11, "set": {"ship:a": 5}},
        {"type": "delta", "room": ROOM, "prev": 10},
        {"type": "delta", "room": ROOM, "prev": 10, "seq": 11, "events": [{"name": "x"}]},
        {"type": "snapshot", "room": ROOM, "epoch": 7, "seq": 1, "state": {"a": 1}},
        {"type": "verify", "room": ROOM, "epoch": 7, "seq": None, "sum": 1},
    ],
    ids=str,
)
def test_a_malformed_message_is_an_error_and_puts_the_room_in_doubt(message: Any) -> None:
    """What does not fit is never passed over in silence."""
    replica = loaded()
    with pytest.raises(BadMessage):
        feed(replica, message)
    assert replica.doubtful() == [ROOM]


def test_types_that_are_not_about_rooms_mean_nothing_here() -> None:
    """Unknown types are ignored [MSG6]."""
    assert feed(ClientReplica(), {"type": "from the future", "room": ROOM}) == []


def test_event_memory_is_pruned_and_bounded() -> None:
    """Complete history needs no memory; without completion it is capped and the loss counted."""
    memory = EventMemory(0, limit=3)
    assert all(memory.first_time(seq, 0) for seq in (1, 2, 3))
    memory.complete(0, 3)
    assert len(memory) == 0
    assert not memory.first_time(2, 0)
    assert all(memory.first_time(seq, 0) for seq in (4, 5, 6, 7))
    assert (len(memory), memory.forgotten) == (3, 1)
