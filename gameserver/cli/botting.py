"""Players that play by themselves over real connections: for the demonstration, for tests and for load."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from gameserver.cli.latencies import Latencies
from gameserver.client import (
    Ack,
    Client,
    ClientClosed,
    CommandRejected,
    CommandTimeout,
    ConnectionLost,
    TooManyCommands,
)
from gameserver.client.dialing import Token
from gameserver.worlds.frontier import brain as frontier

Rooms = Mapping[str, Mapping[str, Mapping[str, Any]]]
Brain = Callable[[str, Rooms, Random], tuple[str, dict[str, Any]]]
"""From a player's id, what their client holds (room to entity to fields) and dice: a command's name and arguments.

It must not change what it is given.
"""

OPEN_WITHIN = 30.0
ANSWER_WITHIN = 10.0


def frontier_brain(player: str, rooms: Rooms, dice: Random) -> tuple[str, dict[str, Any]]:
    return frontier.decide(frontier.View(player, rooms), dice)


BRAINS: dict[str, Brain] = {"frontier": frontier_brain}
"""By the name of the world that they can play."""


@dataclass(slots=True)
class Tally:
    """What became of commands: accepted by name, rejected by error code, failed (no answer came) by kind of failure."""

    accepted: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    latencies: Latencies = field(default_factory=Latencies)

    def merge(self, other: Tally) -> None:
        self.accepted.update(other.accepted)
        self.rejected.update(other.rejected)
        self.failed.update(other.failed)
        self.latencies.merge(other.latencies)


class Bot:
    """One player. Make it inside a running event loop; `options` are those of `Client`.

    `rate` is how many commands it would like to send per second, at random moments; it waits for
    each answer. `client` stays open after `play`, until `close`.
    """

    def __init__(
        self,
        url: str,
        token: Token,
        *,
        brain: Brain = frontier_brain,
        rate: float = 1.0,
        seed: int | str | None = None,
        tally: Tally | None = None,
        on_accepted: Callable[[str, Mapping[str, Any], Ack], None] | None = None,
        **options: Any,
    ) -> None:
        """`on_accepted` is called with name, arguments and answer of each command that was committed."""
        self.client = Client(url, token, **options)
        self.tally = Tally() if tally is None else tally
        self.gone: str | None = None
        """Why it stopped before it was told to."""
        self._brain = brain
        self._rate = rate
        self._dice = Random(seed)
        self._on_accepted = on_accepted

    async def play(self, stop: asyncio.Event) -> None:
        """Connect and play until `stop` is set, or until the server does not want it any more."""
        try:
            if not self.client.connected:
                await self.client.open(OPEN_WITHIN)
            await self.client.ready(timeout=OPEN_WITHIN)
            while not await _is_set_within(stop, self._dice.expovariate(self._rate)):
                await self.act()
        except (ClientClosed, TimeoutError) as error:
            self.gone = str(error)

    async def act(self) -> None:
        """One command: decided, sent, answered and tallied. Raises ClientClosed."""
        rooms = {name: room.state for name, room in self.client.rooms.items()}
        name, arguments = self._brain(self.client.player, rooms, self._dice)
        try:
            ack = await self.client.command(name, arguments, timeout=ANSWER_WITHIN, retry=True)
        except CommandRejected as refusal:
            self.tally.rejected[refusal.code] += 1
        except CommandTimeout:
            self.tally.failed["no answer in time"] += 1
        except (ConnectionLost, TooManyCommands) as failure:
            self.tally.failed[str(failure)] += 1
        else:
            self.tally.accepted[name] += 1
            self.tally.latencies.add(ack.elapsed)
            if self._on_accepted is not None:
                self._on_accepted(name, arguments, ack)

    async def close(self) -> None:
        await self.client.close()


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
