from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gameserver.buses.memory_store import MemoryStore
from tests.runtime.one_worker import OneWorker, Outsider, new_store
from tests.runtime.virtual_time import VirtualLoop


def pytest_asyncio_loop_factories() -> dict[str, type[VirtualLoop]]:
    """Every test here lives in virtual time."""
    return {"virtual": VirtualLoop}


@pytest.fixture
async def store() -> MemoryStore:
    return new_store()


@pytest.fixture
async def worker(store: MemoryStore) -> AsyncIterator[OneWorker]:
    async with OneWorker(store) as started:
        yield started


@pytest.fixture
async def outsider(store: MemoryStore) -> Outsider:
    return Outsider(store)
