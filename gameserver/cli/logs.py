"""Log lines for people, on stderr: time in UTC, level, process, where from, what."""

from __future__ import annotations

import logging
import sys
import time
from traceback import extract_tb

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(process)d %(name)s: %(message)s"


class Lines(logging.Formatter):
    """One line per record unless the level is debug: of a traceback, what it comes down to."""

    def __init__(self, whole: bool) -> None:
        super().__init__(FORMAT, "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime
        self._whole = whole

    def format(self, record: logging.LogRecord) -> str:
        if self._whole:
            return super().format(record)
        record = logging.makeLogRecord(record.__dict__)
        message = _last_line(record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            message += f" ({_described(record.exc_info[1])})"
        record.msg, record.args, record.exc_info, record.exc_text, record.stack_info = message, None, None, None, None
        return super().format(record)


def _described(failure: BaseException) -> str:
    """What it was, and the line that raised it."""
    *_, place = [None, *extract_tb(failure.__traceback__)]
    where = f" at {place.filename}:{place.lineno}" if place is not None else ""
    return f"{type(failure).__name__}: {failure}{where}"


def _last_line(message: str) -> str:
    """uvicorn logs the traceback of a worker that could not start as a message."""
    if not message.startswith("Traceback (most recent call last)"):
        return message
    return message.strip().rpartition("\n")[2]


def configure(level: str) -> None:
    """Send everything from `level` on to stderr; `debug` shows tracebacks whole."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(whole=level == "debug"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Too talkative below these: every frame, every selector.
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("websockets").setLevel(logging.WARNING)
