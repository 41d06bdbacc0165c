"""Many bots at once, and what came of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gameserver.cli.botting import Bot, Tally

ARRIVALS = 50.0
"""Bots that connect per second: below the handshakes that a server takes from one address by default."""


@dataclass(slots=True)
class Summary:
    """`seconds` is how long they played, `gone` the reasons why bots stopped early."""

    bots: int
    seconds: float
    tally: Tally = field(default_factory=Tally)
    events: int = 0
    verified: int = 0
    mismatches: int = 0
    resyncs: int = 0
    lost: int = 0
    disconnections: int = 0
    gone: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, bots: Sequence[Bot], seconds: float) -> Summary:
        summary = cls(len(bots), seconds)
        for bot in bots:
            rooms = bot.client.stats.replica
            summary.tally.merge(bot.tally)
            summary.events += rooms.events
            summary.verified += rooms.verified
            summary.mismatches += rooms.mismatches
            summary.resyncs += rooms.resyncs
            summary.lost += rooms.lost
            summary.disconnections += bot.client.stats.disconnections
            if bot.gone is not None:
                summary.gone[bot.gone] += 1
        return summary

    @property
    def good(self) -> bool:
        """Whether everybody played to the end and saw the same as the server."""
        return not self.gone and not self.mismatches

    def figures(self) -> dict[str, Any]:
        """For programs: times in seconds, latencies None when nothing was accepted."""
        tally = self.tally
        return {
            "bots": self.bots,
            "seconds": round(self.seconds, 3),
            "accepted": tally.accepted.total(),
            "rejected": tally.rejected.total(),
            "failed": tally.failed.total(),
            "events": self.events,
            "verified": self.verified,
            "mismatches": self.mismatches,
            "resyncs": self.resyncs,
            "lost": self.lost,
            "disconnections": self.disconnections,
            "latency_p50": tally.latencies.quantile(0.5),
            "latency_p99": tally.latencies.quantile(0.99),
            "accepted_by_command": dict(tally.accepted),
            "rejected_by_code": dict(tally.rejected),
            "failed_by_kind": dict(tally.failed),
            "gone": dict(self.gone),
        }

    def line(self) -> str:
        """For people."""
        tally = self.tally
        accepted = tally.accepted.total()
        parts = [
            f"{self.bots} bots in {self.seconds:.1f} s: {accepted} commands accepted",
            f"{tally.rejected.total()} rejected{_in_brackets(tally.rejected)}",
            f"{tally.failed.total()} failed{_in_brackets(tally.failed)}",
            f"{self.events} events",
            f"{self.mismatches} mismatches in {self.verified + self.mismatches} checks",
            f"{self.resyncs} resyncs",
        ]
        if accepted:
            middle, slow = (tally.latencies.quantile(share) or 0.0 for share in (0.5, 0.99))
            parts.append(f"latency p50 {middle * 1000:.1f} ms, p99 {slow * 1000:.1f} ms")
        return ", ".join(parts)


def _in_brackets(counts: Counter[str]) -> str:
    return f" ({', '.join(f'{what} {count}' for what, count in counts.most_common())})" if counts else ""


async def play(bots: Sequence[Bot], stop: asyncio.Event, seconds: float | None = None) -> Summary:
    """Let them arrive one after the other and play until `stop` is set, at most for `seconds`; their clients stay open.

    Ends early when no bot is left. Commands under way when it ends are waited for.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    timer = loop.call_later(seconds, stop.set) if seconds is not None else None
    playing = {asyncio.create_task(_arrive(bot, index / ARRIVALS, stop)): bot for index, bot in enumerate(bots)}
    stopped = asyncio.create_task(_until(stop))
    pending = set(playing)
    try:
        while pending and not stop.is_set():
            done, _ = await asyncio.wait({stopped, *pending}, return_when=asyncio.FIRST_COMPLETED)
            pending -= _results(done - {stopped})
        played = loop.time() - began
        for task in pending:
            if not playing[task].client.connected:
                # It waits for a connection that nobody needs any more.
                task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        _results(pending)
    finally:
        for waiting in (stopped, *playing):
            waiting.cancel()
        if timer is not None:
            timer.cancel()
    return Summary.of(bots, played)


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


async def _arrive(bot: Bot, delay: float, stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(delay):
            await stop.wait()
    except TimeoutError:
        await bot.play(stop)


def _results(done: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """The same tasks. Raises what one of them raised: a brain that fails is a fault to be seen."""
    for task in done:
        if not task.cancelled():
            task.result()
    return done
