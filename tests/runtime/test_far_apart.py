"""Players who are in several places at once: reported, and refused where that is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gameserver.protocol.codes import Close
from gameserver.rooms.names import CONTROL
from gameserver.runtime.node import Node, NodeLimits
from gameserver.sessions.places import Places
from tests.runtime.node_rig import GRACE, Played, World

EU, US, UNKNOWN = "192.0.2.7", "10.0.0.7", "198.51.100.7"
PLACES = Places(["eu=192.0.2.0/24", "us=10.0.0.0/8"])


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(Played().game) as opened:
        yield opened


async def start(world: World, name: str, one_place: bool) -> Node:
    return await world.start(name, NodeLimits(resume_grace=GRACE, places=PLACES, one_place=one_place))


def reports(world: World) -> list[Any]:
    return [event.data for commit in world.commits(CONTROL) for event in commit.events if event.name == "far_apart"]


async def test_two_places_are_reported(world: World) -> None:
    """Over workers; two devices in one place, or in one that has no name, are nobody's business."""
    one, two = await start(world, "w1", False), await start(world, "w2", False)
    for node, address in ((one, EU), (two, EU), (two, UNKNOWN)):
        assert (await world.join(node, address=address)).closed is None
    assert reports(world) == []
    assert (await world.join(two, address=US)).closed is None
    assert reports(world) == [{"player": "ada", "places": ["eu", "us"], "worker": "w2", "refused": False}]
    assert world.devices() == 4


async def test_one_place_at_a_time(world: World) -> None:
    """The second is refused for good, and nothing of it is in the world; it is the admins who are told."""
    one, two = await start(world, "w1", True), await start(world, "w2", True)
    first = await world.join(one, address=EU)
    assert (await world.join(two, address=US)).closed == Close.NOT_ALLOWED
    assert first.closed is None
    assert world.devices() == 1
    assert reports(world) == [{"player": "ada", "places": ["eu", "us"], "worker": "w2", "refused": True}]


async def test_who_has_moved_may_come(world: World) -> None:
    """Within the grace period, for a connection that is gone is nowhere."""
    node = await start(world, "w1", True)
    await (await world.join(node, address=EU)).drop()
    assert (await world.join(node, address=US)).closed is None
    assert reports(world) == []
