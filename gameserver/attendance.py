"""Coming and going, as game code like any other: pure runs over a draft that end in one atomic commit.

A player's arrival puts `session:<id>` into their private room and their worker's, creates `placement` and `me`
when they were never here, and makes them present in their sector's and team's rooms. A departure leaves the
presence with fewer devices; the removal takes it away when the grace period is over and nobody came back.
"""

from __future__ import annotations

from dataclasses import dataclass

from gameserver.context import ME, PLACEMENT, Context
from gameserver.game import Game
from gameserver.rooms.names import private_room, team_room, worker_room
from gameserver.rooms.presence import ONLINE, SESSION_KIND, presence_id, session_id
from gameserver.state.draft import Draft, RoomDraft


@dataclass(frozen=True, slots=True)
class Attendee:
    """One connection of a player. `token` is a hash of the token's id, empty when it has none."""

    player: str
    name: str
    team: str | None
    session: str
    worker: str
    token: str = ""


def arrive(game: Game, draft: Draft, attendee: Attendee, now: float, seed: int) -> None:
    """The connection is there. `now` is in seconds since the Unix epoch."""
    private = draft.room(private_room(attendee.player))
    placement = private.get(PLACEMENT) or private.create(PLACEMENT, sector=game.start)
    context = _context(draft, attendee, now, seed, placement.sector)
    if ME in game.schema.kinds and ME not in private:
        game.run_hooks("first_join", context)
        if ME not in private:
            private.create(ME)
    entity, since = session_id(attendee.session), int(now * 1000)
    private.discard(entity)
    private.create(entity, worker=attendee.worker, since=since, token=attendee.token or None)
    devices = len(private.ids(SESSION_KIND))
    entered = presence_id(attendee.player) not in draft.room(placement.sector)
    for room in _rooms(draft, attendee, placement.sector):
        _show(room, attendee, devices)
    own = draft.room(worker_room(attendee.worker))
    own.discard(entity)
    own.create(entity, player=attendee.player, name=attendee.name, team=attendee.team, since=since)
    if entered:
        game.run_hooks("enter", context)


def depart(draft: Draft, attendee: Attendee, now: float) -> None:
    """The connection is gone; the presence stays, with one device less. Doing it twice changes nothing more."""
    private = draft.room(private_room(attendee.player))
    entity = session_id(attendee.session)
    private.discard(entity)
    devices = len(private.ids(SESSION_KIND))
    placement = private.get(PLACEMENT)
    for room in _rooms(draft, attendee, placement.sector if placement else None):
        presence = room.get(presence_id(attendee.player))
        if presence is not None:
            presence.devices = devices
    record = draft.room(worker_room(attendee.worker)).get(entity)
    if record is not None and not record.left:
        record.left = int(now * 1000)


def remove(game: Game, draft: Draft, attendee: Attendee, now: float, seed: int) -> None:
    """The grace period after `depart` is over: nobody came back, so the presence goes."""
    draft.room(worker_room(attendee.worker)).discard(session_id(attendee.session))
    private = draft.room(private_room(attendee.player))
    placement = private.get(PLACEMENT)
    if placement is None or private.ids(SESSION_KIND):
        return
    entity = presence_id(attendee.player)
    sector = draft.room(placement.sector)
    if entity in sector:
        game.run_hooks("leave", _context(draft, attendee, now, seed, placement.sector))
    for room in _rooms(draft, attendee, placement.sector):
        room.discard(entity)


def end_sessions(draft: Draft, player: str, ended: str, token: str | None = None) -> None:
    """Have a player's connections closed on whichever worker they are: all, or those of one token."""
    for _, session in draft.room(private_room(player)).all(SESSION_KIND):
        if token is None or session.token == token:
            session.ended = ended


def _rooms(draft: Draft, attendee: Attendee, sector: str | None) -> list[RoomDraft]:
    rooms = [draft.room(sector)] if sector else []
    if attendee.team:
        rooms.append(draft.room(team_room(attendee.team)))
    return rooms


def _show(room: RoomDraft, attendee: Attendee, devices: int) -> None:
    presence = room.get(presence_id(attendee.player))
    if presence is None:
        presence = room.create(presence_id(attendee.player), status=ONLINE)
    presence.name = attendee.name
    presence.devices = devices
    presence.team = attendee.team


def _context(draft: Draft, attendee: Attendee, now: float, seed: int, sector: str) -> Context:
    return Context(
        draft,
        now=now,
        seed=seed,
        player=attendee.player,
        name=attendee.name,
        team=attendee.team,
        role="player",
        here=sector,
    )
