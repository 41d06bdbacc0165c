"""How a room is shown: what changed stands out, what does not fit is counted, what players wrote stays text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameserver.cli import words
from gameserver.cli.screen import FRESH, PLAIN, render, share
from gameserver.cli.sight import HIGHLIGHT, Sight
from gameserver.client import (
    Connected,
    Disconnected,
    Event,
    EventReceived,
    LostEvents,
    ResyncNeeded,
    RoomChanged,
    RoomLeft,
    RoomLoaded,
    Verified,
)
from gameserver.client.room import RoomReplica

ROOM = "sector:1"
CODES = re.compile(r"\x1b\[[0-9;]*m")
SCHEMA = {"port": {"ore": "int", "credits": "int"}}


def room_with(state: dict[str, dict[str, object]]) -> RoomReplica:
    room = RoomReplica(ROOM)
    room.load(7, 3, state)
    return room


def picture(sight: Sight, room: RoomReplica | None, width: int = 100, height: int = 40, now: float = 0.0) -> list[str]:
    return [CODES.sub("", line) for line in render(sight, room, SCHEMA, width, height, now)]


def test_entities_stand_in_tables_by_kind() -> None:
    """Fields in the order of the schema, entities in the order of their numbers, position and checksum above."""
    room = room_with({"ship:10": {"x": 1.25}, "ship:9": {"x": -0.5}, "port:1": {"credits": 5, "ore": 7}})
    lines = picture(Sight(ROOM), room)
    assert lines[0] == f"sector:1  epoch 7 seq 3 sum {room.sum}  not verified yet"
    assert "3 entities" in lines[1]
    assert [line.split() for line in lines[2:]] == [
        [],
        ["port", "ore", "credits"],
        ["port:1", "7", "5"],
        [],
        ["ship", "x"],
        ["ship:9", "-0.5"],
        ["ship:10", "1.2"],
    ]


def test_changed_fields_stand_out_for_a_while() -> None:
    """The field, not the whole line."""
    sight = Sight(ROOM)
    sight.feed(RoomChanged(ROOM, (), {"port:1": {"ore": 8}}, False), now=10.0)
    room = room_with({"port:1": {"ore": 8, "credits": 5}})
    fresh = render(sight, room, SCHEMA, 100, 40, now=10.1)
    assert [part.strip() for part in re.findall(f"{re.escape(FRESH)}(.*?){re.escape(PLAIN)}", "".join(fresh))] == ["8"]
    assert FRESH not in "".join(render(sight, room, SCHEMA, 100, 40, now=10.0 + HIGHLIGHT))


def test_proof_and_trouble_are_told() -> None:
    """Of this room, not of others."""
    sight = Sight(ROOM)
    for each in (
        Connected("session", "w1", None),
        Verified("global", False, 1),
        Verified(ROOM, True, 3),
        ResyncNeeded(ROOM, "gap"),
        ResyncNeeded("global", "gap"),
        LostEvents(ROOM, 1, 2, None),
    ):
        sight.feed(each, now=1.0)
    lines = picture(sight, room_with({}), now=3.0)
    assert lines[0].endswith("verified at seq 3, 2 s ago")
    assert lines[1] == "0 entities, 1 verified, drift 0, resyncs 1, losses 1; connected to worker w1"
    sight.feed(Verified(ROOM, False, 4), now=3.0)
    assert picture(sight, room_with({}), now=3.0)[0].endswith("MISMATCH at seq 4, 0 s ago")


def test_a_room_that_is_gone() -> None:
    """Why is what one wants to know."""
    sight = Sight(ROOM)
    assert picture(sight, None)[0] == "sector:1  no snapshot yet"
    sight.feed(RoomLeft(ROOM, "banned"), now=0.0)
    assert picture(sight, None)[0] == "sector:1  left (banned)"


@given(
    st.dictionaries(st.from_regex(r"(ship|port|me):?[0-9]{0,3}", fullmatch=True), st.just({"x": 1.0}), max_size=40),
    st.integers(1, 120),
    st.integers(1, 50),
    st.integers(0, 20),
)
def test_a_picture_fits_its_screen(state: dict[str, dict[str, object]], width: int, height: int, events: int) -> None:
    """However small, and every entity is shown or counted when there is space for its table."""
    sight = Sight(ROOM)
    for seq in range(events):
        sight.feed(EventReceived(ROOM, Event("hit", {}, None, seq, 0, 0, "combat")), 0.0)
    lines = picture(sight, room_with(state), width, height)
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(-3, 200))
def test_space_is_shared(wanted: list[int], space: int) -> None:
    """Nobody gets more than they want, nothing is wasted, and nobody goes short while another has more."""
    given_to = share(wanted, space)
    assert all(got <= wish for got, wish in zip(given_to, wanted, strict=True))
    assert sum(given_to) == min(sum(wanted), max(0, space))
    short = [got for got, wish in zip(given_to, wanted, strict=True) if got < wish]
    assert not short or max(given_to) - min(short) <= 1


@pytest.mark.parametrize("hostile", ["\x1b[2J", "a\nb", "\u202egnp", "\x9b31m", "\r", "\x07"])
def test_what_players_write_cannot_move_the_cursor(hostile: str) -> None:
    """Neither in fields nor in events, neither in pictures nor in plain lines."""
    sight = Sight(ROOM)
    event = EventReceived(ROOM, Event("chat", {"text": hostile}, hostile, 1, 0, 0, "chat"))
    sight.feed(event, 0.0)
    changed = RoomChanged(
        ROOM, (), {f"ship:{hostile}": {"name": hostile, "tags": [hostile], "map": {hostile: 1}}}, False
    )
    state = {entity: dict(fields) for entity, fields in changed.sets.items()}
    shown = picture(sight, room_with(state)) + words.lines_of(event) + words.lines_of(changed)
    assert not [line for line in shown if not line.isprintable()]


def test_plain_lines_say_what_happened() -> None:
    """One line for each entity and event: gone, changed, replaced whole."""
    changed = RoomChanged(ROOM, ("a", "b"), {"b": {"x": 1}, "c": {"x": None, "y": True}}, False)
    assert words.lines_of(changed) == ["- a", "= b x=1", "+ c x removed y=yes"]
    assert words.lines_of(RoomLoaded(ROOM, 7, 3)) == ["snapshot at epoch 7 seq 3"]
    assert words.lines_of(Verified(ROOM, False, 3)) == ["MISMATCH at seq 3"]
    assert words.lines_of(Disconnected(1012, "restart", 1.25)) == ["not connected: restart; again in 1.2 s"]
    assert words.lines_of(LostEvents(ROOM, 1, 2, "chat")) == ["events lost from seq 1 to 2 in lane chat"]
