"""Commits over several rooms: who has applied them, and which rooms wait for which others.

No client is to see half a move. A room that has applied its part of a commit is held until all of the commit's other
rooms that are followed here have, or a deadline has passed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable

from gameserver.runtime.audience import Audience

CommitId = tuple[str, int]

SIBLING_DEADLINE = 0.25
"""Seconds a room waits for the rest of a commit before it is shown without; what is missing is looked for then."""
REMEMBERED_COMMITS = 4096


class Siblings:
    """Of one worker. `follows(room)` says whether a room's commits are applied here; `on_found()` is called when a room
    need not wait any more, `on_overdue()` when one has waited for too long."""

    def __init__(
        self,
        follows: Callable[[str], bool],
        on_found: Callable[[], None],
        on_overdue: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        self._follows = follows
        self._on_found = on_found
        self._on_overdue = on_overdue
        self._now = now
        self._applied: OrderedDict[CommitId, set[str]] = OrderedDict()
        self._waiting: dict[CommitId, set[Audience]] = {}
        self.held = 0
        self.held_too_long = 0

    def note(self, room: str, commit: CommitId) -> None:
        """The room has applied its part."""
        rooms = self._applied.get(commit)
        if rooms is None:
            rooms = self._applied[commit] = set()
            if len(self._applied) > REMEMBERED_COMMITS:
                self._applied.popitem(last=False)
        rooms.add(room)
        for audience in self._waiting.pop(commit, ()):
            missing = audience.awaited.get(commit)
            if missing is None:
                continue
            missing.discard(room)
            if missing:
                self._waiting.setdefault(commit, set()).add(audience)
                continue
            audience.found(commit)
            if not audience.awaited:
                self._on_found()

    def hold(self, audience: Audience, commit: CommitId, siblings: Iterable[str]) -> None:
        """Show nothing of the room before all that are missing have been noted."""
        applied = self._applied[commit]
        missing = {room for room in siblings if room not in applied and self._follows(room)}
        if missing:
            if not audience.awaited:
                audience.held_since = self._now()
                asyncio.get_running_loop().call_later(SIBLING_DEADLINE, self._expired, audience)
            self.held += 1
            audience.hold(commit, missing)
            self._waiting.setdefault(commit, set()).add(audience)

    def release(self, audience: Audience) -> None:
        """The room waits for nobody."""
        for commit in audience.awaited:
            waiting = self._waiting.get(commit)
            if waiting is not None:
                waiting.discard(audience)
                if not waiting:
                    del self._waiting[commit]
        audience.release()

    def _expired(self, audience: Audience) -> None:
        if not audience.awaited:
            return
        overdue = audience.held_since + SIBLING_DEADLINE - self._now()
        if overdue > 0.001:
            asyncio.get_running_loop().call_later(overdue, self._expired, audience)
            return
        self.held_too_long += 1
        self.release(audience)
        self._on_overdue()
