"""Flying within sectors and between them."""

import struct

import pytest

from gameserver.errors import InvalidArgument, Rejected
from gameserver.worlds.frontier.movement import EDGE, SPEED, glide


def f32(number):
    return struct.unpack("<f", struct.pack("<f", number))[0]


def test_a_player_begins_with_a_ship_and_a_grant(world, ada):
    """The first join fills `me`, the entry puts the ship beside the presence."""
    sector = world.state("sector:1")
    assert sector["ship:ada"]["x"] == 0.0
    assert sector["player:ada"]["status"] == "online"
    assert (ada.me.credits, ada.me.drones) == (1_000, 10)
    assert (ada.me.granted_credits, ada.me.granted_drones) == (1_000, 10)


def test_a_move_takes_everything_along_in_one_commit(world, ada):
    """Presence, ship and placement change together: out of one sector, into the other."""
    before = world.state("sector:1")
    seqs = ada.move(to="sector:8")
    assert seqs.keys() == {"sector:1", "sector:8", "private:ada"}
    left, entered = world.state("sector:1"), world.state("sector:8")
    assert {"player:ada", "ship:ada"}.isdisjoint(left)
    assert entered["player:ada"] == before["player:ada"]
    assert entered["ship:ada"] == before["ship:ada"]
    assert ada.sector == "sector:8"


def test_sectors_hear_who_comes_and_goes(world, ada, bob):
    """The alert of departure is heard where one left, that of arrival where one came to."""
    cas = world.join("cas")
    cas.move(to="sector:8")
    ada.move(to="sector:8")
    assert [event.data["destination"] for event in bob.heard("leave")] == ["sector:8", "sector:8"]
    (arrival,) = cas.heard("enter")
    assert arrival.data == {"player": "ada", "name": "Ada", "origin": "sector:1"}
    assert arrival.priority == "movement"


def test_one_flies_along_links_only(world, ada):
    """A refused move says which links there are, and changes nothing."""
    before = world.states()
    with pytest.raises(Rejected) as refused:
        ada.move(to="sector:5")
    assert refused.value.code == "no_link"
    assert refused.value.details["links"] == ["sector:2", "sector:8", "sector:20"]
    assert world.states() == before


@pytest.mark.parametrize("to", ["sector:99", "global", "private:bob", "", "sector"])
def test_there_is_no_way_to_what_is_no_neighbour(world, ada, to):
    """Rooms that are no sectors, and sectors there are not, have no link either."""
    with pytest.raises(Rejected) as refused:
        ada.move(to=to)
    assert refused.value.code == "no_link"


def test_one_cannot_move_to_where_one_is(ada):
    """That would be no move."""
    with pytest.raises(Rejected) as refused:
        ada.move(to="sector:1")
    assert refused.value.code == "already_there"


def test_a_ship_comes_in_on_the_other_side_and_keeps_its_course(world, ada):
    """Position is mirrored, velocity stays."""
    world.arrange("sector:1", "ship:ada", x=900.0, y=-20.0, vx=3.0, vy=4.0)
    ada.move(to="sector:2")
    ship = world.entity("sector:2", "ship:ada")
    assert (ship.x, ship.y, ship.vx, ship.vy) == (-900.0, 20.0, 3.0, 4.0)


def test_ships_drift(world, ada):
    """Ten times a second, in float32."""
    ada.steer(vx=10, vy=-0.3)
    world.tick(seconds=1.05)
    ship = world.entity("sector:1", "ship:ada")
    assert ship.x == pytest.approx(10, abs=1e-4)
    assert ship.y == pytest.approx(-0.3, abs=1e-6)
    assert ship.y == f32(ship.y)
    assert ship.vy == f32(-0.3)


def test_only_ships_under_way_are_written(world, ada, bob):
    """A sector at rest costs nothing; one that moves writes the ships that move."""
    world.tick(seconds=2)
    resting = world.state("sector:1")
    world.tick(seconds=2)
    assert world.state("sector:1") == resting
    ada.steer(vx=1, vy=0)
    world.tick(seconds=1)
    after = world.state("sector:1")
    assert {entity for entity in after if after[entity] != resting[entity]} == {"ship:ada"}


def test_a_ship_stops_at_the_edge(world, ada):
    """Nobody leaves the sector by flying, and who is at the edge is at rest."""
    world.arrange("sector:1", "ship:ada", x=EDGE - 1, vx=SPEED, vy=1.0)
    world.tick(seconds=0.35)
    ship = world.entity("sector:1", "ship:ada")
    assert (ship.x, ship.vx, ship.vy) == (EDGE, 0.0, 1.0)


def test_gliding_is_the_same_in_both_directions():
    """The edge is as far to the left as to the right."""
    assert glide(999.0, 50.0, 0.1) == (EDGE, 0.0)
    assert glide(-999.0, -50.0, 0.1) == (-EDGE, 0.0)
    assert glide(0.0, -50.0, 0.1) == (-5.0, -50.0)


def test_a_ship_flies_no_faster_than_it_can(world, ada):
    """A wish for more keeps its direction."""
    ada.steer(vx=3_000, vy=4_000)
    ship = world.entity("sector:1", "ship:ada")
    assert (ship.vx, ship.vy) == (f32(SPEED * 0.6), f32(SPEED * 0.8))


@pytest.mark.parametrize("vx", [float("nan"), "1", None, True])
def test_steering_takes_numbers(ada, vx):
    """What is no finite number never gets to the game."""
    with pytest.raises(InvalidArgument):
        ada.steer(vx=vx, vy=0)


def test_leaving_takes_the_ship_and_keeps_what_it_carried(world, ada, bob):
    """After the grace period the sector is empty of the player; coming back finds all as it was."""
    ada.buy(port="port:1", good="ore", amount=5)
    ada.move(to="sector:2")
    before = ada.me
    ada.leave()
    assert {"ship:ada", "player:ada"}.isdisjoint(world.state("sector:2"))
    again = world.join("ada", team="red")
    assert again.sector == "sector:2"
    assert vars(again.me) == vars(before)
    assert "ship:ada" in world.state("sector:2")


def test_the_grace_period_keeps_the_ship_where_it_is(world, ada):
    """A short interruption changes the number of devices and nothing else."""
    world.arrange("sector:1", "ship:ada", x=5.0)
    ada.drop()
    assert world.state("sector:1")["player:ada"]["devices"] == 0
    assert world.state("sector:1")["ship:ada"]["x"] == 5.0
    world.join("ada", team="red")
    assert world.state("sector:1")["ship:ada"]["x"] == 5.0


def test_a_ship_that_is_there_already_is_kept(world):
    """Whatever left it there must not keep its pilot out."""
    world.arrange("sector:1", "ship:ada", x=5.0)
    world.join("ada")
    assert world.state("sector:1")["ship:ada"]["x"] == 5.0
