"""A fake server for each test, and clients that are closed after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from client_fake_server import QUICK, FakeServer

from gameserver.client import Client


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def client(server: FakeServer) -> AsyncIterator[Callable[..., Client]]:
    """Makes clients of the fake server that have begun to connect."""
    made: list[Client] = []

    def make(token: Any = "token", **options: Any) -> Client:
        options.setdefault("tuning", QUICK)
        one = Client(server.url, token, **options)
        made.append(one)
        one.start()
        return one

    yield make
    for one in made:
        await one.close()
