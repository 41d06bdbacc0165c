"""Reading from the store's log what a slow member's shared event log holds no longer."""

from __future__ import annotations

from typing import NamedTuple

from gameserver.buses.base import Bus
from gameserver.sessions.due import Hole
from gameserver.state.commit import decode_commit
from gameserver.state.events import LoggedEvent, logged

COMMITS_AT_ONCE = 1000


class Filling(NamedTuple):
    """All events with `first` <= seq <= `last`; what the hole has before `first` is gone for good."""

    events: list[LoggedEvent]
    first: int
    last: int


async def read_hole(bus: Bus, hole: Hole) -> Filling:
    """As much of the hole as one reading gives. Raises Unavailable, or PoisonCommit for a log that cannot be read."""
    payloads = await bus.read_log(hole.room, hole.after, COMMITS_AT_ONCE)
    commits = [commit for commit in map(decode_commit, payloads) if commit.header.epoch == hole.epoch]
    fitting = [commit for commit in commits if commit.header.seq <= hole.upto]
    if not fitting:
        return Filling([], hole.upto + 1, hole.upto)
    events = [event for commit in fitting for event in logged(commit.header.seq, commit.header.at, commit.events)]
    # A full page may end within the hole: the rest of it is wanted again.
    cut_off = len(payloads) == COMMITS_AT_ONCE
    return Filling(events, fitting[0].header.seq, fitting[-1].header.seq if cut_off else hole.upto)
