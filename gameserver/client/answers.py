"""Requests without an id: which message answers them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from gameserver.client.failures import RequestRefused

Message = Mapping[str, Any]


def forgo(answer: asyncio.Future[Any]) -> None:
    """Nobody waits for this any more: whatever it came to, or comes to, need not be reported as overlooked."""
    if not answer.cancel() and not answer.cancelled():
        answer.exception()


class Answers:
    """Who waits for which message. An `error` without an id is taken to refuse whoever waits longest."""

    def __init__(self) -> None:
        self._expected: dict[asyncio.Future[Message], Callable[[Message], bool]] = {}

    def __len__(self) -> int:
        return len(self._expected)

    def expect(self, matches: Callable[[Message], bool]) -> asyncio.Future[Message]:
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._expected[future] = matches
        future.add_done_callback(lambda done: self._expected.pop(done, None))
        return future

    def offer(self, message: Message) -> None:
        """Everyone who waits for such a message has it."""
        for future, matches in list(self._expected.items()):
            if not future.done() and matches(message):
                future.set_result(message)

    def refuse(self, error: Message) -> bool:
        """Whether somebody waited."""
        for future in self._expected:
            if not future.done():
                future.set_exception(RequestRefused({key: error[key] for key in error if key != "type"}))
                return True
        return False

    def fail(self, error: Exception) -> None:
        for future in list(self._expected):
            if not future.done():
                future.set_exception(error)
