"""An event loop in virtual time on which several processes seem to run: each can be frozen, and wakes up late.

What runs belongs to the *domain* in whose context it was scheduled; tasks and timers hand it on to what they start
themselves. While a domain is frozen, as by SIGSTOP, what is due in it is kept, in order, and runs when it thaws.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from heapq import heappop
from typing import Any, TypeVar

T = TypeVar("T")

MOST_WITHOUT_TIME = 200_000
"""Callbacks that may run before time has to pass: more is a loop that runs hot for ever."""


class Domain:
    """One process of the simulation. `context` is what is to be scheduled in it from outside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.frozen = False
        self.held: list[asyncio.Handle] = []
        self.context: Context = copy_context()
        self.context.run(_DOMAIN.set, self)


_DOMAIN: ContextVar[Domain | None] = ContextVar("domain", default=None)


class Hot(RuntimeError):
    """Something runs for ever without waiting for anything."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Time jumps to the next timer as soon as nothing is left to do. Neither sockets nor threads are waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual = 0.0
        self._frozen = 0
        self._without_time = 0
        self.ran = 0
        """Callbacks so far."""

    def time(self) -> float:
        return self._virtual

    def freeze(self, domain: Domain) -> None:
        if not domain.frozen:
            domain.frozen = True
            self._frozen += 1

    def thaw(self, domain: Domain) -> None:
        if domain.frozen:
            domain.frozen = False
            self._frozen -= 1
            held, domain.held = domain.held, []
            self._ready.extend(held)

    def _run_once(self) -> None:
        """One turn, as the base class's, without its system calls."""
        ready, scheduled = self._ready, self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise RuntimeError("nothing is left that could happen: this would wait for ever")
            if scheduled[0]._when > self._virtual:
                self._virtual = scheduled[0]._when
                self._without_time = 0
        now = self._virtual
        while scheduled and scheduled[0]._when <= now:
            timer = heappop(scheduled)
            timer._scheduled = False
            if not timer._cancelled:
                ready.append(timer)
        count = len(ready)
        self.ran += count
        self._without_time += count
        if self._without_time > MOST_WITHOUT_TIME:
            self._without_time = 0
            raise Hot(f"{MOST_WITHOUT_TIME} callbacks ran at {now:.3f} s and time did not pass")
        for _ in range(count):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            if self._frozen:
                domain = handle._context.get(_DOMAIN)
                if domain is not None and domain.frozen:
                    domain.held.append(handle)
                    continue
            handle._run()


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """A run of its own from time 0."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(work())


def current() -> SimulatedLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    return loop
