"""What happened in a room since its last flush: commits to be composed, signals by key."""

from __future__ import annotations

from collections.abc import Collection

from gameserver.protocol import outgoing
from gameserver.state.commit import Commit, Part
from gameserver.state.delta import Delta, Sets
from gameserver.state.replica import Replica


class Pending:
    """`created` are entities that did not exist at the last flush, or were replaced since."""

    __slots__ = ("commits", "created", "parts", "signals")

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.parts: list[Part] = []
        self.created: set[str] = set()
        self.signals: dict[str, outgoing.Signal] = {}

    def add(self, commit: Commit, replica: Replica) -> None:
        """A commit that the replica has just applied."""
        self.commits.append(commit)
        self.parts += commit.parts
        if self.created:
            for part in commit.parts:
                self.created.difference_update(part.dels)
        if replica.created:
            self.created.update(entity for entity in replica.created if entity in replica.entities)

    def change(self) -> tuple[Collection[str], Sets]:
        """What the commits did together: `dels`, applied before `sets`."""
        if len(self.parts) == 1:
            return self.parts[0].dels, self.parts[0].sets
        delta = Delta()
        for part in self.parts:
            delta.extend(part.dels, part.sets)
        return delta.dels, delta.sets

    def events(self) -> list[outgoing.Event]:
        """In the order of the commits."""
        return [event for commit in self.commits for event in outgoing.events_of(commit)]
