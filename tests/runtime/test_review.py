"""Faults that were found by reading: what goes wrong between two awaits, when the store goes and comes, and to one
by the fault of another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gameserver.protocol.frames import split_frames
from gameserver.rooms.names import worker_room
from gameserver.runtime.attendance import SILENT_AFTER
from gameserver.runtime.node import Node
from gameserver.sessions.claims import Claims
from tests.runtime.faulty_bus import FaultyBus
from tests.runtime.hub_rig import HubRig
from tests.runtime.node_rig import GRACE, PlayChannel, Played, Seat, World
from tests.runtime.virtual_time import passed, until


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(Played().game) as opened:
        yield opened


@pytest.fixture
async def node(world: World) -> Node:
    return await world.start("w1")


def messages(seat: Seat) -> list[dict[str, Any]]:
    """Everything the seat was ever written."""
    codec = seat.session.member.codec
    return [codec.decode(payload) for frame in seat.channel.written for payload, _ in split_frames(frame)]


async def resume(node: Node, former: Seat, token: str, claims: Claims) -> Seat:
    """A connection that comes back with a resume token and no position."""
    channel = PlayChannel()
    session = node.admit(claims, channel, former.session.member.codec, "here", token)
    receiving = asyncio.ensure_future(node.receive(session))
    session.receive(b'{"type":"hello","rooms":{}}', True)
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


async def test_resumed_for_another_team(world: World, node: Node) -> None:
    """A session that comes back with another team's token is in the former team's room no longer."""
    first = await world.join(node, team="red")
    token = next(message["resume_token"] for message in messages(first) if message["type"] == "welcome")
    await first.drop()
    claims = first.session.claims
    blue = Claims(claims.player, claims.name, "player", "blue", claims.expires)
    second = await resume(node, first, token, blue)
    assert second.session.id == first.session.id
    assert world.presence(room="team:red") is None
    assert world.presence(room="team:blue") is not None


async def test_a_team_changed_on_the_way_out(world: World, node: Node) -> None:
    """A new token that comes as the connection ends makes nobody present in the new team's room."""
    seat = await world.join(node, team="red")
    claims = seat.session.claims
    await seat.drop()
    blue = Claims(claims.player, claims.name, "player", "blue", claims.expires)
    await node.attendance.change_team(replace(node.attendee(seat.session), team=blue.team), "red")
    assert world.presence(room="team:blue") is None
    await passed(GRACE + 1)
    assert world.presence(room="team:red") is None


# -- slow members -----------------------------------------------------------------------------------------------


@pytest.fixture
async def rig() -> HubRig:
    return HubRig()
