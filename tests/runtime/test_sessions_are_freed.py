"""What a connection needed is free when it is over: the collector looks at what has lived for minutes next to never."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from gameserver.runtime.node import Node
from gameserver.runtime.replication import LINGER
from tests.runtime.node_rig import GRACE, Played, World
from tests.runtime.virtual_time import passed


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(Played().game) as world:
        yield world


@pytest.fixture
async def node(world: World) -> Node:
    return await world.start("w1")


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def alive() -> Counter[str]:
    """How many there are of each class of the runtime; the store of these tests keeps what it was sent."""
    return Counter(
        type(thing).__name__
        for thing in gc.get_objects()
        if str(type(thing).__module__).startswith("gameserver.runtime.")
    )


async def play(world: World, node: Node, end: str) -> None:
    """A whole session of a new player."""
    seat = await world.join(node, f"ada{node.clock.monotonic():.0f}")
    seat.say({"type": "ping", "at": 1})
    seat.say({"type": "resync", "room": "global"})
    seat.say({"type": "go", "id": 1, "to": "sector:2"})
    await passed(1)
    if end == "logged out":
        seat.say({"type": "logout"})
        await passed(1)
    await seat.drop()


@pytest.mark.parametrize("end", ["lost", "logged out"])
async def test_nothing_waits_for_the_collector(world: World, node: Node, end: str) -> None:
    """Sessions that have ended, however they did, and all that was their own, are gone without being collected."""
    await node.ticker.switch(running=False)
    await play(world, node, end)
    await passed(GRACE + LINGER + 10)
    with no_collector():
        before = alive()
        for _ in range(3):
            await play(world, node, end)
        await passed(GRACE + LINGER + 10)
        assert alive() - before == Counter()
