"""The Redis bus keeps the contract on a cluster of three primaries, whichever of them it is pointed at."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from gameserver.buses.base import Outcome, StoreLimits
from gameserver.buses.redis.bus import RedisBus
from gameserver.buses.redis.topology import slot_of, world_key
from tests.buses.batches import Seat, say
from tests.buses.contract import BusContract
from tests.buses.seats import A, lost
from tests.redis_server import RedisCluster, RedisServer

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


class TestCluster:
    @pytest.mark.parametrize("world", ["one", "two", "three", "four", "five"])
    def test_slots_are_computed_as_the_cluster_does(self, cluster: RedisCluster, world: str) -> None:
        """And every key of a world lies in its one slot."""
        with cluster.nodes[0].client() as client:
            for suffix in ("", ":m:sector:1", ":c:team:{x}"):
                answer: Any = client.execute_command("CLUSTER", "KEYSLOT", world_key(world) + suffix)
                assert answer == slot_of(world_key(world))

    async def test_the_owner_is_found_from_any_node(self, cluster: RedisCluster) -> None:
        """Whichever node the URL names, all workers of a world see each other."""
        seats = [Seat(RedisBus(node.url, "anywhere", f"w{node.port}", None, 5.0)) for node in cluster.nodes]
        for seat in seats:
            await seat.open()
            await seat.bus.subscribe([A])
        for seat in seats:
            await seat.write(say(A, "x"))
        for seat in seats:
            await seat.bus.probe()
            assert [commit.header.seq for commit in seat.commits(A)] == [1, 2, 3]
            await seat.bus.close()

    async def test_a_world_that_moves_to_another_node(self, cluster: RedisCluster) -> None:
        """The bus follows: the old owner gives up the subscriptions, the new one is resolved."""
        world = "moving"
        tag = world_key(world)
        seat = await Seat(RedisBus(cluster.url, world, "w1", None, 5.0)).open()
        await seat.bus.subscribe([A])
        await seat.write(say(A, "before"))
        old = cluster.owner(tag)
        new = next(node for node in cluster.nodes if node is not old)
        _move_slot(cluster, slot_of(tag), old, new)
        await lost(seat)
        assert cluster.owner(tag) is new
        assert await seat.bus.epoch() == seat.epoch
        assert (await seat.write(say(A, "after"))).outcome is Outcome.ACCEPTED
        assert [commit.header.seq for commit in seat.commits(A)] == [1, 2]
        await seat.bus.close()


def _move_slot(cluster: RedisCluster, slot: int, old: RedisServer, new: RedisServer) -> None:
    """Reshard one slot with all its keys, as redis-cli --cluster does."""
    with old.client() as source, new.client() as target:
        source_id = source.execute_command("CLUSTER", "MYID").decode()
        target_id = target.execute_command("CLUSTER", "MYID").decode()
        target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        keys: Any = source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1000)
        source.execute_command("MIGRATE", "127.0.0.1", new.port, "", 0, 5000, "KEYS", *keys)
    for node in (new, old, *(node for node in cluster.nodes if node not in (new, old))):
        with node.client() as client:
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)
