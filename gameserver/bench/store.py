"""A `redis-server` of one's own for the length of a measurement: on a free port, nothing kept, ended by its pid."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

HOST = "127.0.0.1"
START_DEADLINE = 20.0
STOP_DEADLINE = 5.0
POLL = 0.02


class NoRedis(Exception):
    """There is no Redis to be had; the message says why."""


@dataclass(frozen=True, slots=True)
class RunningRedis:
    pid: int
    port: int

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"


@contextmanager
def redis_process() -> Iterator[RunningRedis]:
    """Raises NoRedis when it is not installed or does not start."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise NoRedis("There is no redis-server on PATH.")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        command = (binary, "--port", str(port), "--bind", HOST, "--dir", directory, "--save", "", "--appendonly", "no")
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, process_group=0)
        try:
            _wait_for(process, port)
            yield RunningRedis(process.pid, port)
        finally:
            process.kill()
            process.wait(STOP_DEADLINE)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NoRedis(f"redis-server ended with code {process.returncode}.")
        try:
            with socket.create_connection((HOST, port), POLL) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(16).startswith(b"+PONG"):
                    return
        except OSError:
            pass
        time.sleep(POLL)
    raise NoRedis(f"redis-server did not answer within {START_DEADLINE:.0f} s.")
