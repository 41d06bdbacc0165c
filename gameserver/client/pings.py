"""Round trips under way."""

from __future__ import annotations

import asyncio
import time
from typing import Any

MOST_PINGS = 64


class Pings:
    """Matches each `pong` with its `ping` by `at`, in ms since the Unix epoch and unique among those under way."""

    def __init__(self) -> None:
        self._sent: dict[int, tuple[float, asyncio.Future[float] | None]] = {}

    def ping(self, now: float, answer: asyncio.Future[float] | None = None) -> dict[str, Any]:
        """The message to send; `answer` will have the seconds until the pong."""
        at = int(time.time() * 1000)
        while at in self._sent:
            at += 1
        self._sent[at] = (now, answer)
        while len(self._sent) > MOST_PINGS:
            _, forgotten = self._sent.pop(next(iter(self._sent)))
            if forgotten is not None:
                forgotten.cancel()
        return {"type": "ping", "at": at}

    def pong(self, at: Any, now: float) -> float | None:
        """The round trip in seconds; None when nothing was asked."""
        sent = self._sent.pop(at, None)
        if sent is None:
            return None
        since, answer = sent
        if answer is not None and not answer.done():
            answer.set_result(now - since)
        return now - since

    def fail(self, error: Exception) -> None:
        for _, answer in self._sent.values():
            if answer is not None and not answer.done():
                answer.set_exception(error)
        self._sent.clear()
