"""Players under load: numbered commands, each sent until it is answered, on whichever worker can be had."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from e2e_tests.workers import Worker, token
from gameserver.client import (
    Client,
    ClientClosed,
    ClientEvent,
    CommandRejected,
    CommandTimeout,
    Connected,
    ConnectionLost,
    Disconnected,
    LostEvents,
    Tuning,
    Verified,
)

ANSWERED_WITHIN = 60.0
"""Seconds a command may take in all, over every fault and reconnect."""


class Entrant:
    """One player of the ledger. `sent` and `acked` are numbers of commands; times are monotonic seconds.

    Loses its connection to one worker and goes on at the next, as behind a load balancer.
    """

    def __init__(
        self, name: str, workers: Sequence[Worker], place: int, *, tuning: Tuning | None = None, encoding: str = "json"
    ) -> None:
        self.name = name
        self.sent: set[int] = set()
        self.acked: set[int] = set()
        self.refused: Counter[str] = Counter()
        self.answers: list[float] = []
        """Seconds from a command to each answer it got, refusals included."""
        self.closes: list[tuple[float, int]] = []
        """When, and with which code, connections ended."""
        self.resumes: list[float] = []
        """Seconds from each end to the next welcome."""
        self.recovered: Counter[bool] = Counter()
        """Of each resume: whether every room was recovered."""
        self.mismatches = 0
        self.mismatched_at = 0.0
        self.verified_at = 0.0
        self.lost_events = 0
        self._lost_at: float | None = None
        self._urls = itertools.cycle([worker.url() for worker in (*workers[place:], *workers[:place])])
        self.client = Client(
            next(self._urls),
            token(name),
            encoding=encoding,  # type: ignore[arg-type]
            on_event=self._told,
            tuning=tuning or Tuning(backoff_base=0.2, backoff_cap=2.0),
        )

    def _told(self, event: ClientEvent) -> None:
        match event:
            case Disconnected(code=code):
                now = time.monotonic()
                self.closes.append((now, code))
                self._lost_at = now if self._lost_at is None else self._lost_at
                # Whoever is not at home any more: the next try goes to the next worker.
                self.client._dialer.url = next(self._urls)
            case Connected(recovered=recovered):
                if self._lost_at is not None:
                    self.resumes.append(time.monotonic() - self._lost_at)
                    self.recovered[bool(recovered) and all((recovered or {}).values())] += 1
                    self._lost_at = None
            case LostEvents():
                self.lost_events += 1
            case Verified(ok=True):
                self.verified_at = time.monotonic()
            case Verified(ok=False):
                self.mismatches += 1
                self.mismatched_at = time.monotonic()

    async def enter(self, number: int) -> bool:
        """One numbered command, asked for until it is answered; whether it was acknowledged at last."""
        self.sent.add(number)
        until = time.monotonic() + ANSWERED_WITHIN
        while (now := time.monotonic()) < until:
            try:
                await self.client.command("enter", number=number, id=number, timeout=until - now, retry=True)
            except CommandRejected as refused:
                self.answers.append(time.monotonic() - now)
                self.refused[refused.code] += 1
                await asyncio.sleep(refused.retry_after or 0.05)
            except (ConnectionLost, CommandTimeout):
                await asyncio.sleep(0.05)
            except ClientClosed:
                return False
            else:
                self.answers.append(time.monotonic() - now)
                self.acked.add(number)
                return True
        return False

    async def play(self, pace: float, going: Callable[[], bool], most: int = 1 << 30) -> None:
        """Numbers one after the other, one every `pace` seconds, while it is `going`."""
        loop = asyncio.get_running_loop()
        due = loop.time() + Random(self.name).uniform(0, pace)
        first = len(self.sent)
        for number in range(first, first + most):
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not going():
                return
            due = max(due + pace, loop.time())
            await self.enter(number)


class Load:
    """Entrants that play for as long as the block lasts, and then finish what they have sent."""

    def __init__(self, entrants: list[Entrant], pace: float) -> None:
        self.entrants = entrants
        self._pace = pace
        self._going = True
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(entrant.play(self._pace, lambda: self._going)) for entrant in self.entrants]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        self._going = False
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=kind is not None)

    @property
    def acked(self) -> int:
        return sum(len(entrant.acked) for entrant in self.entrants)

    async def goes_on(self, more: int = 10, within: float = 30.0) -> float:
        """Wait until that many more commands have been acknowledged; the seconds it took."""
        began, before = time.monotonic(), self.acked
        while self.acked < before + more:
            assert time.monotonic() - began < within, f"no {more} commands were acknowledged within {within} s"
            await asyncio.sleep(0.02)
        return time.monotonic() - began


async def all_in(entrants: list[Entrant], at_once: int = 50) -> None:
    """Everybody is connected and holds their rooms."""
    for first in range(0, len(entrants), at_once):
        some = entrants[first : first + at_once]
        await asyncio.gather(*(entrant.client.open() for entrant in some))
        await asyncio.gather(*(entrant.client.ready(timeout=30.0) for entrant in some))


async def all_out(entrants: list[Entrant]) -> None:
    await asyncio.gather(*(entrant.client.close() for entrant in entrants))


def percentile(values: Sequence[float], share: float) -> float:
    """0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
