"""Who may be in which room. A room one may not join and a room that does not exist get the same answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gameserver.rooms.names import (
    CONTROL,
    GLOBAL,
    RoomKind,
    is_room,
    matches,
    private_room,
    read_room,
    sector_room,
    team_room,
)


class Bearer(Protocol):
    """As much of a token's claims as access depends on (gameserver.sessions.claims.Claims)."""

    @property
    def player(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def team(self) -> str | None: ...
    @property
    def publish(self) -> tuple[str, ...]: ...


def home_rooms(claims: Bearer, sector: str | None) -> list[str]:
    """The rooms one is in without asking, in the order of their snapshots. `sector` is a sector's id.

    Admins are in `control` besides; only players have a team's room and a sector.
    """
    rooms = [GLOBAL, private_room(claims.player)]
    if claims.role == "admin":
        rooms.append(CONTROL)
    if claims.role == "player":
        if claims.team is not None:
            rooms.append(team_room(claims.team))
        if sector is not None:
            rooms.append(sector_room(sector))
    return rooms


def may_join(
    claims: Bearer,
    room: str,
    sector: str | None = None,
    is_open: Callable[[str], bool] | None = None,
) -> bool:
    """Whether one may subscribe to `room`, being in `sector` (its id).

    Everyone may join their home rooms, admins every room, services the rooms they may publish to. `is_open` is the
    game's word on sectors a player may watch from outside; it is asked about well-formed sector rooms only.
    """
    if not is_room(room):
        return False
    if claims.role == "admin" or room in home_rooms(claims, sector):
        return True
    if claims.role == "service":
        return may_publish(claims, room)
    name = read_room(room)
    return is_open is not None and name is not None and name.kind is RoomKind.SECTOR and is_open(room)


def may_publish(claims: Bearer, room: str) -> bool:
    """Whether signals may be published to `room`: services only, as far as their `publish` claim reaches."""
    return claims.role == "service" and any(matches(pattern, room) for pattern in claims.publish)
