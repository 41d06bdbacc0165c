"""The names of rooms and entities, and the patterns that match rooms (docs/protocol.md, Messages).

A room is `global`, `control`, `sector:<id>`, `team:<id>` or `private:<player>`; `worker:<id>` is the
service's own and is never named to or by a client. A pattern is a room's name, or a kind of room with `*` in
place of the id.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple, TypeGuard

from gameserver.errors import InvalidArgument
from gameserver.protocol.identifiers import ID, MAX_ID, is_id, is_pattern
from gameserver.state.entities import MAX_ENTITY, is_entity, kind_of

__all__ = [
    "CONTROL",
    "GLOBAL",
    "MAX_ENTITY",
    "MAX_ID",
    "RoomKind",
    "RoomName",
    "is_entity",
    "is_id",
    "is_pattern",
    "is_room",
    "kind_of",
    "matches",
    "parse_room",
    "private_room",
    "read_room",
    "sector_room",
    "team_room",
    "worker_room",
]

GLOBAL = "global"
CONTROL = "control"

_split = re.compile(rf"(global|control)|(sector|team|private|worker):({ID})").fullmatch


class RoomKind(StrEnum):
    GLOBAL = "global"
    CONTROL = "control"
    SECTOR = "sector"
    TEAM = "team"
    PRIVATE = "private"
    WORKER = "worker"


class RoomName(NamedTuple):
    """A room's name taken apart; `id` is empty for the kinds of which there is only one room."""

    kind: RoomKind
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}" if self.id else self.kind.value


def read_room(name: Any) -> RoomName | None:
    """The room's name taken apart, or None for what names no room."""
    return _read(name) if type(name) is str else None


@lru_cache(maxsize=1 << 12)
def _read(name: str) -> RoomName | None:
    match = _split(name)
    if match is None:
        return None
    single, kind, room_id = match.groups()
    return RoomName(RoomKind(single), "") if single else RoomName(RoomKind(kind), room_id)


def parse_room(name: Any) -> RoomName:
    """As `read_room`. Raises InvalidArgument for what names no room."""
    room = read_room(name)
    if room is None:
        raise InvalidArgument("that is not the name of a room")
    return room


def is_room(name: Any) -> TypeGuard[str]:
    """Whether a client may ever hear this room's name: internal rooms are none."""
    room = read_room(name)
    return room is not None and room.kind is not RoomKind.WORKER


def sector_room(sector: str) -> str:
    return f"sector:{sector}"


def team_room(team: str) -> str:
    return f"team:{team}"


def private_room(player: str) -> str:
    return f"private:{player}"


def worker_room(worker: str) -> str:
    return f"worker:{worker}"


def matches(pattern: str, room: str) -> bool:
    """Whether a pattern matches a room's name; what is not a pattern matches nothing."""
    if pattern != room and not (pattern.endswith(":*") and room.startswith(pattern[:-1])):
        # What is asked most, and of every room there ever was: nothing else need be known then.
        return False
    return is_pattern(pattern) and is_room(room)
