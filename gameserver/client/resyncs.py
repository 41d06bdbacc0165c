"""Asking for snapshots of rooms that can no longer be trusted, and not too often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gameserver.client.pacing import ResyncPace
from gameserver.client.replica import ClientReplica
from gameserver.client.tuning import Tuning


class Resyncs:
    """One timer at most for each room in doubt. `ask` sends the `resync` of a room."""

    def __init__(self, replica: ClientReplica, ask: Callable[[str], None], tuning: Tuning) -> None:
        self._replica = replica
        self._ask = ask
        self._pace = ResyncPace(tuning.resync_pause, tuning.resync_longest_pause)
        self._patience = tuning.resync_patience
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def need(self, room: str) -> None:
        """Ask for the room as soon as its pace allows."""
        wait = self._pace.wait(room, self._loop.time())
        if wait > 0:
            self._later(room, wait)
        else:
            self._now(room)

    def expect(self, room: str) -> None:
        """A snapshot is on its way without our asking: ask only if it does not come."""
        self._later(room, self._patience)

    def right(self, room: str) -> None:
        """The copy was verified, or the room is no longer held."""
        self._pace.right(room)
        timer = self._timers.pop(room, None)
        if timer is not None:
            timer.cancel()

    def stop(self) -> None:
        """Nothing can be asked for now."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _later(self, room: str, wait: float) -> None:
        if room not in self._timers:
            self._timers[room] = self._loop.call_later(wait, self._due, room)

    def _due(self, room: str) -> None:
        self._timers.pop(room, None)
        held = self._replica.rooms.get(room)
        if held is None or held.doubt is not None:
            self._now(room)

    def _now(self, room: str) -> None:
        pause = self._pace.asked(room, self._loop.time())
        self._ask(room)
        self._later(room, max(pause, self._patience))
