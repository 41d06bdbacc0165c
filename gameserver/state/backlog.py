"""Changes that slow readers have yet to take note of, kept once for all of them.

A reader that cannot be sent anything need not be told each change as it happens: it holds a cursor, and when its
line takes something again it goes through what came since, already composed. However long it sleeps, only a
few composed changes are kept: two neighbours become one, and who stood between them sees some twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gameserver.state.delta import Delta, Sets

MOST = 8
"""Changes kept apart for readers that stand at different places."""


MOST_ENTITIES = 8192
"""Entities that one change names at most."""


class Change:
    """A composed change; `created` are entities of its sets that did not exist before it, or were replaced in it."""

    __slots__ = ("created", "delta", "number", "too_large")

    def __init__(self, number: int) -> None:
        self.number = number
        self.too_large = False
        """It touched so many entities that none are named any more: who has not seen it needs everything anew."""
        self.delta = Delta()
        self.created: set[str] = set()

    def add(self, dels: Iterable[str], sets: Sets, created: Iterable[str]) -> None:
        """For readers who all stand before the change: what came and went within it is nothing to them."""
        never_seen = self.created - self.delta.dels
        remaining = []
        for entity in dels:
            if entity in never_seen:
                del self.delta.sets[entity]
                self.created.discard(entity)
            else:
                remaining.append(entity)
        self.join(remaining, sets, created)

    def join(self, dels: Iterable[str], sets: Sets, created: Iterable[str]) -> None:
        """Also for readers who have seen what was there before, but not what comes now."""
        if self.too_large:
            return
        dels = list(dels)
        self.delta.extend(dels, sets)
        self.created.difference_update(dels)
        self.created.update(entity for entity in created if entity in self.delta.sets)
        if len(self.delta.dels) + len(self.delta.sets) > MOST_ENTITIES:
            self.give_up()

    def give_up(self) -> None:
        self.too_large = True
        self.delta = Delta()
        self.created.clear()


class Backlog:
    """`cursor()` is where a reader stands that has seen everything; `since(cursor)` what it has not."""

    __slots__ = ("_changes", "_next", "_open")

    def __init__(self) -> None:
        self._changes: list[Change] = []
        self._next = 0
        self._open = False

    def __len__(self) -> int:
        return len(self._changes)

    def add(self, dels: Iterable[str], sets: Sets, created: Iterable[str]) -> None:
        """Note a change; it joins the one before unless a reader came by since."""
        if not self._open:
            self._changes.append(Change(self._next))
            self._next += 1
            self._open = True
            if len(self._changes) > MOST:
                self._join_oldest()
        self._changes[-1].add(dels, sets, created)

    def cursor(self) -> int:
        self._open = False
        return self._next

    def since(self, cursor: int) -> Iterator[Change]:
        return (change for change in self._changes if change.number >= cursor)

    def clear(self) -> None:
        """Forget everything: no reader stands behind."""
        self._changes.clear()
        self._open = False

    def _join_oldest(self) -> None:
        # The younger's number stays: whoever has seen neither or only the older is shown both.
        older, younger = self._changes[0], self._changes[1]
        older.join(younger.delta.dels, younger.delta.sets, younger.created)
        # Whoever saw the older has what came with it: only what the younger brought is new to everybody.
        older.created = younger.created
        if younger.too_large:
            older.give_up()
        older.number = younger.number
        del self._changes[1]
