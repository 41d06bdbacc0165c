"""A client's copy of one room: what it holds, where it stands, and whether that can be trusted."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from gameserver.client.deduplication import EventMemory
from gameserver.state.checksum import MASK, entity_sum
from gameserver.state.delta import State, apply
from gameserver.state.position import Position

Sets = Mapping[str, Mapping[str, Any]]

MOST_LOST_RANGES = 256
"""How many declared losses a room remembers; the counters know of all."""


class RoomReplica:
    """`state` is entity to field to value: read it, never change it.

    `doubt` says why the copy cannot be trusted and a snapshot is needed; None when it can.
    `lost` holds the ranges (first, last, lane) of events declared lost, the latest last.
    """

    __slots__ = ("_ahead", "_stale", "_sums", "_total", "doubt", "epoch", "events", "lost", "name", "seq", "state")

    def __init__(self, name: str) -> None:
        self.name = name
        self.epoch = 0
        self.seq = 0
        self.state: State = {}
        self.doubt: str | None = None
        self.events = EventMemory(0)
        self.lost: deque[tuple[int, int, str | None]] = deque(maxlen=MOST_LOST_RANGES)
        self._ahead = 0
        self._total = 0
        self._sums: dict[str, int] = {}
        self._stale: set[str] = set()

    def __repr__(self) -> str:
        return f"RoomReplica({self.name!r}, seq={self.seq}, entities={len(self.state)})"

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)

    @property
    def watermark(self) -> int:
        """Up to this seq all events have come."""
        return self.events.watermark

    @property
    def exact(self) -> bool:
        """Whether the state is that of the position: no partial delta ran ahead of it ([DEL11])."""
        return self._ahead <= self.seq

    @property
    def sum(self) -> int:
        """The checksum of the state held, by docs/protocol.md; only what changed since is computed."""
        state, sums = self.state, self._sums
        total = self._total
        for entity in self._stale:
            total -= sums.pop(entity, 0)
            fields = state.get(entity)
            if fields is not None:
                fresh = sums[entity] = entity_sum(entity, fields)
                total += fresh
        self._stale.clear()
        self._total = total & MASK
        return self._total

    def load(self, epoch: int, seq: int, state: State) -> None:
        """Stand at a snapshot; `state` becomes this room's own."""
        self.epoch = epoch
        self.seq = seq
        self.state = state
        self.doubt = None
        self._ahead = 0
        self._total = 0
        self._sums = {}
        self._stale = set(state)

    def advance(self, seq: int, dels: Sequence[str], sets: Sets) -> None:
        """Apply an exact delta and stand at `seq`."""
        self._change(dels, sets)
        self.seq = seq

    def peek(self, seq: int, dels: Sequence[str], sets: Sets) -> None:
        """Apply a partial delta, read at `seq`: the position stays.

        Until an exact delta reaches `seq` the copy is inexact: one that ends below it may leave values
        of the partial's time in the state.
        """
        self._change(dels, sets)
        self._ahead = max(self._ahead, seq)

    def standing(self) -> list[int]:
        """The position as `hello` gives it ([RES1]).

        While events below the position are owed, the lower place is given: what is sent again from
        there changes nothing, what was owed is had.
        """
        seq, watermark = self.seq, self.events.watermark
        if watermark > seq:
            return [self.epoch, seq, watermark]
        return [self.epoch, watermark]

    def _change(self, dels: Sequence[str], sets: Sets) -> None:
        apply(self.state, dels, sets)
        self._stale.update(dels)
        self._stale.update(sets)
