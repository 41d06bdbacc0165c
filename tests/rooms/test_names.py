import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameserver.errors import InvalidArgument
from gameserver.rooms import names

ROOMS = ["global", "control", "sector:8", "team:red", "private:auth0|a.b+c@d-e_F", "sector:" + "x" * 64]
NO_ROOMS = [
    "",
    "*",
    "global:",
    "global:1",
    "control\n",
    "sector",
    "sector:",
    "sector:*",
    "sector:a b",
    "sector:é",
    "sector:a:b",
    "sector:" + "x" * 65,
    "sector:8\r\n",
    "sector:8\0",
    "sector:../../etc",
    "../global",
    "Sector:8",
    "planet:8",
    None,
    8,
    ["global"],
]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_its_parts_put_together(room):
    """What is taken apart comes together again as the same name."""
    assert str(names.parse_room(room)) == room
    assert names.is_room(room)


@pytest.mark.parametrize("room", NO_ROOMS)
def test_what_is_no_room(room):
    """Wildcards, paths, line ends, foreign letters and other types name no room."""
    assert names.read_room(room) is None
    assert not names.is_room(room)
    with pytest.raises(InvalidArgument):
        names.parse_room(room)


def test_internal_rooms_are_known_here_and_none_outside():
    """A worker's room can be parsed but is no room to a client, and no pattern reaches it."""
    room = names.worker_room("w1")
    assert names.parse_room(room) == (names.RoomKind.WORKER, "w1")
    assert not names.is_room(room)
    assert not names.is_pattern("worker:*")
    assert not names.matches("worker:*", room)
    assert not names.matches(room, room)


@pytest.mark.parametrize("value", ["", "a" * 65, "a b", "a\n", "\0", "é", "a/b", "{a}", True, None, 7, b"a"])
def test_what_is_no_id(value):
    """Ids hold only what identity providers use, and nothing that means something in a key of the store."""
    assert not names.is_id(value)


@given(st.text(alphabet="ABYZabyz0189_.@|+-", min_size=1, max_size=64))
def test_every_id_makes_rooms(value):
    """Any id makes a sector, a team and a private room."""
    assert names.is_id(value)
    for room in (names.sector_room(value), names.team_room(value), names.private_room(value)):
        assert names.parse_room(room).id == value


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("port:1", True),
        ("sector", True),
        ("a b", True),
        ("é" * 96, True),
        ("x" * 97, False),
        ("", False),
        ("a\n", False),
        ("a\0", False),
        ("\u202eabc", False),
        ("\ud800", False),
        ("__proto__", False),
        (1, False),
    ],
)
def test_entity_ids(value, good):
    """Entity ids are printable: no controls, no bidirectional overrides, no surrogates."""
    assert names.is_entity(value) is good


def test_kind_is_what_stands_before_the_first_colon():
    """Later colons belong to the id."""
    assert [names.kind_of(entity) for entity in ("port:1", "sector", "a:b:c", "player:x")] == [
        "port",
        "sector",
        "a",
        "player",
    ]


@pytest.mark.parametrize(
    ("pattern", "room", "matched"),
    [
        ("sector:*", "sector:8", True),
        ("sector:8", "sector:8", True),
        ("sector:8", "sector:80", False),
        ("sector:*", "team:8", False),
        ("sector:*", "sector:*", False),
        ("global", "global", True),
        ("control", "control", True),
        ("*", "global", False),
        ("sector:8*", "sector:80", False),
        ("global:*", "global", False),
        ("sector:.", "sector:x", False),
    ],
)
def test_patterns(pattern, room, matched):
    """A pattern is a name or a whole kind of room, nothing cleverer."""
    assert names.matches(pattern, room) is matched
