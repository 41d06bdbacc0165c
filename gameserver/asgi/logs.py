"""What the server's own logs must not hold: query strings, where someone may have put a token."""

from __future__ import annotations

import logging
import re

_find_query = re.compile(r"\?\S*")


class WithoutQueries(logging.Filter):
    """Cuts the query off every path among a record's arguments."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_find_query.sub("?***", arg) if isinstance(arg, str) else arg for arg in record.args)
        return True


_without_queries = WithoutQueries()


def redact_queries() -> None:
    """Let uvicorn's loggers write paths without their queries; harmless when called again."""
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).addFilter(_without_queries)
