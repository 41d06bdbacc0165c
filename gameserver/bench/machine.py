"""This machine: what it is, which process runs on which of its cores, and how much CPU time was used."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from gameserver.state import draft

PACKAGES = ("uvloop", "uvicorn", "websockets", "msgspec", "orjson", "hiredis")
FILES = 20_000


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core each part runs on; None where processes cannot be pinned.

    What is measured has a core of its own. On two cores Redis and the load share the other one.
    """

    server: int | None
    load: int | None
    redis: int | None

    @classmethod
    def of_this_machine(cls) -> Cores:
        allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if len(allowed) < 2:
            return cls(None, None, None)
        return cls(server=allowed[0], load=allowed[1], redis=allowed[min(2, len(allowed) - 1)])

    def __str__(self) -> str:
        if self.server is None:
            return "processes are not pinned"
        shared = " (shared)" if self.load == self.redis else ""
        return f"pinned: server to core {self.server}, load to {self.load}, Redis to {self.redis}{shared}"


def pin(core: int | None, pid: int = 0) -> None:
    """Keep a process (0: this one) on one core, as far as the system can."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {core})


def allow_many_connections() -> None:
    """Raise this process's limit of open files to what a thousand connections need, or as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time that the processes have used so far. The system counts in hundredths of a second."""
    total = 0.0
    for pid in pids:
        times = psutil.Process(pid).cpu_times()
        total += times.user + times.system
    return total


def resident_bytes(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def facts() -> dict[str, str]:
    """What a reader needs to know of the machine; `load average` tells whether others used it too."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu_model(),
        "cores": str(psutil.cpu_count(logical=True)),
        "placement": str(Cores.of_this_machine()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "gameserver": f"{version('gameserver')}, {'interpreted' if draft.__file__.endswith('.py') else 'compiled'}",
        "packages": ", ".join(f"{package} {version(package)}" for package in PACKAGES),
        "redis": _redis_version(),
        "load average": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        found = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        return found.stdout.strip()
    return platform.processor() or platform.machine()


def _redis_version() -> str:
    binary = shutil.which("redis-server")
    if binary is None:
        return "none"
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout
    return next((word.removeprefix("v=") for word in said.split() if word.startswith("v=")), "unknown")
