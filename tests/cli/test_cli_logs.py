"""Log lines: one per record, with when, how bad, who and what."""

from __future__ import annotations

import logging
import sys

from gameserver.cli.logs import Lines


def record_of_failure() -> logging.LogRecord:
    try:
        raise ValueError("no such thing")
    except ValueError:
        return logging.LogRecord("gameserver.x", logging.ERROR, __file__, 1, "it %s", ("failed",), sys.exc_info())


def test_a_failure_is_one_line() -> None:
    """What it comes down to, unless one asked for everything."""
    record = record_of_failure()
    line = Lines(whole=False).format(record)
    assert "gameserver.x: it failed (ValueError: no such thing at " in line
    assert line.endswith(f"{__file__}:13)")
    assert "\n" not in line
    assert "Traceback" in Lines(whole=True).format(record)


def test_a_traceback_that_is_a_message_is_its_last_line() -> None:
    """uvicorn logs what kept an application from starting like that."""
    message = "Traceback (most recent call last):\n  File ...\nValueError: no such thing\n"
    record = logging.LogRecord("uvicorn.error", logging.ERROR, __file__, 1, message, (), None)
    assert Lines(whole=False).format(record).endswith("uvicorn.error: ValueError: no such thing")
