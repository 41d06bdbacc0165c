"""Where a replica or a client stands in a room's history."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """`seq` counts a room's commits within an `epoch`, the life of one store's content."""

    epoch: int
    seq: int
