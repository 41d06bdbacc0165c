"""The Redis bus keeps the contract on one real server."""

from __future__ import annotations

from itertools import count

import pytest

from gameserver.buses.base import StoreLimits
from gameserver.buses.redis.bus import RedisBus
from tests.buses.contract import BusContract
from tests.redis_server import RedisServer

_worlds = count(1)


class RedisWorld:
    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.name = f"test-{next(_worlds)}"

    def bus(self, worker_id: str, limits: StoreLimits, deadline: float = 5.0) -> RedisBus:
        return RedisBus(self.server.url, self.name, worker_id, limits, deadline)

    def lose(self) -> None:
        with self.server.client() as client:
            client.flushall()


@pytest.fixture
def world(server: RedisServer) -> RedisWorld:
    return RedisWorld(server)


class TestRedisBus(BusContract):
    """The contract."""
