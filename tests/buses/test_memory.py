"""The memory bus keeps the contract; what needs a clock in hand is tested here."""

from __future__ import annotations

import time

import pytest

from gameserver.buses.base import Outcome, StoreLimits
from gameserver.buses.memory import MemoryBus, MemoryStore
from tests.buses.batches import Seat, key, say
from tests.buses.contract import BusContract
from tests.buses.seats import A


class MemoryWorld:
    def __init__(self) -> None:
        self.store: MemoryStore | None = None

    def bus(self, worker_id: str, limits: StoreLimits) -> MemoryBus:
        if self.store is None:
            self.store = MemoryStore(limits, lambda: int(time.time() * 1000))
        return MemoryBus(self.store, worker_id)

    def lose(self) -> None:
        assert self.store is not None
        self.store.clear()


@pytest.fixture
def world() -> MemoryWorld:
    return MemoryWorld()


class TestMemoryBus(BusContract):
    """The contract."""


class Clock:
    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def ticking(clock: Clock, **limits: float) -> Seat:
    """A seat at a store whose time the test moves."""
    return await Seat(MemoryBus(MemoryStore(StoreLimits(**limits), clock), "w1")).open()  # type: ignore[arg-type]


@pytest.mark.parametrize("start", [0, 1, 59_000, 59_999])
async def test_commands_are_remembered_for_as_long_as_promised(clock: Clock, start: int) -> None:
    """At least `command_memory` seconds, at most twice that, wherever in a generation they fell."""
    clock.ms += start
    seat = await ticking(clock, command_memory=60.0)
    await seat.write(say(A, "one"), commands=[key("ann", "s1", A)])
    clock.ms += 60_000
    assert (await seat.write(say(A, "two"), commands=[key("ann", "s1", A)])).outcome is Outcome.ANSWERED
    clock.ms += 60_000
    assert (await seat.write(say(A, "two"), commands=[key("ann", "s1", A)])).outcome is Outcome.ACCEPTED


async def test_a_clock_that_steps_back(clock: Clock) -> None:
    """The store's time stands still: nothing is forgotten, no lease reopened, no commit dated back."""
    seat = await ticking(clock)
    await seat.write(say(A, "one"), commands=[key("ann", "s1", A)])
    lease = await seat.bus.acquire("w1", 10)
    clock.ms -= 7_200_000
    assert await seat.bus.acquire("w2", 10) == lease
    assert (await seat.write(say(A, "two"), commands=[key("ann", "s1", A)])).outcome is Outcome.ANSWERED
    await seat.write(say(A, "two"))
    first, second = await seat.log(A)
    assert second.header.at == first.header.at


async def test_a_lease_that_ran_out_stands_until_it_is_taken(clock: Clock) -> None:
    """Its owner renews it under the same token; once another has it, the old token is refused."""
    seat = await ticking(clock)
    lease = await seat.bus.acquire("w1", 10)
    clock.ms += 20_000
    assert (await seat.write(say(A, "tick"), fence=lease.token)).outcome is Outcome.ACCEPTED
    assert await seat.bus.acquire("w1", 10) == lease
    clock.ms += 10_000
    taken = await seat.bus.acquire("w2", 10)
    assert taken.owner == "w2"
    assert taken.token > lease.token
    assert (await seat.write(say(A, "tick"), fence=lease.token)).outcome is Outcome.FENCED
