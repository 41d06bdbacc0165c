"""Verification ticks: replicas are compared with the store and with themselves, clients with replicas."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TypeVar

from gameserver.errors import Unavailable
from gameserver.runtime.hub import Hub
from gameserver.runtime.replication import Replication

log = logging.getLogger("gameserver")

ROOMS_AT_ONCE = 16
MEMBERS_AT_ONCE = 32
"""Of one room: each is a write."""
ENTITIES_AT_ONCE = 256
"""Of one room: a worker has as many sessions in its own as it has players."""
T = TypeVar("T")


class Verifier:
    """Every `period` seconds: positions against the store's, checksums of replicas against what the store gave
    with their last commit, and `verify` to every healthy member."""

    def __init__(self, replication: Replication, hub: Hub, period: float) -> None:
        self._replication = replication
        self._hub = hub
        self._period = period
        self.ticks = 0
        self.proven = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            await self.tick()

    async def tick(self) -> None:
        """One verification tick; without a store the clients are verified all the same."""
        self.ticks += 1
        try:
            await self._replication.check()
        except Unavailable:
            log.warning("positions cannot be compared: the store does not answer")
        async for room in _in_turns(self._replication.rooms()):
            await self._check_replica(room)
        async for audience in _in_turns(self._hub.audiences()):
            proof = self._hub.proof(audience)
            if proof is not None:
                self.proven += 1
                while proof.tell(MEMBERS_AT_ONCE):  # noqa: ASYNC110 - nothing is waited for
                    await asyncio.sleep(0)
        await self._replication.sweep()

    async def _check_replica(self, room: str) -> None:
        replica = self._replication.replica(room)
        while replica is not None and not replica.sum_some(ENTITIES_AT_ONCE):  # noqa: ASYNC110 - nothing is waited for
            await asyncio.sleep(0)
        if replica is not None and not replica.verified:
            self._replication.stats.drift += 1
            log.error("the replica of %s drifted at %s", room, replica.position)
            self._replication.distrust(room)


async def _in_turns(items: list[T]) -> AsyncIterator[T]:
    """The items one by one, letting everybody else go on now and then: thousands at once would be felt."""
    for place, item in enumerate(items):
        if place % ROOMS_AT_ONCE == 0:
            await asyncio.sleep(0)
        yield item
