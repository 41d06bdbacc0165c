"""Players that act by the frontier's brain over real connections, and note down everything they are told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from e2e_tests.workers import Fleet, token
from gameserver.client import (
    Client,
    CommandRejected,
    Event,
    EventReceived,
    LostEvents,
    RoomChanged,
    RoomLeft,
    RoomLoaded,
    Verified,
)
from gameserver.worlds.frontier.brain import View, decide

STOP = {"vx": 0.0, "vy": 0.0}


@dataclass
class Stay:
    """One time in one room: from the first snapshot's seq up to where the client says it has all events."""

    room: str
    epoch: int
    after: int
    upto: int
    events: list[Event] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)
    over: bool = False


class Player:
    """One scripted player. `stays` is what they saw, `accepted` counts their commands by name, `refused` by code."""

    def __init__(self, name: str, url: str, encoding: str, seed: int, team: str | None = None) -> None:
        self.name = name
        self.url = url
        self.team = team
        self.stays: list[Stay] = []
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.mismatches = 0
        self._here: dict[str, Stay] = {}
        self._random = Random(seed)
        claims = {"name": name.title()} | ({"team": team} if team else {})
        self.client = Client(
            url,
            token(name, **claims),
            encoding=encoding,  # type: ignore[arg-type]
            reconnect=False,
            resume=False,
            on_event=self._told,
        )

    def _told(self, event: Any) -> None:
        match event:
            case RoomLoaded(room=room, epoch=epoch, seq=seq):
                if room not in self._here:
                    stay = self._here[room] = Stay(room, epoch, seq, seq)
                    self.stays.append(stay)
                assert self._here[room].epoch == epoch
            case EventReceived(room=room, event=told):
                self._here[room].events.append(told)
            case LostEvents(room=room, first=first, last=last):
                self._here[room].lost.append((first, last))
            case RoomLeft(room=room):
                self._here.pop(room).over = True
                return
            case Verified(ok=False):
                self.mismatches += 1
                return
            case RoomChanged(room=room):
                pass
            case _:
                return
        held = self.client.rooms.get(room)
        if held is not None:
            self._here[room].upto = max(self._here[room].upto, held.watermark)

    def end(self) -> None:
        """The last look: events are complete up to where the rooms stand now."""
        for room, stay in self._here.items():
            stay.upto = max(stay.upto, self.client.rooms[room].watermark)

    async def act(self) -> None:
        """One command by the brain, whatever becomes of it."""
        rooms = {name: room.state for name, room in self.client.rooms.items()}
        name, arguments = decide(View(self.name, rooms), self._random)
        await self.try_command(name, arguments)

    async def try_command(self, name: str, arguments: dict[str, Any]) -> bool:
        """Whether it was accepted."""
        try:
            await self.client.command(name, arguments, timeout=15.0)
        except CommandRejected as refused:
            self.refused[refused.code] += 1
            return False
        self.accepted[name] += 1
        return True

    async def play(self, pace: float, until: Callable[[], bool]) -> None:
        """Act every `pace` seconds, or as fast as answers come, until told to stop."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._random.uniform(0, pace)
        while not until():
            # The pace of a player, not a wait for something.
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due + pace, loop.time())
            await self.act()

    async def come_to_rest(self) -> None:
        """Raises AssertionError when the ship cannot be stopped."""
        for _ in range(20):
            if await self.try_command("steer", STOP):
                return
        raise AssertionError(f"{self.name} cannot stop: {self.refused}")


def crowd(fleet: Fleet, count: int, seed: int = 1) -> list[Player]:
    """Players spread over all workers, all encodings and three teams on each."""
    teams = ("red", "blue", "green", None)
    return [
        Player(
            f"pilot{number}",
            fleet[number % len(fleet)].url(),
            ("json", "msgpack", "compact")[number // len(fleet) % 3],
            seed * 1000 + number,
            teams[number % 4],
        )
        for number in range(count)
    ]


async def all_in(players: list[Player]) -> None:
    """Everybody is connected and holds their rooms."""
    await asyncio.gather(*(player.client.open() for player in players))
    await asyncio.gather(*(player.client.ready(timeout=20.0) for player in players))


async def all_out(players: list[Player]) -> None:
    await asyncio.gather(*(player.client.close() for player in players))
