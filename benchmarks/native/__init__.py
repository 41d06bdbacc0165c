"""The programs in C: compiled when they are needed, into the build folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.places import BUILD, NATIVE


class Unavailable(Exception):
    """Something that a measurement needs is not to be had here; the message says what and why."""


@cache
def program(name: str) -> Path:
    """`load` or `floor`, ready to run. Raises Unavailable without Linux or a compiler."""
    if not sys.platform.startswith("linux"):
        raise Unavailable("The load and the floor are programs for Linux (epoll).")
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise Unavailable("There is no C compiler (cc), and the load is written in C.")
    source, built = NATIVE / f"{name}.c", BUILD / "native" / name
    if built.exists() and built.stat().st_mtime >= source.stat().st_mtime:
        return built
    built.parent.mkdir(parents=True, exist_ok=True)
    command = (compiler, "-O2", "-Wall", "-Wextra", "-o", str(built), str(source))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{compiler} does not compile {source.name}:\n{done.stderr[-2000:]}")
    return built
