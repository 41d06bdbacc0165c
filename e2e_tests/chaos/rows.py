"""All rows, in the order of the list, and those that are not shown."""

from __future__ import annotations

from e2e_tests.chaos import redis_rows, worker_rows
from e2e_tests.chaos.catalogue import Absent, Row

ROWS: tuple[Row, ...] = tuple(sorted((*worker_rows.ROWS, *redis_rows.ROWS), key=lambda row: row.number))
ABSENT = (
    Absent(24, "bridge loop, double bridge", "there is no bridge between regions yet"),
    Absent(25, "nexus away", "there is no bridge between regions yet"),
)
