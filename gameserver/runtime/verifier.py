"""Verification ticks: replicas are compared with the store and with themselves, clients with replicas."""

from __future__ import annotations

import asyncio
import logging

from gameserver.errors import Unavailable
from gameserver.runtime.hub import Hub
from gameserver.runtime.replication import Replication

log = logging.getLogger("gameserver")


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
        self.self_check()
        self.proven += self._hub.verify()
        await self._replication.sweep()

    def self_check(self) -> int:
        """How many replicas were found to differ from their checksum; each is loaded again."""
        drifted = 0
        for room in self._replication.rooms():
            replica = self._replication.replica(room)
            if replica is not None and not replica.verified:
                drifted += 1
                self._replication.stats.drift += 1
                log.error("the replica of %s drifted at %s", room, replica.position)
                self._replication.distrust(room)
        return drifted
