"""The Redis bus keeps the contract on a cluster of three primaries, whichever of them it is pointed at."""

from __future__ import annotations

from itertools import count

import pytest

from gameserver.buses.base import StoreLimits
from gameserver.buses.redis.bus import RedisBus
from tests.buses.contract import BusContract
from tests.redis_server import RedisCluster

_worlds = count(1)


class ClusterWorld:
    def __init__(self, cluster: RedisCluster) -> None:
        self.cluster = cluster
        self.name = f"test-{next(_worlds)}"

    def bus(self, worker_id: str, limits: StoreLimits) -> RedisBus:
        return RedisBus(self.cluster.url, self.name, worker_id, limits, 5.0)

    def lose(self) -> None:
        for node in self.cluster.nodes:
            with node.client() as client:
                client.flushall()


@pytest.fixture
def world(cluster: RedisCluster) -> ClusterWorld:
    return ClusterWorld(cluster)


class TestRedisClusterBus(BusContract):
    """The contract."""
