"""What replication knows of each room it follows, and what it counts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gameserver.state.commit import Commit
from gameserver.state.replica import Replica


@dataclass(slots=True)
class ReplicationStats:
    """Counters since start. `repairs` were filled from the log, `reloads` needed a snapshot; `lost_tails` were
    found by comparing positions, `lost_echoes` by a commit's reply."""

    applied: int = 0
    duplicates: int = 0
    gaps: int = 0
    repairs: int = 0
    reloads: int = 0
    lost_tails: int = 0
    lost_echoes: int = 0
    poison: int = 0
    drift: int = 0
    loads: int = 0


@dataclass(slots=True)
class Mending:
    """What there is of a room only while it is loaded or repaired."""

    buffer: list[Commit] = field(default_factory=list)
    waiters: list[asyncio.Future[Replica]] = field(default_factory=list)


@dataclass(slots=True)
class Followed:
    """A room and its replica, since somebody first wanted it. `holders` need it until they release it; `used` is when
    it was last asked for, in monotonic seconds."""

    replica: Replica
    loaded: bool = False
    reload: bool = True
    """The next mend must take a snapshot."""
    holders: int = 0
    used: float = 0.0
    mending: Mending | None = None
