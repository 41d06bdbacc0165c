"""The shared event log: what is held, what is dropped, and that readers can tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameserver.protocol.codes import Priority
from gameserver.state.commit import Event
from gameserver.state.events import EventLog, complete_seq, end_of, logged, place_of, seq_of, weigh
from gameserver.state.priority import LANES


def event(lane: int = Priority.CHAT, sender: str | None = None, **data: object) -> Event:
    return Event("said", data, sender, lane)


def test_wire_form() -> None:
    """An event on the wire has its place, its lane's word, and a sender only when there is one."""
    first, second = logged(7, 1234, [event(sender="ann", text="hi"), event(Priority.COMBAT)])
    assert first.wire() == {
        "name": "said",
        "data": {"text": "hi"},
        "from": "ann",
        "seq": 7,
        "index": 0,
        "at": 1234,
        "priority": "chat",
    }
    assert "from" not in second.wire()
    assert second.wire()["index"] == 1


def test_an_unknown_lane_counts_as_the_nearest() -> None:
    """A priority beyond the lanes, as a foreign writer may log one, is read as the last or first lane."""
    assert [found.lane for found in logged(1, 0, [event(99), event(-1)])] == [Priority.COSMETIC, Priority.SYSTEM]


def test_reading_a_lane_in_pieces() -> None:
    """A cursor splits a commit, and reads one lane alone."""
    log = EventLog()
    log.append(1, 0, [event(Priority.CHAT if index % 2 else Priority.COMBAT) for index in range(10)])
    log.append(2, 0, [event(Priority.CHAT)])
    read = log.after(Priority.CHAT, end_of(0), 3)
    assert [found.index for found in read] == [1, 3, 5]
    rest = log.after(Priority.CHAT, read[-1].place, 10)
    assert [(found.seq, found.index) for found in rest] == [(1, 7), (1, 9), (2, 0)]
    assert log.count(Priority.CHAT, read[-1].place, end_of(1)) == 2
    assert [found.seq for found in log.after(Priority.CHAT, end_of(0), 10, end_of(1))] == [1] * 5


def test_dropping_raises_the_floor_and_marks_only_the_lanes_that_lost() -> None:
    """A lane that lost nothing has no hole, however much the others lost."""
    log = EventLog(max_events=2)
    log.append(1, 0, [event(Priority.COMBAT)])
    log.append(3, 0, [event(Priority.CHAT)])
    log.append(4, 0, [event(Priority.CHAT)])
    assert (log.floor, len(log)) == (1, 2)
    assert log.dropped(Priority.COMBAT) == place_of(1, 0)
    assert log.dropped(Priority.CHAT) == end_of(0)


def test_bytes_bound_it_too() -> None:
    """Large events push out old ones; one too large for the whole log is not held at all."""
    log = EventLog(max_bytes=10_000)
    for seq in range(1, 10):
        log.append(seq, 0, [event(text="x" * 3000)])
    assert log.size <= 10_000
    assert log.floor == 9 - len(log)
    log.append(10, 0, [event(text="x" * 20_000)])
    assert (log.floor, len(log), log.size) == (10, 0, 0)


def test_reset_forgets_everything() -> None:
    """After a room was loaded anew at a seq, everything before it is missing for every lane."""
    log = EventLog()
    log.append(1, 0, [event()])
    log.reset(5, 0)
    assert (log.floor, len(log), log.newest_seq) == (5, 0, 5)
    assert all(log.dropped(lane) == end_of(5) for lane in LANES)
    log.append(6, 0, [event()])
    assert len(log.after(Priority.CHAT, end_of(5), 9)) == 1


def test_a_commit_out_of_order_is_refused() -> None:
    """Applied twice or backwards, a commit's events would be sent twice."""
    log = EventLog(3)
    log.append(4, 0, [event()])
    for seq in (3, 4):
        with pytest.raises(ValueError, match="after those of"):
            log.append(seq, 0, [event()])


def test_where_an_epoch_ended() -> None:
    """A reader of an epoch that is over learns up to where it went, also after reloads within it."""
    log = EventLog(0, 10)
    log.append(3, 0, [event()])
    log.reset(6, 10)
    log.append(8, 0, [event()])
    assert log.ended(10) is None
    for epoch in range(11, 14):
        log.reset(1, epoch)
    assert log.ended(10) == 8
    log.reset(1, 14)
    log.reset(1, 15)
    assert log.ended(10) is None


@given(st.integers(0, 2**50), st.integers(0, 2**20 - 2))
def test_places(seq: int, index: int) -> None:
    """Places order by seq, then index, and say up to where a reader is whole."""
    assert end_of(seq - 1) < place_of(seq, index) < end_of(seq)
    assert seq_of(place_of(seq, index)) == seq
    assert complete_seq(place_of(seq, index)) == seq - 1
    assert complete_seq(end_of(seq)) == seq


@given(st.lists(st.lists(st.sampled_from(LANES), max_size=6), max_size=60), st.integers(1, 30))
def test_everything_above_the_floor_is_held(commits: list[list[Priority]], most: int) -> None:
    """Whatever is appended: within the bounds, and above the floor nothing is missing in any lane."""
    log = EventLog(max_events=most)
    everything = []
    for seq, lanes in enumerate(commits, 1):
        events = [event(lane) for lane in lanes]
        log.append(seq, seq, events)
        everything += logged(seq, seq, events)
        assert len(log) <= most
    for lane in LANES:
        held = [found for found in everything if found.lane is lane and found.seq > log.floor]
        assert log.after(lane, end_of(log.floor), 1000) == held
        lost = [found for found in everything if found.lane is lane and found.place <= log.dropped(lane)]
        assert log.after(lane, -1, 1000) == [found for found in everything if found.lane is lane and found not in lost]


def test_weights_grow_with_what_is_weighed() -> None:
    """The estimate of a value's memory counts what it contains."""
    assert weigh("x" * 100) > weigh("x")
    assert weigh({"a": [1, 2, {"b": b"123"}]}) > weigh({"a": [1, 2]}) > weigh(1)
