"""A steady beat for open-loop load: event loops sleep in whole milliseconds, a thread sleeps as long as it is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable


class Pace:
    """Calls `beat()` on the event loop `hz` times a second from the monotonic time `start` on, until `stop`.

    A late beat is not made up for by later ones: whoever is called sends all that is due by then.
    """

    def __init__(self, hz: float, start: float, beat: Callable[[], None]) -> None:
        self._period = 1 / hz
        self._start = start
        self._beat = beat
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pace", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            left = self._start + number * self._period - time.monotonic()
            if left > 0:
                time.sleep(left)
            number = max(number + 1, int((time.monotonic() - self._start) / self._period))
            self._loop.call_soon_threadsafe(self._beat)
