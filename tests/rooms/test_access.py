import pytest

from gameserver.rooms.access import home_rooms, may_join, may_publish
from gameserver.sessions.claims import Claims

ANN = Claims(player="ann", name="Ann", role="player", team="red", expires=1.0)
LONER = Claims(player="lon", name="Lon", role="player", team=None, expires=1.0)
ADMIN = Claims(player="root", name="Root", role="admin", team=None, expires=1.0)
SERVICE = Claims(player="sim", name="Sim", role="service", team=None, expires=1.0, publish=("sector:*", "team:red"))

NOWHERE = ["", "*", "sector:*", "../global", "global\r\n", "worker:w1", "planet:1", "sector:" + "x" * 65]


def test_home_rooms():
    """Players have global, private, team and sector; admins the control room; services no place in the world."""
    assert home_rooms(ANN, "1") == ["global", "private:ann", "team:red", "sector:1"]
    assert home_rooms(LONER, None) == ["global", "private:lon"]
    assert home_rooms(ADMIN, "1") == ["global", "private:root", "control"]
    assert home_rooms(SERVICE, "1") == ["global", "private:sim"]


@pytest.mark.parametrize("room", ["global", "private:ann", "team:red", "sector:1"])
def test_players_may_join_their_home_rooms(room):
    """Home rooms can be subscribed to, to narrow them."""
    assert may_join(ANN, room, sector="1")


@pytest.mark.parametrize("room", ["private:lon", "team:blue", "sector:2", "control", *NOWHERE])
def test_players_may_join_nothing_else(room):
    """Others' rooms are refused exactly as rooms that do not exist."""
    assert not may_join(ANN, room, sector="1")


def test_a_game_may_open_sectors():
    """The predicate is asked about sectors alone, whatever it would say of other rooms."""
    assert may_join(ANN, "sector:2", "1", lambda room: room == "sector:2")
    assert not may_join(ANN, "sector:3", "1", lambda room: room == "sector:2")
    assert not may_join(ANN, "team:blue", "1", lambda room: True)
    assert not may_join(ANN, "control", "1", lambda room: True)


def test_admins_may_join_every_room_there_can_be():
    """Admins see all rooms, but nothing that is no room and no internal one."""
    assert all(may_join(ADMIN, room) for room in ("control", "private:ann", "team:blue", "sector:2", "global"))
    assert not any(may_join(ADMIN, room) for room in NOWHERE)


def test_services_join_what_they_publish_to():
    """A service's rooms are those of its claim, and global."""
    assert all(may_join(SERVICE, room) for room in ("global", "sector:9", "team:red"))
    assert not any(may_join(SERVICE, room) for room in ("team:blue", "private:ann", "control", *NOWHERE))
    assert may_publish(SERVICE, "sector:9")
    assert not may_publish(SERVICE, "global")
    assert not may_publish(ADMIN, "sector:9")
