"""The event loop's lag is measured and told."""

from __future__ import annotations

import asyncio
import time

import pytest

from gameserver.runtime.lag import KEPT, LOOK_EVERY, STALL, LagWatch


def test_stalls_are_counted_and_the_longest_is_kept_for_a_while() -> None:
    """A lag below the limit is none; the longest is told until enough looks have followed."""
    watch = LagWatch()
    for lag in (0.01, STALL, 2 * STALL):
        watch.note(lag)
    assert (watch.stalls, watch.longest) == (2, 2 * STALL)
    for _ in range(KEPT):
        watch.note(0.0)
    assert (watch.stalls, watch.longest) == (2, 0.0)


def test_a_loop_that_stood_still_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    """What blocks the loop is seen by the next look, and logged."""
    watch = LagWatch()

    async def stand_still() -> None:
        watching = asyncio.create_task(watch.run())
        await asyncio.sleep(0)
        time.sleep(LOOK_EVERY + STALL + 0.05)  # noqa: ASYNC251 - the fault itself
        await asyncio.sleep(LOOK_EVERY)
        watching.cancel()

    # In real time, unlike this package's other tests.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(stand_still())
    assert watch.stalls == 1
    assert watch.longest >= STALL
    assert "stood still" in caplog.text
