"""What the server's own logs must not hold: query strings, where someone may have put a token, and JWTs in a path."""

from __future__ import annotations

import logging
import re

_find_secret = re.compile(r"\?\S*|eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_.-]*")


class WithoutQueries(logging.Filter):
    """Cuts queries and JWTs out of every path among a record's arguments."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                _find_secret.sub(_redacted, arg) if isinstance(arg, str) else arg for arg in record.args
            )
        return True


def _redacted(secret: re.Match[str]) -> str:
    return "?***" if secret[0].startswith("?") else "***"


_without_queries = WithoutQueries()


def redact_queries() -> None:
    """Let uvicorn's loggers write paths without their queries; harmless when called again."""
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).addFilter(_without_queries)
