"""Worker processes on free ports of 127.0.0.1: started, waited for by /ready, stopped by SIGTERM and held to it."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jwt

from tests.redis_server import HOST, free_port, wait_until

ROOT = Path(__file__).resolve().parent.parent
SECRET = secrets.token_urlsafe(48)
FRONTIER = "gameserver.worlds.frontier:game"
DEPOT = "e2e_tests.worlds.depot:game"

Server = Literal["gameserver", "standard"]
"""How a worker is served: by `gameserver run`, or by stock uvicorn over plain ASGI."""
STARTED_WITHIN = 40.0
STOPPED_WITHIN = 20.0

_SAMPLE = re.compile(r"^gameserver_(\w+?)(?:_total)? ([-+.\de]+)$", re.MULTILINE)


def token(player: str, **claims: Any) -> str:
    """A token as an identity provider would make it, without the server's own code."""
    now = int(time.time())
    payload = {
        "sub": player,
        "iat": now,
        "exp": now + 3600,
        "jti": secrets.token_urlsafe(9),
        "iss": "gameserver",
        "aud": "gameserver",
        **claims,
    }
    return jwt.encode(payload, SECRET, algorithm="HS256")


class Worker:
    """One worker process; `settings` are variables without their prefix, in any case."""

    def __init__(
        self,
        name: str,
        directory: Path,
        redis_url: str,
        world: str,
        settings: Mapping[str, object],
        server: Server = "gameserver",
    ) -> None:
        self.name = name
        self.server = server
        self.port = free_port()
        self.log = directory / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        given = {
            "redis_url": redis_url,
            "world": world,
            "host": HOST,
            "port": self.port,
            "jwt_secret": SECRET,
            "log_level": "warning",
            # All clients come from one address.
            "handshakes_per_address": 10_000,
            **settings,
        }
        # Not those of whoever runs the tests.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GAMESERVER_")}
        self._environ = inherited | {f"GAMESERVER_{name.upper()}": str(value) for name, value in given.items()}

    def start(self) -> None:
        """Returns at once; see `wait_ready`."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command(), cwd=ROOT, env=self._environ, stdout=log, stderr=log)

    def _command(self) -> list[str]:
        if self.server == "gameserver":
            return [sys.executable, "-m", "gameserver", "run"]
        place = ["--host", HOST, "--port", str(self.port), "--log-level", "warning"]
        return [sys.executable, "-m", "uvicorn", "--factory", "gameserver.application:create", *place]

    def wait_ready(self) -> None:
        """Raises RuntimeError with the log when the process ends instead, TimeoutError after a while."""
        wait_until(self._answers, f"the worker {self.name}", STARTED_WITHIN)

    def _answers(self) -> bool:
        if self.running:
            return self.get("/ready")[0] == 200
        raise RuntimeError(f"the worker {self.name} ended by itself:\n{self.output()}")

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def url(self, path: str = "/ws") -> str:
        return f"ws://{HOST}:{self.port}{path}"

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()
        except OSError:
            return 0, ""

    def metrics(self) -> dict[str, float]:
        """What /metrics says, without prefix and `_total`."""
        status, text = self.get("/metrics")
        assert status == 200, f"{self.name} answered /metrics with {status}"
        return {name: float(value) for name, value in _SAMPLE.findall(text)}

    def kill(self) -> None:
        """SIGKILL: no goodbye to anybody."""
        if self.running:
            assert self.process is not None
            self.process.kill()
            self.process.wait()

    def stop(self) -> list[str]:
        """SIGTERM, and what was wrong about how it ended."""
        if not self.running:
            return []
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
            return [f"{self.name} did not end within {STOPPED_WITHIN} s of SIGTERM"]
        # uvicorn ends by the signal it was given, once it has cleaned up.
        return [] if code in (0, -signal.SIGTERM) else [f"{self.name} ended with {code}"]

    def output(self, most: int = 6000) -> str:
        """The end of what the process wrote."""
        return self.log.read_text(errors="replace")[-most:] if self.log.exists() else ""


class Fleet:
    """Workers of one world on one Redis.

    `redis_urls` gives a worker, by its index, another way to the store; `forgiven` ends tracebacks that are meant.
    """

    def __init__(
        self,
        directory: Path,
        redis_url: str,
        count: int,
        world: str = FRONTIER,
        redis_urls: Mapping[int, str] | None = None,
        forgiven: str = "",
        server: Server = "gameserver",
        **settings: object,
    ) -> None:
        self.redis_url = redis_url
        self._forgiven = forgiven
        urls = [(redis_urls or {}).get(index, redis_url) for index in range(count)]
        self.workers = [
            Worker(f"worker-{index}", directory, url, world, settings, server) for index, url in enumerate(urls)
        ]

    def __getitem__(self, index: int) -> Worker:
        return self.workers[index]

    def __len__(self) -> int:
        return len(self.workers)

    def start(self) -> None:
        for worker in self.workers:
            worker.start()
        for worker in self.workers:
            worker.wait_ready()

    def stop(self) -> None:
        """Raises AssertionError when a worker did not end as it should, or wrote of a failure."""
        faults = []
        for worker in self.workers:
            faults += worker.stop()
            written = worker.output(1 << 24)
            meant = written.count(self._forgiven) if self._forgiven else 0
            faults += [f"{worker.name} wrote a traceback"] * (written.count("Traceback") > meant)
        assert not faults, "\n".join([*faults, self.output()])

    def kill(self) -> None:
        for worker in self.workers:
            worker.kill()

    def metrics(self, name: str) -> float:
        """The sum over all workers that run."""
        return sum(worker.metrics()[name] for worker in self.workers if worker.running)

    def output(self) -> str:
        return "\n".join(f"--- {worker.name}\n{worker.output()}" for worker in self.workers)
