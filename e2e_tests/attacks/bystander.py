"""Somebody who plays on beside every attack, and must never notice."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from e2e_tests.waiting import until
from e2e_tests.workers import Worker, token
from gameserver.client import Client, Verified

PACE = 0.15


class Bystander:
    """`acks` are the seconds until each command of the current row was acknowledged."""

    def __init__(self, name: str, worker: Worker) -> None:
        self.client = Client(worker.url(), token(name), reconnect=False, resume=False, on_event=self._told, headers={})
        self.acks: list[float] = []
        self.verified = 0
        self.mismatches = 0
        self._playing: asyncio.Task[None] | None = None

    def _told(self, event: Any) -> None:
        match event:
            case Verified(ok=True):
                self.verified += 1
            case Verified(ok=False):
                self.mismatches += 1

    async def start(self) -> None:
        await self.client.open()
        await self.client.ready(timeout=20.0)
        self._playing = asyncio.create_task(self._play())

    async def _play(self) -> None:
        turn = 0
        while True:
            turn += 1
            began = time.monotonic()
            await self.client.command("steer", vx=float(turn % 7), vy=0.0, timeout=10.0)
            self.acks.append(time.monotonic() - began)
            # The pace of a player, not a wait for something.
            await asyncio.sleep(PACE)

    def begin(self) -> None:
        """Another row."""
        self.acks.clear()
        self.verified = 0

    async def unharmed(self) -> None:
        """Raises AssertionError when the attack was noticed."""
        assert self._playing is not None
        if self._playing.done():
            self._playing.result()
        acks, verified = len(self.acks), self.verified
        await until(
            lambda: len(self.acks) > acks + 1 and self.verified > verified, "a bystander's ack and verify", 10.0
        )
        assert self.client.connected
        assert not self.mismatches, "a bystander's checksum was not the server's"

    async def stop(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            await asyncio.gather(self._playing, return_exceptions=True)
        await self.client.close()
