"""What one run of game code reads and writes, recorded: the reads are compared at commit, the writes are the delta.

A *draft* lies over the uncommitted writes of its batch (`Pending`), and those over the replicas. It hands out
plain objects, private copies of entities, and finds out at its end what was changed. A draft that is
dropped leaves no trace: it is the savepoint.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Set
from typing import Any

from gameserver.errors import GameserverError, InvalidValue, NotFound
from gameserver.state.commit import Event
from gameserver.state.entities import check_entity_id
from gameserver.state.kinds import Kind, Schema
from gameserver.state.replica import Replica
from gameserver.state.values import free_form

Content = dict[str, Any]
Pending = Mapping[str, Mapping[str, Content | None]]
"""Room to entity to its uncommitted content (None: deleted) in the batch being built."""
_NOTHING_PENDING: Mapping[str, Content | None] = {}
_NO_CHANGES: dict[str, Content] = {}


class RoomNotLoaded(GameserverError):
    """The room has no replica here yet: load it and run the command again."""

    def __init__(self, room: str) -> None:
        super().__init__(f"{room} is not loaded on this worker")
        self.code = "unavailable"
        self.room = room


class RoomDraft:
    """One room as a command sees it: a mapping of entity ids to objects of their kinds.

    Objects are private copies: assign to their attributes, and that is the delta.
    """

    __slots__ = (
        "_before",
        "_deleted",
        "_draft",
        "_handed",
        "_pending",
        "_replica",
        "changes",
        "events",
        "membership",
        "recruits",
        "room",
    )

    def __init__(self, room: str, draft: Draft) -> None:
        self.room = room
        self._draft = draft
        self._replica: Replica | None = None
        self._pending = draft.pending.get(room, _NOTHING_PENDING)
        self._handed: dict[str, tuple[Kind, Any]] = {}
        self._before: dict[str, Content | None] = {}
        """What each entity that was asked for held before this draft."""
        self._deleted: tuple[str, ...] = ()
        self.membership = False
        self.events: tuple[Event, ...] = ()
        self.changes = _NO_CHANGES
        """After `writes`: of each entity that was changed and not created, the fields that differ (None: gone)."""
        self.recruits = False
        """After `writes`: whether entities were created or deleted."""

    @property
    def read(self) -> Set[str]:
        """The entities this draft depends on."""
        return self._before.keys()

    def __getitem__(self, entity: str) -> Any:
        """Raises NotFound when there is no such entity."""
        thing = self.get(entity)
        if thing is None:
            raise NotFound(f"there is no {entity!r} in {self.room}")
        return thing

    def get(self, entity: str) -> Any:
        """The entity's object, or None."""
        handed = self._handed.get(entity)
        if handed is not None:
            return handed[1]
        before = self._before
        content = before[entity] if entity in before else self._content(entity)
        if content is None or entity in self._deleted:
            return None
        kind = self._draft.schema.kind(entity)
        thing = kind.thaw(content)
        self._handed[entity] = kind, thing
        return thing

    def __contains__(self, entity: str) -> bool:
        if entity in self._handed:
            return True
        return self._content(entity) is not None and entity not in self._deleted

    def ids(self, kind: str | None = None) -> list[str]:
        """The ids of all entities, or of one kind, in order. Depends on every creation and deletion in the room."""
        self.membership = True
        present: Collection[str] = self._loaded().entities
        pending = self._pending
        if pending or self._handed or self._deleted:
            present = {entity for entity in present if pending.get(entity, True) is not None}
            present.update(entity for entity, content in pending.items() if content is not None)
            present.update(self._handed)
            present.difference_update(self._deleted)
        if kind is None:
            return sorted(present)
        prefix = f"{kind}:"
        return sorted([entity for entity in present if entity.startswith(prefix) or entity == kind])

    def all(self, kind: str) -> Iterator[tuple[str, Any]]:
        """Every entity of a kind as (id, object)."""
        for entity in self.ids(kind):
            thing = self.get(entity)
            # It may have been deleted meanwhile.
            yield entity, self[entity] if thing is None else thing

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids())

    # Two underscores: where it is compiled, not even a positional parameter may be called as something in `content`.

    def create(self, __entity: str, /, **content: Any) -> Any:
        """A new entity of its declared kind. Raises InvalidValue when the id is taken or a value does not fit."""
        entity = __entity
        check_entity_id(entity)
        if entity in self:
            raise InvalidValue(f"{entity!r} exists already in {self.room}")
        kind = self._draft.schema.kind(entity)
        thing = kind.create(content)
        kind.freeze(thing, None)
        self._handed[entity] = kind, thing
        if entity in self._deleted:
            self._deleted = tuple(each for each in self._deleted if each != entity)
        return thing

    def delete(self, entity: str) -> None:
        """Raises NotFound when there is no such entity."""
        if entity not in self:
            raise NotFound(f"there is no {entity!r} in {self.room}")
        self._handed.pop(entity, None)
        self._deleted += (entity,)

    def discard(self, entity: str) -> None:
        """Delete the entity if it exists."""
        if entity in self:
            self.delete(entity)

    def event(self, __name: str, /, priority: str | int | None = None, **data: Any) -> None:
        """Append an event to the room's log, in the lane of the command unless `priority` says otherwise."""
        lane = self._draft.lane if priority is None else self._draft.lane_of(priority)
        self.events += (Event(__name, free_form(data), self._draft.sender, lane),)

    def _loaded(self) -> Replica:
        if self._replica is None:
            self._replica = self._draft.replica_of(self.room)
        return self._replica

    def _content(self, entity: str) -> Content | None:
        """What the entity holds before this draft; the question itself is recorded as a read."""
        before = self._before
        if entity in before:
            return before[entity]
        pending = self._pending
        content = pending[entity] if entity in pending else self._loaded().entities.get(entity)
        before[entity] = content
        return content

    def writes(self) -> dict[str, Content | None]:
        """What this draft changed: entity to its whole new content, or None when deleted.

        Raises InvalidValue for a value that may not enter state.
        """
        written: dict[str, Content | None] = {}
        changes: dict[str, Content] = {}
        before = self._before
        for entity in self._deleted:
            if before[entity] is not None:
                written[entity] = None
                self.recruits = True
        for entity, (kind, thing) in self._handed.items():
            content = before[entity]
            compared = kind.compare(thing, content)
            if compared is None:
                continue
            if content is None:
                self.recruits = True
            else:
                changes[entity] = compared[1]
            written[entity] = compared[0]
        self.changes = changes
        return written


class Draft:
    """All rooms that one run of game code touches.

    `replica_of(room)` gives a loaded replica or raises RoomNotLoaded; `sender` becomes the `from` of events;
    `lane` is their default priority.
    """

    __slots__ = ("lane", "lane_of", "pending", "replica_of", "rooms", "schema", "sender", "varies")

    def __init__(
        self,
        schema: Schema,
        pending: Pending,
        replica_of: Callable[[str], Replica],
        *,
        sender: str | None = None,
        lane: int = 3,
        lane_of: Callable[[str | int], int] = int,
    ) -> None:
        self.schema = schema
        self.pending = pending
        self.replica_of = replica_of
        self.sender = sender
        self.lane = lane
        self.lane_of = lane_of
        self.rooms: dict[str, RoomDraft] = {}
        self.varies = False
        """Whether the clock was looked at, or dice were rolled: sent again, the same command may do something else."""

    @property
    def untouched(self) -> bool:
        """Whether nothing came of the run, nor ever would of the same command."""
        return not self.rooms and not self.varies

    def room(self, name: str) -> RoomDraft:
        """The room's draft; nothing needs to be loaded until something is read."""
        room = self.rooms.get(name)
        if room is None:
            room = self.rooms[name] = RoomDraft(name, self)
        return room
