"""Players of the register world: what they sent, what was acknowledged, and how long they were away each time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from gameserver.asgi.auth import issue_token
from gameserver.client import Client, ClientEvent, Connected, Disconnected, Event, EventReceived, LostEvents, Tuning
from gameserver.settings import Settings

WORLD = "e2e_tests.worlds.register:game"
BACK_WITHIN = 60.0


def settings(**more: object) -> Settings:
    """Of a cluster of the register world."""
    limits = {"handshakes_per_address": 100_000, "handshakes_per_player": 1000, "commands_per_second": 1000}
    return Settings.load({}, {"world": WORLD, "port": 0, "dev": 1, "log_level": "warning", **limits, **more})


class Writer:
    """One player. `away` are seconds from each end of a connection to the next welcome; `recovered` tells of each
    welcome of a resumed session whether every room went on from where it was."""

    def __init__(self, name: str, url: str, shared: Settings) -> None:
        self.name = name
        self.sector = f"sector:{name.partition('.')[0]}"
        self.sent: set[int] = set()
        self.acknowledged: set[int] = set()
        self.away: list[float] = []
        self.ended: list[tuple[float, int]] = []
        """When connections ended, by the clock of this process, and with which code."""
        self.recovered: list[bool] = []
        self.anew = 0
        """Welcomes after the first that resumed nothing."""
        self.heard: list[Event] = []
        self.lost = 0
        self._lost_at: float | None = None
        self._welcomed = False
        self.client = Client(
            url, issue_token(shared, name), encoding="msgpack", on_event=self._note, tuning=Tuning(welcome_timeout=30.0)
        )

    def _note(self, event: ClientEvent) -> None:
        now = time.monotonic()
        if isinstance(event, Disconnected):
            if self._lost_at is None:
                # What follows are attempts that came too early.
                self._lost_at = now
                self.ended.append((now, int(event.code)))
        elif isinstance(event, Connected):
            if self._lost_at is not None:
                self.away.append(now - self._lost_at)
            self._lost_at = None
            if event.recovered is not None:
                self.recovered.append(all(event.recovered.values()))
            else:
                self.anew += self._welcomed
            self._welcomed = True
        elif isinstance(event, EventReceived) and event.room == self.sector:
            self.heard.append(event.event)
        elif isinstance(event, LostEvents):
            self.lost += 1

    async def sign(self, number: int) -> None:
        """Until it is acknowledged, however often the line breaks."""
        self.sent.add(number)
        await self.client.command("sign", number=number, id=f"{self.name}/{number}", timeout=BACK_WITHIN, retry=True)
        self.acknowledged.add(number)

    def differs_from(self, sums: dict[str, tuple[int, int]]) -> bool:
        """Whether its copy of its sector or of its private room is not what the store has: (seq, checksum) by room."""
        held = self.client.replica.rooms
        return any(
            (held[room].seq, held[room].sum) != sums[room]
            for room in (self.sector, f"private:{self.name}")
            if room in held
        )


async def open_all(writers: Iterable[Writer], at_once: int) -> None:
    """Connect them, so many at a time."""
    gate = asyncio.Semaphore(at_once)

    async def open_one(writer: Writer) -> None:
        async with gate:
            await writer.client.open(60.0)
            await writer.client.ready(timeout=60.0)

    async with asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(open_one(writer))


def percentile(values: list[float], share: float) -> float:
    """0 of none."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else 0.0
