"""Servers that are not ours: started pinned, asked for their port, ended by their pids."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from gameserver.bench.machine import allow_many_connections, pin
from gameserver.bench.processes import BenchmarkFailed

START_DEADLINE = 20.0
STOP_DEADLINE = 5.0
POLL = 0.05


@contextmanager
def started(
    command: Sequence[str],
    core: int | None,
    *,
    port: int = 0,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process on one core, and its port: the given one once somebody listens there, or else the one it prints."""

    def settle_in() -> None:
        pin(core)
        allow_many_connections()

    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            env=os.environ | dict(environ or {}),
            preexec_fn=settle_in,
            process_group=0,
        )
        try:
            found = _wait_for_port(process, port) if port else _read_port(process)
            if not found:
                log.seek(0)
                raise BenchmarkFailed(f"{command[0]} did not start: {log.read()[-800:].decode(errors='replace')}")
            yield process, found
        finally:
            end(process)


def children(pid: int) -> list[int]:
    """A process and all that it has started."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        family = children(process.pid)
        for pid in family[1:]:
            _kill(pid)
        process.kill()
    process.wait(STOP_DEADLINE)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _kill(pid: int) -> None:
    try:
        psutil.Process(pid).kill()
    except psutil.NoSuchProcess:
        return


def _read_port(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_DEADLINE)
    line = process.stdout.readline().strip() if readable else b""
    return int(line) if line.isdigit() else 0


def _wait_for_port(process: subprocess.Popen[bytes], port: int) -> int:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), POLL).close()
        except OSError:
            time.sleep(POLL)
        else:
            return port
    return 0
