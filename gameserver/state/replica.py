"""A worker's copy of one room: never the truth, always able to say exactly where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from sys import intern
from typing import Any

import msgspec

from gameserver.state.checksum import MASK, entity_sum, room_sum
from gameserver.state.commit import Commit, PoisonCommit
from gameserver.state.delta import State
from gameserver.state.position import Position

_decode_fields = msgspec.msgpack.Decoder(dict[str, Any]).decode


FEW = 8
"""Entities whose sums are not remembered one by one: most rooms are players' own, and remembering takes more memory
than they do."""
NOT_SUMMED = -1
_NO_SUMS: dict[str, int] = {}


class Receipt(Enum):
    """What became of a commit handed to a replica."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    GAP = "gap"
    FOREIGN_EPOCH = "foreign epoch"


class Replica:
    """One room at one position. `entities` is read by others but changed only here.

    `sum` is what the store said the checksum is; `computed_sum` is what this copy really has.
    `created` names the entities that the last applied commit brought into being.
    """

    __slots__ = ("_stale", "_sums", "_total", "created", "entities", "epoch", "room", "seq", "sum")

    def __init__(self, room: str, epoch: int = 0) -> None:
        self.room = room
        self.load(epoch, 0, 0, {})

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)

    def load(self, epoch: int, seq: int, checksum: int, entities: State) -> None:
        """Stand at a snapshot, forgetting everything before."""
        self.epoch = epoch
        self.seq = seq
        self.sum = checksum
        self.entities = entities
        self.created: list[str] = []
        self._sums = _NO_SUMS
        self._stale: set[str] | None = None
        self._total = NOT_SUMMED

    def receive(self, commit: Commit) -> Receipt:
        """Apply the commit if it is the very next one of this epoch; otherwise change nothing."""
        header = commit.header
        if header.epoch != self.epoch:
            return Receipt.FOREIGN_EPOCH
        if header.seq <= self.seq:
            return Receipt.DUPLICATE
        if header.seq != self.seq + 1:
            return Receipt.GAP
        self.created = []
        for part in commit.parts:
            self._apply(part.dels, part.sets)
        if self._stale is None:
            self._total = NOT_SUMMED
        self.seq = header.seq
        self.sum = header.sum
        return Receipt.APPLIED

    def _apply(self, dels: list[str], sets: Mapping[str, dict[str, Any]]) -> None:
        entities = self.entities
        if self._stale is not None:
            self._stale.update(dels, sets)
        for entity in dels:
            entities.pop(entity, None)
        for entity, fields in sets.items():
            known = entities.get(entity)
            if known is None:
                # A player's name and ids stand in several rooms, as does the worker's: kept once for all of them.
                entities[intern(entity)] = {
                    field: intern(value) if type(value) is str else value
                    for field, value in fields.items()
                    if value is not None
                }
                self.created.append(entity)
                continue
            for field, value in fields.items():
                if value is None:
                    known.pop(field, None)
                else:
                    known[field] = value

    def computed_sum(self) -> int:
        """The checksum of what is held, recomputing only entities changed since the last call, or all of a few."""
        # What was deleted before it was ever summed is among the stale, and nowhere else.
        self.sum_some(len(self.entities if self._stale is None else self._stale))
        return self._total

    def sum_some(self, most: int) -> bool:
        """Recompute at most `most` entities for the checksum; whether it is up to date then."""
        if self._stale is None:
            if len(self.entities) <= FEW:
                if self._total == NOT_SUMMED:
                    self._total = room_sum(self.entities)
                return True
            # From now on each entity's sum is remembered.
            self._sums, self._stale, self._total = {}, set(self.entities), 0
        entities, sums, stale, total = self.entities, self._sums, self._stale, self._total
        for _ in range(min(most, len(stale))):
            entity = stale.pop()
            total -= sums.pop(entity, 0)
            fields = entities.get(entity)
            if fields is not None:
                sums[entity] = fresh = entity_sum(entity, fields)
                total += fresh
        self._total = total & MASK
        return not stale

    @property
    def verified(self) -> bool:
        """Whether this copy's checksum is the one the store gave with the last commit."""
        return self.computed_sum() == self.sum


def decode_entities(entities: Mapping[str, bytes]) -> State:
    """A snapshot's entities as a state. Raises PoisonCommit when one cannot be read."""
    try:
        return {entity: _decode_fields(blob) for entity, blob in entities.items()}
    except msgspec.DecodeError as error:
        raise PoisonCommit(f"an entity that cannot be read: {error}") from None
