"""Where an outbox reads a room: implemented by whoever holds the replicas, once per (room, view)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gameserver.state.delta import State
from gameserver.state.events import EventLog
from gameserver.state.position import Position
from gameserver.state.priority import Priority


class RoomSource(Protocol):
    """All of it speaks of one moment, `position`, and of what the view shows alone.

    `events` holds the room's events up to `position` at least; what is above it is not read.
    """

    @property
    def room(self) -> str: ...

    @property
    def position(self) -> Position: ...

    @property
    def events(self) -> EventLog: ...

    def entity(self, entity: str) -> Mapping[str, Any] | None:
        """The entity's visible fields; None when it does not exist or the view leaves it out."""

    def state(self) -> State:
        """Not to be changed afterwards by either side."""

    def sum(self) -> int: ...

    def priority(self, entity: str) -> Priority:
        """By the entity's kind: always the same answer for one entity."""
