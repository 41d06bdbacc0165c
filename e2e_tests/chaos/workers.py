"""Workers that are stopped, killed, started again, and may lack what guards them."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e_tests.workers import ROOT, Worker


class ChaosWorker(Worker):
    """`lacking` are words of `e2e_tests.chaos.crippled`; `environ` comes on top of what a worker is given."""

    def __init__(
        self,
        name: str,
        directory: Path,
        redis_url: str,
        world: str,
        settings: Mapping[str, object],
        *,
        lacking: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name, directory, redis_url, world, settings)
        self._lacking = list(lacking)
        if self._lacking:
            # What is compiled cannot be patched: a crippled worker runs from the sources.
            self._environ["PYTHONPATH"] = str(ROOT)
        self._environ.update(environ or {})

    def _command(self) -> list[str]:
        if not self._lacking:
            return super()._command()
        return [sys.executable, "-m", "e2e_tests.chaos.crippled", ",".join(self._lacking), "run"]

    @property
    def ready(self) -> bool:
        return self.get("/ready")[0] == 200

    @property
    def ticking(self) -> bool:
        return bool(self.metrics()["ticking"])

    def tell(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def freeze(self) -> None:
        self.tell(signal.SIGSTOP)

    def thaw(self) -> None:
        self.tell(signal.SIGCONT)

    def kill(self) -> None:
        if self.running:
            self.thaw()
        super().kill()

    def crash(self) -> None:
        """SIGKILL, without a word to anybody."""
        super().kill()

    def restart(self) -> float:
        """Start it again on its port; the seconds until it was ready."""
        began = time.monotonic()
        self.start()
        self.wait_ready()
        return time.monotonic() - began
