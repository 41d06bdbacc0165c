"""Faults that were found by reading: what goes wrong between two awaits, when the store goes and comes, and to one
by the fault of another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gameserver.protocol.frames import split_frames
from gameserver.runtime.attendance import SILENT_AFTER
from gameserver.runtime.node import Node
from tests.runtime.faulty_bus import FaultyBus
from tests.runtime.hub_rig import HubRig
from tests.runtime.node_rig import Played, Seat, World
from tests.runtime.virtual_time import passed


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


# -- slow members -----------------------------------------------------------------------------------------------


@pytest.fixture
async def rig() -> HubRig:
    return HubRig()
