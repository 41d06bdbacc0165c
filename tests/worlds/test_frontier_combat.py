"""Fighting over ports and against each other."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameserver.errors import InvalidArgument, NotFound, Rejected
from gameserver.worlds.frontier.books import FOUNDED, negative, totals
from gameserver.worlds.frontier.combat import exchange
from gameserver.worlds.frontier.goods import price


def arm(world, player, drones):
    """Give a player so many drones, on record."""
    world.arrange(f"private:{player.id}", "me", drones=drones, granted_drones=drones)


def disarm_port(world):
    """Take the port's drones off it, into the deposit."""
    drones = world.entity("sector:1", "port:1").drones
    deposit = world.entity("sector:1", "deposit")
    world.arrange("sector:1", "port:1", drones=0)
    world.arrange("sector:1", "deposit", drones=deposit.drones + drones)


def in_balance(world):
    states = world.states()
    return totals(states) == FOUNDED and not negative(states)


@given(st.integers(1, 1_000), st.integers(0, 1_000), st.integers(0, 2**32))
def test_nobody_loses_more_than_they_have(attacking, defending, seed):
    """Any drone hits at least once, and only who is left without defence is broken through to."""
    result = exchange(attacking, defending, Random(seed))
    assert 0 <= result.attacker_lost <= attacking
    assert min(1, defending) <= result.target_lost <= defending
    assert (result.attacker_lost > 0) == (defending > 0)
    assert not result.through or result.target_lost == defending


def test_an_exchange_is_seen_by_the_sector_and_booked(world, ada, bob):
    """Both lose drones, the wrecks lie in the sector, and everybody there sees it in the lane of combat."""
    cas = world.join("cas")
    wrecks = world.entity("sector:1", "deposit").drones
    arm(world, bob, 40)
    ada.attack(target="ship:bob", drones=10)
    (seen,) = cas.heard("combat")
    lost, shot = seen.data["attacker_lost"], seen.data["target_lost"]
    assert seen.data == {
        "attacker": "ada",
        "target": "ship:bob",
        "drones": 10,
        "attacker_lost": lost,
        "target_lost": shot,
        "outcome": "held",
    }
    assert (seen.sender, seen.priority) == ("ada", "combat")
    assert (ada.me.drones, bob.me.drones) == (10 - lost, 40 - shot)
    assert world.entity("sector:1", "deposit").drones == wrecks + lost + shot
    assert in_balance(world)


def test_the_victim_is_alerted_in_private(world, ada, bob):
    """The alert says who, what, where and how it ended; nobody else hears it."""
    arm(world, bob, 40)
    ada.attack(target="player:bob", drones=1)
    (alert,) = bob.heard("alert")
    assert alert.room == "private:bob"
    assert alert.data == {
        "reason": "ship_attacked",
        "target": "ship:bob",
        "sector": "sector:1",
        "by": "ada",
        "name": "Ada",
        "outcome": "held",
    }
    assert not ada.heard("alert")


def test_a_destroyed_ship_comes_back_and_its_cargo_goes_to_the_victor(world, ada, bob):
    """What fits goes into the victor's hold, the rest into the deposit; a part of the credits is the prize."""
    bob.buy(port="port:1", good="ore", amount=20)
    bob.steer(vx=5, vy=5)
    arm(world, bob, 0)
    arm(world, ada, 90)
    deposit = world.entity("sector:1", "deposit").ore
    credits = bob.me.credits
    ada.attack(target="ship:bob", drones=50)
    assert ada.heard("combat")[0].data["outcome"] == "destroyed"
    assert (ada.me.ore, bob.me.ore, world.entity("sector:1", "deposit").ore) == (10, 0, deposit + 10)
    assert (ada.me.credits, bob.me.credits) == (1_000 + credits // 10, credits - credits // 10)
    assert (ada.me.kills, bob.me.losses) == (1, 1)
    ship = world.entity("sector:1", "ship:bob")
    assert (ship.x, ship.y, ship.vx, ship.vy) == (0, 0, 0, 0)
    assert in_balance(world)


def test_whoever_lost_everything_can_go_on(world, ada, bob):
    """The insurance grants a stake, on record."""
    world.arrange("private:bob", "me", credits=50, granted_credits=50, drones=0, granted_drones=0)
    ada.attack(target="ship:bob", drones=1)
    assert (bob.me.credits, bob.me.granted_credits) == (200, 205)
    assert in_balance(world)


def test_a_new_ship_is_shielded_for_a_while(world, ada, bob):
    """Nobody is shot at the moment they come back; attacking drops one's own shield."""
    arm(world, bob, 0)
    ada.attack(target="ship:bob", drones=1)
    with pytest.raises(Rejected) as refused:
        ada.attack(target="ship:bob", drones=1)
    assert refused.value.code == "shielded"
    world.tick(seconds=11)
    assert world.entity("sector:1", "ship:bob").shielded_until == 0
    ada.attack(target="ship:bob", drones=1)
    arm(world, bob, 1)
    bob.attack(target="ship:ada", drones=1)
    assert world.entity("sector:1", "ship:bob").shielded_until == 0


def test_taking_a_port_takes_control_of_the_sector(world, ada, bob):
    """Owner, prize, the team's news and an announcement to all."""
    mate = world.join("mia", team="red")
    disarm_port(world)
    ada.attack(target="port:1", drones=1)
    port = world.entity("sector:1", "port:1")
    assert (port.owner, port.team, world.entity("sector:1", "sector").owner) == ("ada", "red", "ada")
    assert ada.me.credits == 1_000 + 5_000
    (news,) = bob.heard("announcement")
    assert (news.room, news.data, news.priority) == ("global", {"text": "Ada has taken Harbour Port."}, "system")
    (activity,) = mate.heard("activity")
    assert activity.data == {"player": "ada", "name": "Ada", "what": "port_taken", "sector": "sector:1"}
    assert in_balance(world)


def test_a_port_is_defended_by_its_stock(world, ada):
    """Ten drones do not take what ninety hold, nor change its owner."""
    world.arrange("sector:1", "port:1", drones=90)
    ada.attack(target="port:1", drones=10)
    port = world.entity("sector:1", "port:1")
    assert port.owner is None
    assert port.drones < 90
    assert port.drones_price == price("drones", port.drones)
    assert ada.heard("combat")[0].data["outcome"] == "held"


def test_the_owner_of_a_port_is_alerted_wherever_they_are(world, ada, bob):
    """Also in another sector; the alert is only appended, so their room is not read."""
    disarm_port(world)
    ada.attack(target="port:1", drones=1)
    ada.move(to="sector:2")
    seqs = bob.attack(target="port:1", drones=1)
    (alert,) = ada.heard("alert")
    assert (alert.room, alert.priority) == ("private:ada", "combat")
    assert alert.data["reason"] == "port_attacked"
    assert (alert.data["sector"], alert.data["by"], alert.data["outcome"]) == ("sector:1", "bob", "taken")
    assert seqs["private:ada"] == world._store.load("private:ada").seq


def test_the_alert_reads_nothing_of_the_owner(world, ada, bob, rooms_read):
    """What only appends needs no replica on the attacker's worker, and conflicts with nothing."""
    disarm_port(world)
    ada.attack(target="port:1", drones=1)
    rooms_read.clear()
    bob.attack(target="port:1", drones=1)
    assert ada.heard("alert")
    assert rooms_read == {"sector:1", "private:bob", "team:blue"}


def test_drones_one_does_not_have_cannot_be_sent(ada, bob):
    """The refusal says how many there are."""
    with pytest.raises(Rejected) as refused:
        ada.attack(target="ship:bob", drones=11)
    assert (refused.value.code, refused.value.details) == ("not_enough_drones", {"have": 10})


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("ship:nobody", NotFound),
        ("player:nobody", NotFound),
        ("port:2", NotFound),
        ("deposit", InvalidArgument),
        ("sector", InvalidArgument),
        ("ship:", InvalidArgument),
        ("me", InvalidArgument),
        ("", InvalidArgument),
    ],
)
def test_only_what_is_there_can_be_attacked(world, ada, target, error):
    """Ships and ports of this sector, and nothing else."""
    before = world.states()
    with pytest.raises(error):
        ada.attack(target=target, drones=1)
    assert world.states() == before


def test_who_is_elsewhere_cannot_be_attacked(ada, bob):
    """Moving away is a way out."""
    bob.move(to="sector:8")
    with pytest.raises(NotFound):
        ada.attack(target="ship:bob", drones=1)


def test_one_does_not_attack_oneself_or_ones_own(world, ada):
    """Own ship, own port, the team's ships and ports."""
    mate = world.join("mia", team="red")
    disarm_port(world)
    ada.attack(target="port:1", drones=1)
    for player, target, code in [
        (ada, "ship:ada", "own_ship"),
        (ada, "ship:mia", "same_team"),
        (ada, "port:1", "own_port"),
        (mate, "port:1", "same_team"),
    ]:
        with pytest.raises(Rejected) as refused:
            player.attack(target=target, drones=1)
        assert refused.value.code == code


def test_players_without_team_are_no_team(world):
    """Two loners may fight each other."""
    cas, dee = world.join("cas"), world.join("dee")
    cas.attack(target="ship:dee", drones=1)
    assert dee.heard("combat")


def test_in_combat_is_set_and_cleared_by_the_server(world, ada, bob):
    """In the sector's and in the team's presence, for both, until the last shot is ten seconds ago."""
    bob.status(status="busy")
    arm(world, bob, 40)
    ada.attack(target="ship:bob", drones=1)
    for player in (ada, bob):
        for room in ("sector:1", f"team:{player.team}"):
            assert world.state(room)[f"player:{player.id}"]["status"] == "in_combat"
    world.tick(seconds=9)
    ada.attack(target="ship:bob", drones=1)
    world.tick(seconds=9)
    assert world.state("sector:1")["player:bob"]["status"] == "in_combat"
    world.tick(seconds=2)
    for player, status in ((ada, "online"), (bob, "busy")):
        for room in ("sector:1", f"team:{player.team}"):
            assert world.state(room)[f"player:{player.id}"]["status"] == status


def test_combat_follows_whoever_flees(world, ada, bob):
    """The status goes along into the next sector, and ends there."""
    arm(world, bob, 40)
    ada.attack(target="ship:bob", drones=1)
    bob.move(to="sector:8")
    assert world.state("sector:8")["player:bob"]["status"] == "in_combat"
    world.tick(seconds=11)
    assert world.state("sector:8")["player:bob"]["status"] == "online"


def test_two_who_attack_each_other_at_once_are_both_heard(world, ada, bob):
    """Both write the same entities: the later one runs again on what the first one left."""
    arm(world, ada, 30)
    arm(world, bob, 30)
    outcomes = world.at_once(
        ada.intend("attack", target="ship:bob", drones=5), bob.intend("attack", target="ship:ada", drones=5)
    )
    assert [type(outcome) for outcome in outcomes] == [dict, dict]
    assert [event.data["attacker"] for event in ada.heard("combat")] == ["ada", "bob"]
    assert in_balance(world)
