"""Waiting for what must come true."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], what: str, deadline: float = 10.0) -> float:
    """The seconds it took; raises AssertionError when it does not come true in time."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < deadline, f"{what} did not come about within {deadline} s"
        await asyncio.sleep(0.01)
    return time.monotonic() - began
