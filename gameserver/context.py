"""What game code is handed: the rooms it may read and change, who acts, and the only clock and dice it has."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from gameserver.errors import Forbidden, InvalidArgument, NotFound, Rejected
from gameserver.protocol.codes import Priority
from gameserver.rooms.names import RoomKind, parse_room, private_room, team_room
from gameserver.rooms.presence import presence_id
from gameserver.state.draft import Draft, RoomDraft

ME = "me"
PLACEMENT = "placement"
GLOBAL = "global"


class Context:
    """One run of a command, a tick or a hook.

    `now` is in seconds since the Unix epoch and, like `random`, the same on every re-run of the same command.
    `player` is empty in ticks and in hooks of the world itself.
    """

    def __init__(
        self,
        draft: Draft,
        *,
        now: float,
        seed: int,
        player: str = "",
        name: str = "",
        team: str | None = None,
        role: str = "service",
        here: str | None = None,
    ) -> None:
        self._draft = draft
        self._seed = seed
        self._random: Random | None = None
        self._here = here
        self._now = now
        self.player = player
        self.name = name
        self.team = team
        self.role = role

    @property
    def now(self) -> float:
        self._draft.varies = True
        return self._now

    @property
    def random(self) -> Random:
        """Dice seeded per command."""
        self._draft.varies = True
        if self._random is None:
            self._random = Random(self._seed)
        return self._random

    def room(self, name: str) -> RoomDraft:
        """Any room of the world by its full name. Raises InvalidArgument for what names none."""
        parse_room(name)
        return self._draft.room(name)

    @property
    def world(self) -> RoomDraft:
        """The room everybody is in."""
        return self._draft.room(GLOBAL)

    @property
    def here(self) -> str:
        """The name of the room this runs in: the one that ticks, or the player's sector. Raises Rejected if none."""
        if self._here is None:
            placement = self.private().get(PLACEMENT)
            if placement is None or not placement.sector:
                raise Rejected("nowhere", "you are in no sector")
            self._here = placement.sector
        return self._here

    @property
    def sector(self) -> RoomDraft:
        """The sector the player is in, or the room that ticks."""
        return self._draft.room(self.here)

    def private(self, player: str | None = None) -> RoomDraft:
        """A player's private room, the acting player's own by default. Raises InvalidArgument for what is no id."""
        if player is None:
            return self._draft.room(private_room(self._acting()))
        return self.room(private_room(player))

    @property
    def team_room(self) -> RoomDraft:
        """The acting player's team's room. Raises Rejected for a player without team."""
        if not self.team:
            raise Rejected("no_team", "you have no team")
        return self._draft.room(f"team:{self.team}")

    @property
    def me(self) -> Any:
        """The acting player's own entity, in the private room."""
        return self.private()[ME]

    def presence(self, player: str | None = None) -> Any:
        """A player's presence in this sector: `name`, `status`, `devices`, `team`. Raises NotFound when absent."""
        return self.sector[presence_id(player or self._acting())]

    def is_present(self, player: str) -> bool:
        """Whether the player is in this sector (also during the grace period after the last device left)."""
        return presence_id(player) in self.sector

    def move(self, to: str) -> None:
        """Take the acting player from their sector into another, atomically with everything else the command does.

        Raises InvalidArgument when it is no sector, Rejected when they are there already.
        """
        if parse_room(to).kind is not RoomKind.SECTOR:
            raise InvalidArgument(f"{to!r} is not a sector")
        origin = self.here
        if to == origin:
            raise Rejected("already_there", f"you are in {to} already")
        entity = presence_id(self._acting())
        old = self.sector.get(entity)
        if old is None:
            raise NotFound(f"{self.player} is not in {origin}")
        content = {key: value for key, value in vars(old).items() if value is not None}
        self.sector.delete(entity)
        target = self._draft.room(to)
        target.discard(entity)
        target.create(entity, **content)
        self.private()[PLACEMENT].sector = to
        self._here = to

    def set_status(self, status: str, player: str | None = None) -> None:
        """Change a player's presence status in this sector and in their team's room."""
        presence = self.presence(player)
        presence.status = status
        if presence.team:
            shared = self._draft.room(team_room(presence.team)).get(presence_id(player or self._acting()))
            if shared is not None:
                shared.status = status

    def _acting(self) -> str:
        if not self.player:
            raise Forbidden("no player acts here")
        return self.player


def lane_of(priority: str | int) -> int:
    """A priority's lane from its word or number."""
    return int(Priority.of(priority) if isinstance(priority, str) else Priority(priority))


Handler = Callable[..., None]
