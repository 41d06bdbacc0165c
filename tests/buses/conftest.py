from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.buses.seats import seat, seats
from tests.redis_server import RedisCluster, RedisServer, redis_cluster, redis_server

pytest.register_assert_rewrite("tests.buses.contract_groups", "tests.buses.contract_store")

__all__ = ["cluster", "seat", "seats", "server"]


@pytest.fixture(scope="session")
def server() -> Iterator[RedisServer]:
    """One Redis for all tests that do not harm it; each keeps to a world of its own."""
    with redis_server() as running:
        yield running


@pytest.fixture(scope="session")
def cluster() -> Iterator[RedisCluster]:
    with redis_cluster() as running:
        yield running
