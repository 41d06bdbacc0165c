"""Sessions, presence and slow members: what goes wrong between two awaits, and when the store goes and comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gameserver.context import Context
from gameserver.errors import Rejected, Unavailable
from gameserver.protocol.codec import JSON
from gameserver.protocol.frames import split_frames
from gameserver.rooms.names import private_room, worker_room
from gameserver.rooms.views import View
from gameserver.runtime.attendance import SILENT_AFTER
from gameserver.runtime.node import Node
from gameserver.runtime.replication import LINGER
from gameserver.runtime.replies import MOST_HELD
from gameserver.runtime.watch import MEASURE_EVERY
from gameserver.sessions.claims import Claims
from gameserver.sessions.quality import LOWER_AFTER, Tier
from tests.runtime.faulty_bus import FaultyBus
from tests.runtime.hub_rig import Client, HubRig
from tests.runtime.node_rig import GRACE, SECTOR, PlayChannel, Played, Seat, World, tick_on
from tests.runtime.virtual_time import idle, now, passed, until
from tests.state.things import ROOM


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(Played().game) as opened:
        yield opened


@pytest.fixture
async def node(world: World) -> Node:
    return await world.start("w1")


def messages(seat: Seat) -> list[dict[str, Any]]:
    """Everything the seat was ever written."""
    seat.node.hub.replies.end_turn()
    codec = seat.session.member.codec
    return [codec.decode(payload) for frame in seat.channel.written for payload, _ in split_frames(frame)]


def replace_team(seat: Seat, team: str) -> Claims:
    """The seat's token, but for the team."""
    return msgspec.structs.replace(seat.session.claims, team=team)


async def resume(
    node: Node, former: Seat, token: str, claims: Claims, seen: dict[str, list[int]] | None = None
) -> Seat:
    """A connection that comes back with a resume token, and the positions it has `seen`."""
    channel = PlayChannel()
    session = node.admit(claims, channel, former.session.member.codec, "here", token)
    receiving = asyncio.ensure_future(node.receive(session))
    session.receive(JSON.encode({"type": "hello", "rooms": seen or {}}), True)
    await receiving
    return Seat(node, session, channel)


def bus_of(node: Node) -> FaultyBus:
    assert isinstance(node.bus, FaultyBus)
    return node.bus


# -- presence ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outage", [SILENT_AFTER + 1.9, 3 * SILENT_AFTER + 0.9])
async def test_a_store_that_was_away_makes_nobody_silent(world: World, node: Node, outage: float) -> None:
    """Nobody could beat: the lease's owner takes no session from workers that are there when the store is back."""
    other = await world.start("w2")
    seats = [await world.join(each, player) for each, player in ((node, "ada"), (other, "bob"))]
    await passed(3)
    for each in (node, other):
        bus_of(each).go_down()
    await passed(outage)
    for each in (node, other):
        bus_of(each).come_back()
    await passed(2 * SILENT_AFTER)
    assert [seat.closed for seat in seats] == [None, None]
    assert world.devices("ada") == world.devices("bob") == 1


async def test_an_arrival_nobody_heard_of(world: World, node: Node) -> None:
    """The arrival was committed and its answer lost for good: the player is not left standing there for ever."""
    bus_of(node).lost_replies = 10_000
    seat = await world.join(node)
    assert seat.closed
    assert world.devices() == 1
    bus_of(node).lost_replies = 0
    await seat.drop()
    await until(lambda: world.devices() == 0)
    await passed(GRACE + 1)
    assert world.presence() is None
    assert not world.sessions()
    assert not world.state(worker_room(node.worker))


async def test_a_resumption_nobody_heard_of(world: World, node: Node) -> None:
    """It may have taken the session over: that session departs, and can still be resumed within the grace period."""
    first = await world.join(node)
    token = next(message["resume_token"] for message in messages(first) if message["type"] == "welcome")
    await first.drop()
    bus_of(node).lost_replies = 10_000
    second = await resume(node, first, token, first.session.claims)
    assert second.closed
    assert world.devices() == 1
    bus_of(node).lost_replies = 0
    await second.drop()
    await until(lambda: world.devices() == 0)
    assert len(world.sessions()) == 1
    await passed(GRACE + 1)
    assert world.presence() is None
    assert not world.state(worker_room(node.worker))


async def test_a_former_connection_comes_late(world: World, node: Node) -> None:
    """Its arrival was under way when the client gave it up and came back elsewhere: there it stays."""
    other = await world.start("w2")
    first = await world.join(node)
    token = next(message["resume_token"] for message in messages(first) if message["type"] == "welcome")
    await first.drop()
    bus_of(node).hold_commits()
    channel = PlayChannel()
    given_up = node.admit(first.session.claims, channel, JSON, "here", token)
    welcome = asyncio.ensure_future(node.receive(given_up))
    given_up.receive(JSON.encode({"type": "hello", "rooms": {}}), True)
    await passed(0.1)
    node.lose(given_up)
    second = await resume(other, first, token, first.session.claims)
    bus_of(node).let_commits()
    await welcome
    await passed(GRACE + 1)
    assert second.closed is None
    assert world.devices() == 1
    assert len(world.sessions()) == 1


async def test_devices_of_two_teams(world: World, node: Node) -> None:
    """Each token names its own team; the presence stays in a team's room as long as a device of that team."""
    red = await world.join(node, team="red")
    blue = await world.join(node, team="blue")
    await red.drop()
    await passed(GRACE + 1)
    assert world.presence(room="team:red") is None
    assert world.presence(room="team:blue") is not None
    await blue.drop()
    await passed(GRACE + 1)
    assert world.presence(room="team:blue") is None


async def test_a_session_that_is_gone(world: World, node: Node) -> None:
    """A client that cannot resume is told which events it will never get [SNAP3] [RES4] [RES5]."""
    first = await world.join(node)
    replica = node.replication.replica(SECTOR)
    assert replica is not None
    epoch, seq = replica.position
    await first.drop()
    await tick_on(world, 3)
    second = await resume(node, first, "long forgotten", first.session.claims, {SECTOR: [epoch, seq]})
    told = [message for message in messages(second) if message.get("room") == SECTOR]
    assert [message["type"] for message in told][:2] == ["snapshot", "lost"]
    assert (told[1]["from"], told[1]["to"]) == (seq + 1, told[0]["seq"])


async def test_resumed_for_another_team(world: World, node: Node) -> None:
    """A session that comes back with another team's token is in the former team's room no longer."""
    first = await world.join(node, team="red")
    token = next(message["resume_token"] for message in messages(first) if message["type"] == "welcome")
    await first.drop()
    second = await resume(node, first, token, replace_team(first, "blue"))
    assert second.session.id == first.session.id
    assert world.presence(room="team:red") is None
    assert world.presence(room="team:blue") is not None


async def test_a_team_changed_on_the_way_out(world: World, node: Node) -> None:
    """A new token that comes as the connection ends makes nobody present in the new team's room."""
    seat = await world.join(node, team="red")
    await seat.drop()
    await node.attendance.change_team(replace(node.attendee(seat.session), team="blue"), "red")
    assert world.presence(room="team:blue") is None
    await passed(GRACE + 1)
    assert world.presence(room="team:red") is None


async def test_a_hook_that_fails_keeps_nobody_here(world: World) -> None:
    """The game's farewell fails: the player goes all the same, and the sweep does not try for ever."""

    @world.game.on_leave
    def fail(ctx: Context) -> None:
        raise ZeroDivisionError

    node = await world.start("w1")
    seat = await world.join(node)
    await seat.drop()
    await passed(GRACE + 1)
    assert world.presence() is None
    assert not world.sessions()
    assert not world.state(worker_room(node.worker))


# -- holds ------------------------------------------------------------------------------------------------------


async def test_gone_while_a_room_could_not_be_loaded(world: World, node: Node) -> None:
    """A connection that is gone lets go of what it waits for once: what others hold stays held."""
    watching, leaving = await world.join(node, "ada", team="red"), await world.join(node, "bob")
    await passed(1)
    node.replication.distrust("team:red")
    bus_of(node).failing.add("load")
    holding = asyncio.ensure_future(leaving.session.hold("team:red"))
    await idle()
    await leaving.drop()
    await asyncio.wait([holding])
    assert isinstance(holding.exception(), Unavailable)
    bus_of(node).failing.clear()
    await passed(2 * LINGER)
    assert node.replication.follows("team:red")
    assert "team:red" in watching.session.member.circles


async def test_subscribed_twice_at_once(world: World, node: Node) -> None:
    """The second subscription replaces the first, also when the room is still being loaded."""
    world.game.is_open = lambda room: True
    world.game.ticks.clear()
    seat = await world.join(node)
    seat.say({"type": "build", "id": 1, "room": "sector:9"})
    await until(lambda: messages(seat)[-1]["type"] == "command_ack")
    await passed(LINGER + 10)
    before = len(messages(seat))
    bus_of(node).failing.add("load")
    for view in (["world"], ["counter:*"]):
        seat.say({"type": "subscribe", "room": "sector:9", "entities": view})
        await passed(0.1)
    bus_of(node).failing.clear()
    await passed(1)
    told = [message for message in messages(seat)[before:] if message["type"] == "snapshot"]
    assert [set(message["state"]) for message in told] == [set(), {"counter:1"}]
    assert seat.session.member.circles["sector:9"].view.entities == {"counter:*"}


async def test_a_subscription_that_comes_too_late(world: World, node: Node) -> None:
    """Asked for a room that one has left when it is loaded at last: one does not get in."""
    seat = await world.join(node)
    await node.ticker.switch(running=False)
    await passed(1)
    bus_of(node).failing.add("load")
    node.replication.distrust(SECTOR)
    seat.session._requests._later(seat.session._requests._join(SECTOR, View(frozenset({"counter:1"}))), "late")
    await idle()
    seat.session.leave(SECTOR, "moved")
    seat.session.sector = "sector:2"
    bus_of(node).failing.clear()
    await passed(1)
    assert SECTOR not in seat.session.member.circles
    assert SECTOR not in seat.session.held
    assert messages(seat)[-1]["code"] == "forbidden"


async def test_a_logout_that_cannot_be_committed(world: World, node: Node) -> None:
    """The client is told: it is not logged out."""
    seat = await world.join(node, token="t1")
    bus_of(node).go_down()
    seat.say({"type": "logout"})
    await passed(10)
    assert [message["code"] for message in messages(seat) if message["type"] == "error"] == ["unavailable"]
    assert seat.closed is None
    bus_of(node).come_back()


async def test_a_team_that_cannot_be_joined(world: World, node: Node) -> None:
    """Nothing has changed then: neither what the token says nor the rooms one is in."""
    seat = await world.join(node, team="red")
    bus_of(node).failing.add("subscribe")
    with pytest.raises(Unavailable):
        await node.change_claims(seat.session, replace_team(seat, "blue"))
    assert "team:red" in seat.session.home()
    assert "team:red" in seat.session.member.circles
    bus_of(node).failing.clear()
    await node.change_claims(seat.session, replace_team(seat, "blue"))
    assert {"team:blue"} == {room for room in seat.session.member.circles if room.startswith("team:")}
    assert seat.session.held == set(seat.session.home()) | {worker_room(node.worker)}


async def test_snapshots_are_not_free(world: World, node: Node) -> None:
    """Who asks for one snapshot after the other is told to wait."""
    seat = await world.join(node)
    for _ in range(150):
        seat.say({"type": "resync", "room": "global"})
    types = [message["type"] for message in messages(seat)]
    assert types.count("snapshot") < 150
    assert messages(seat)[-1]["code"] == "rate_limited"


@pytest.mark.parametrize("to", ["sector:", "sector:a b", "sector:" + "x" * 65, "sector", "team:red", "private:bob"])
async def test_moving_to_what_is_no_sector(world: World, node: Node, to: str) -> None:
    """Whatever a client names, a game moves it into nothing but a sector."""
    seat = await world.join(node)
    seat.say({"type": "go", "id": 1, "to": to})
    await until(lambda: messages(seat)[-1]["type"] == "command_ack")
    assert messages(seat)[-1]["error"]["code"] == "invalid_argument"
    assert world.presence() is not None


async def test_rooms_that_are_none(world: World, node: Node) -> None:
    """What a client makes up is not loaded, let alone created."""
    seat = await world.join(node)
    before = world.store.rooms()
    for number, room in enumerate(("nowhere", "sector:a b", "private:" + "x" * 100)):
        seat.say({"type": "build", "id": number, "room": room})
        await until(lambda expected=number: messages(seat)[-1].get("id") == expected)  # type: ignore[misc]
        assert messages(seat)[-1]["error"]["code"] == "invalid_argument"
    assert world.store.rooms() == before


async def test_missing_siblings_are_looked_for_once(world: World, node: Node) -> None:
    """A thousand rooms that wait ask the store once, and once more for who came while it was asked."""
    await passed(1)
    before = bus_of(node).calls["positions"]
    for _ in range(1000):
        node._look_for_missing()
    await idle()
    assert bus_of(node).calls["positions"] == before + 1


# -- slow members -----------------------------------------------------------------------------------------------


async def test_a_reduced_tier_is_answered_at_once(world: World, node: Node) -> None:
    """Answers wait for no tier, and need no change of any room to be sent."""
    node.ticker.game.ticks.clear()
    seat = await world.join(node)
    await node.ticker.switch(running=False)
    seat.session.wish(Tier.LOW)
    await passed(3)
    seat.say({"type": "ping", "at": 1})
    assert messages(seat)[-1]["type"] == "pong"


async def test_no_tier_before_the_welcome(world: World, node: Node) -> None:
    """A slow line is noticed only once the rooms are entered."""
    first = await world.join(node)
    token = next(message["resume_token"] for message in messages(first) if message["type"] == "welcome")
    await first.drop()
    channel = type(first.channel)()
    channel.rtt = lambda: 1.0  # type: ignore[method-assign]
    session = node.admit(first.session.claims, channel, first.session.member.codec, "here", token)
    receiving = asyncio.ensure_future(node.receive(session))
    await passed(4)
    seat = Seat(node, session, channel)
    rooms = {"global": [node.replication.epoch, node.replication.ready("global").seq]}
    bus_of(node).hold_commits()
    seat.say({"type": "hello", "rooms": rooms})
    await passed(LOWER_AFTER - 1)
    bus_of(node).let_commits()
    await receiving
    assert messages(seat)[0]["type"] == "welcome"
    assert messages(seat)[0]["recovered"]["global"]
    await passed(LOWER_AFTER + MEASURE_EVERY + 1)
    assert session.member.tier is not Tier.FULL
    assert seat.closed is None


async def test_gone_with_its_answers(world: World, node: Node) -> None:
    """Nothing more is read from who does not take its answers; when its line is gone, that is read."""
    seat = await world.join(node)
    await node.ticker.switch(running=False)
    await passed(6)
    seat.channel.stick()
    while not seat.session.member.congested:
        seat.say({"type": "ping", "at": 1})
        await passed(0.01)
    assert not seat.channel.reading
    await passed(1)
    assert not seat.channel.reading
    seat.channel.drain()
    await idle()
    assert seat.channel.reading


@pytest.fixture
async def rig() -> HubRig:
    return HubRig()


async def test_snapshots_asked_for_and_not_taken(rig: HubRig) -> None:
    """Who asks for snapshots and takes none is slow: they do not pile up."""
    rig.write(ROOM, "counter:1", n=1)
    client = Client(rig)
    client.enter(ROOM)
    client.channel.stick()
    for _ in range(100):
        rig.hub.snapshot(client.member, ROOM)
        client.member.listen()
    assert len(client.channel.written) == 1 + MOST_HELD
    client.channel.drain()
    assert client.state(ROOM) == rig.replicas[ROOM].entities


async def test_a_refusal_with_details_that_cannot_be_told(world: World) -> None:
    """The player learns that it was refused; everybody else's command goes on."""

    @world.game.command()
    def fail(ctx: Context) -> None:
        raise Rejected("no_way", have=object())

    node = await world.start("w1")
    seat = await world.join(node)
    seat.say({"type": "fail", "id": 1})
    seat.say({"type": "build", "id": 2, "room": "sector:9"})
    await until(lambda: messages(seat)[-1].get("id") == 2)
    answers = {message["id"]: message for message in messages(seat) if message["type"] == "command_ack"}
    assert answers[1]["error"]["code"] == "no_way"
    assert answers[2]["ok"]


async def test_unused_but_held(world: World, node: Node) -> None:
    """What a connection holds is followed, however long nothing is done with it."""
    seat = await world.join(node)
    await passed(2 * LINGER)
    assert all(node.replication.follows(room) for room in seat.session.member.circles)
    assert private_room("ada") in seat.session.member.circles
    assert SECTOR in seat.session.member.circles


async def test_who_come_together_are_received_together(world: World, node: Node) -> None:
    """A herd costs the store a few requests, not several for each; a single one waits for nobody."""
    bus = bus_of(node)
    await node.ticker.switch(running=False)
    await world.join(node, "first")
    began = now()
    await passed(1)
    await world.join(node, "alone")
    assert now() - began < 1.001
    await passed(1)
    batches, follows = len(bus.batches), bus.calls["follow"]
    seats = await asyncio.gather(*(world.join(node, f"p{number}") for number in range(60)))
    assert len(bus.batches) - batches <= 4
    assert bus.calls["follow"] - follows <= 4
    assert all(messages(seat)[0]["type"] == "welcome" for seat in seats)
    assert all(world.devices(f"p{number}") == 1 for number in range(60))
