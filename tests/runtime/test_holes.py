"""Reading what a slow member's event log holds no longer."""

from __future__ import annotations

import pytest

from gameserver.buses.base import Batch, Group, StoreLimits
from gameserver.buses.memory import MemoryBus, MemoryStore
from gameserver.runtime import holes
from gameserver.runtime.holes import read_hole
from gameserver.sessions.due import Hole
from tests.buses.batches import say

ROOM = "sector:1"
COMMITS = 25


@pytest.fixture
async def bus() -> MemoryBus:
    """A room with one event in each of its commits."""
    bus = MemoryBus(MemoryStore(StoreLimits(), lambda: 1_000), "one")
    await bus.start(lambda room, payload: None, lambda: None)
    epoch = await bus.epoch()
    for number in range(1, COMMITS + 1):
        await bus.commit(Batch(epoch, number, [Group([say(ROOM, f"event {number}")])]))
    return bus


async def test_a_page_that_ends_within_the_hole(bus: MemoryBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one reading does not reach is not said to be complete: page by page nothing is missing."""
    monkeypatch.setattr(holes, "COMMITS_AT_ONCE", 10)
    epoch, seen, after, upto = await bus.epoch(), [], 0, 23
    while after < upto:
        filling = await read_hole(bus, Hole(ROOM, epoch, after, upto))
        assert filling.first == after + 1
        seen += [event.name for event in filling.events]
        after = filling.last
    assert seen == [f"event {number}" for number in range(1, upto + 1)]


async def test_what_is_gone(bus: MemoryBus) -> None:
    """With nothing left of it, the hole is empty up to its end: the outbox declares it lost."""
    epoch = await bus.epoch()
    assert await read_hole(bus, Hole("sector:2", epoch, 0, 7)) == ([], 8, 7)
    assert await read_hole(bus, Hole(ROOM, epoch + 1, 0, 7)) == ([], 8, 7)
