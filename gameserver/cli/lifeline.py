"""Processes that end when the one that started them does, however that one ended.

The parent holds the writing end of the child's standard input and never writes: when input ends, the parent has ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

COMMAND = (sys.executable, "-m", "gameserver")


def child_options(environ: Mapping[str, str]) -> dict[str, Any]:
    """For subprocess, whichever way it is called. Ctrl-C in the terminal is the parent's to pass on."""
    return {"stdin": subprocess.PIPE, "env": dict(environ), "process_group": 0}


def end_with_parent() -> None:
    """In the child: take the parent's end for SIGTERM."""
    threading.Thread(target=_wait_for_end, name="lifeline", daemon=True).start()


def _wait_for_end() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
