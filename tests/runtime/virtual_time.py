"""An event loop whose time passes only when nothing else is left to do: hours in milliseconds, the same every time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):  # type: ignore[valid-type,misc]  # chosen per platform
    """Never waits: the time it would have waited has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("nothing is left that could happen: this would wait for ever")
            self.passed += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.passed


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """A world of its own from time 0, for one example of a property."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work())


def now() -> float:
    return asyncio.get_running_loop().time()


async def idle() -> None:
    """Return when everything that can happen without time passing has happened."""
    await asyncio.sleep(1e-6)


async def until(condition: Callable[[], object], within: float = 10.0) -> None:
    """Return when the condition holds; fails after `within` seconds of virtual time."""
    deadline = now() + within
    while not condition():
        assert now() < deadline, "the condition did not come true"
        await asyncio.sleep(0.001)


async def passed(seconds: float) -> None:
    """Let virtual time pass."""
    await asyncio.sleep(seconds)
