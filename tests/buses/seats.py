"""What the tests of every bus stand on: a store of their own, and workers at it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest

from gameserver.buses.base import Bus, StoreLimits
from tests.buses.batches import Seat

A, B = "sector:a", "sector:b"


class World(Protocol):
    """A store of its own for one test."""

    def bus(self, worker_id: str, limits: StoreLimits) -> Bus: ...

    def lose(self) -> None:
        """Empty the store behind everybody's back."""


class Seats:
    """Opens seats and closes them when the test is over."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.opened: list[Seat] = []

    async def __call__(self, worker_id: str = "w1", **limits: Any) -> Seat:
        seat = Seat(self.world.bus(worker_id, StoreLimits(**limits)))
        self.opened.append(seat)
        return await seat.open()


@pytest.fixture
async def seats(world: World) -> Any:
    opened = Seats(world)
    yield opened
    for seat in opened.opened:
        await seat.bus.close()


@pytest.fixture
async def seat(seats: Seats) -> Seat:
    return await seats()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that only time or another process brings; the test's own time-out bounds it."""
    while not await condition():  # noqa: ASYNC110 - nobody here could set an event
        await asyncio.sleep(0.01)


async def lost(seat: Seat, losses: int = 1) -> None:
    """Wait until the bus stands again and has said so."""

    async def stands() -> bool:
        return seat.bus.connected and seat.losses >= losses

    await until(stands)
