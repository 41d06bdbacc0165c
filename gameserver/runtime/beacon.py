"""A worker's entity in the control room: that it lives, and how it fares."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gameserver.errors import GameserverError
from gameserver.rooms.names import CONTROL
from gameserver.state.draft import Draft

if TYPE_CHECKING:
    from gameserver.runtime.node import Node

log = logging.getLogger("gameserver")

BEAT_EVERY = 2.0


class Beacon:
    """Beats every two seconds; see `gameserver.rooms.presence.Worker`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._beats = 0
        self._entity = f"worker:{node.worker}"

    async def run(self) -> None:
        while True:
            try:
                await self._node.committer.perform(self._beat)
            except GameserverError as error:
                log.warning("the worker's beat was not committed: %s", error)
            await asyncio.sleep(BEAT_EVERY)

    def _beat(self, draft: Draft) -> None:
        control = draft.room(CONTROL)
        worker = control.get(self._entity) or control.create(self._entity, started=int(self._node.started_at * 1000))
        self._beats += 1
        worker.beat = self._beats
        worker.connections = len(self._node.sessions)
        worker.rooms = len(self._node.replication.rooms())
        worker.commits = self._node.committer.stats.accepted

    async def gone(self) -> None:
        """The worker stops: whoever holds the lease takes over the sessions it still had."""
        await self._node.committer.perform(self._stopped)

    def _stopped(self, draft: Draft) -> None:
        worker = draft.room(CONTROL).get(self._entity)
        if worker is not None:
            worker.beat = -1
            worker.connections = 0
