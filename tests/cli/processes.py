"""The command as others run it: a process with its own environment, output and exit code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a secret of the tests that is long enough for any algorithm there is, or so it seems"
DEADLINE = 30.0


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with none of our variables but these."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("GAMESERVER_")}
    return {**inherited, "PYTHONUNBUFFERED": "1", **variables}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "gameserver", *arguments]


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; no command may ever show a traceback."""
    done = subprocess.run(
        command(*arguments), env=environment(variables), cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE
    )
    assert "Traceback" not in done.stderr
    return done


class Running:
    """A command that goes on; `errors` is where its stderr goes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self, pattern: str) -> re.Match[str]:
        """The next line of its output that has the pattern."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"{pattern!r} never came, but {''.join(seen)}")

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and what it still said after a signal."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, rest


@contextmanager
def running(*arguments: str, **variables: str) -> Iterator[Running]:
    """A command in the background, killed at the end if it still runs."""
    with TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command(*arguments),
            env=environment(variables),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield Running(process)
        except BaseException:
            errors.seek(0)
            print(errors.read(), file=sys.stderr)
            raise
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()
