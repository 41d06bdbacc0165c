"""Waiting for a condition without asking again and again: conditions are looked at when something changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from gameserver.client.answers import forgo

S = TypeVar("S")
T = TypeVar("T")


class Waiters(Generic[S]):
    """Conditions on one subject. `changed` is cheap while nobody waits."""

    def __init__(self, subject: S) -> None:
        self._subject = subject
        self._waiting: dict[asyncio.Future[Any], Callable[[S], Any]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, condition: Callable[[S], T], timeout: float) -> T:
        """The condition's first truthy value. Raises TimeoutError after `timeout` seconds, and what it raises."""
        value = condition(self._subject)
        if value:
            return value
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting[future] = condition
        try:
            async with asyncio.timeout(timeout):
                return await future
        finally:
            del self._waiting[future]
            forgo(future)

    def changed(self) -> None:
        for future, condition in list(self._waiting.items()):
            if future.done():
                continue
            try:
                value = condition(self._subject)
            except Exception as error:
                future.set_exception(error)
            else:
                if value:
                    future.set_result(value)

    def fail(self, error: Exception) -> None:
        for future in list(self._waiting):
            if not future.done():
                future.set_exception(error)
