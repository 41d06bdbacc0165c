"""Which entities of a room one client no longer has as they are, and since when: their values are read when sent."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from gameserver.state.delta import Sets, State
from gameserver.state.priority import LANES, Priority

_WHOLE = -1
"""The field mask of an entity of which everything is due."""

Read = Callable[[str], Mapping[str, Any] | None]


class _Mark:
    """`had`: the client may have the entity; `fields`: one bit per field name of the room that changed."""

    __slots__ = ("fields", "had", "since")

    def __init__(self, since: float, had: bool, fields: int) -> None:
        self.since = since
        self.had = had
        self.fields = fields


class DirtyEntities:
    """Of an entity that is not in here, the client has what the room has: nothing else need be remembered.

    Kept per lane, the longest waiting first.
    """

    __slots__ = ("_bits", "_count", "_lanes")

    def __init__(self) -> None:
        self.clear()

    def __len__(self) -> int:
        return self._count

    def clear(self) -> None:
        # New dicts, because an emptied one would keep its memory.
        self._lanes: tuple[dict[str, _Mark], ...] = tuple({} for _ in LANES)
        self._bits: dict[str, int] = {}
        self._count = 0

    def mark(
        self,
        priority: Callable[[str], Priority],
        dels: Iterable[str],
        sets: Sets,
        created: Collection[str],
        now: float,
    ) -> None:
        """One commit more: `dels` before `sets`; `created` are those of `sets` the client cannot have had before."""
        for entity in dels:
            self._delete(self._lanes[priority(entity)], entity, entity in sets, now)
        for entity, fields in sets.items():
            lane = self._lanes[priority(entity)]
            known = lane.get(entity)
            if known is None:
                whole = entity in created
                lane[entity] = _Mark(now, not whole, _WHOLE if whole else self._mask(fields))
                self._count += 1
            elif known.fields != _WHOLE:
                known.fields |= self._mask(fields)

    def _delete(self, lane: dict[str, _Mark], entity: str, replaced: bool, now: float) -> None:
        known = lane.get(entity)
        if known is None:
            lane[entity] = _Mark(now, True, _WHOLE)
            self._count += 1
        elif known.had:
            known.fields = _WHOLE
        elif not replaced:
            # It came and went without the client.
            del lane[entity]
            self._count -= 1

    def _mask(self, fields: Iterable[str]) -> int:
        mask = 0
        for field in fields:
            bit = self._bits.get(field)
            if bit is None:
                bit = self._bits[field] = 1 << len(self._bits)
            mask |= bit
        return mask

    def oldest(self) -> Iterator[tuple[Priority, float]]:
        """Of each lane that is dirty: since when its longest waiting entity waits."""
        for lane, marks in zip(LANES, self._lanes, strict=True) if self._count else ():
            if marks:
                yield lane, next(iter(marks.values())).since

    def take(
        self, read: Read, limit: int, score: Callable[[Priority, float], float], ceiling: float
    ) -> tuple[list[str], State]:
        """At most `limit` entities in order of their score, none above `ceiling`, as (dels, sets).

        They are clean afterwards.
        """
        chosen = list(islice(self._by_score(limit, score, ceiling), limit))
        dels: list[str] = []
        sets: State = {}
        for lane, entity in chosen:
            mark = self._lanes[lane].pop(entity)
            fields = read(entity)
            if mark.had and (fields is None or mark.fields == _WHOLE):
                dels.append(entity)
            if fields is not None:
                sets[entity] = dict(fields) if mark.fields == _WHOLE else self._changed(mark.fields, fields)
        self._count -= len(chosen)
        if not self._count:
            self.clear()
        return dels, sets

    def _by_score(
        self, limit: int, score: Callable[[Priority, float], float], ceiling: float
    ) -> Iterator[tuple[Priority, str]]:
        def scored(lane: Priority) -> Iterator[tuple[float, Priority, str]]:
            for entity, mark in islice(self._lanes[lane].items(), limit):
                yield score(lane, mark.since), lane, entity

        for worth, lane, entity in heapq.merge(*map(scored, LANES)):
            if worth > ceiling:
                return
            yield lane, entity

    def _changed(self, mask: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {field: fields.get(field) for field, bit in self._bits.items() if mask & bit}
