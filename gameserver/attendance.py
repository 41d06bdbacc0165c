"""Coming and going, as game code like any other: pure runs over a draft that end in one atomic commit.

A player's arrival puts `session:<id>` into their private room and their worker's, creates `placement` and `me`
when they were never here, and makes them present in their sector's and team's rooms. A departure leaves session and
presence for the grace period, in which the session can be resumed from anywhere; the removal takes away what
nobody came back to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gameserver.context import ME, PLACEMENT, Context
from gameserver.errors import Forbidden
from gameserver.game import Game
from gameserver.rooms.names import CONTROL, private_room, team_room, worker_room
from gameserver.rooms.presence import ONLINE, SESSION_KIND, Session, presence_id, session_id
from gameserver.state.draft import Draft, RoomDraft

Sessions = dict[str, Session]
"""What there is of a player in their private room, by entity."""


@dataclass(frozen=True, slots=True)
class Attendee:
    """One connection of a player: the `link`-th of its session. `token` is a hash of the JWT's id, empty when it
    has none; `resume` the hash of the resume token it is given; `place` where it comes from, empty when unknown."""

    player: str
    name: str
    team: str | None
    session: str
    worker: str
    token: str = ""
    resume: str = ""
    link: int = 1
    place: str = ""


class FarApart(Forbidden):
    """The player is in another place already."""

    def __init__(self, places: list[str]) -> None:
        super().__init__("you are connected from elsewhere")
        self.places = places


@dataclass(frozen=True, slots=True)
class Arrival:
    """What an arrival came to: a resumed session has its old id, a new link, and what it had subscribed to."""

    session: str
    link: int
    sector: str
    resumed: bool
    views: dict[str, Any]


def arrive(
    game: Game,
    draft: Draft,
    attendee: Attendee,
    now: float,
    seed: int,
    resuming: str | None = None,
    one_place: bool = False,
) -> Arrival:
    """The connection is there. `now` is in seconds since the Unix epoch; `resuming` is the hash of the resume token it
    came with: when a session of this player knows it, the connection takes that session over.

    Raises FarApart for who comes from a second place, when there may be but `one_place`; else admins are told.
    """
    private = draft.room(private_room(attendee.player))
    placement = private.get(PLACEMENT) or private.create(PLACEMENT, sector=game.start)
    context = _context(draft, attendee, now, seed, placement.sector)
    if ME in game.schema.kinds and ME not in private:
        game.run_hooks("first_join", context)
        if ME not in private:
            private.create(ME)
    sessions = _sessions(private)
    before = _teams_of(sessions)
    entity, resumed = _seat(private, sessions, attendee, now, resuming)
    record = sessions[entity]
    places = _places_of(sessions)
    if attendee.place and len(places) > 1:
        if one_place:
            raise FarApart(places)
        report_far_apart(draft, attendee, places)
    # A session may be resumed with a token that names another team.
    for room in _rooms(draft, None, before - _teams_of(sessions)):
        room.discard(presence_id(attendee.player))
    arrival = Arrival(entity.partition(":")[2], record.link, placement.sector, resumed, record.views or {})
    entered = presence_id(attendee.player) not in draft.room(placement.sector)
    _show(draft, attendee, placement.sector, sessions)
    own = draft.room(worker_room(attendee.worker))
    own.discard(entity)
    own.create(
        entity,
        player=attendee.player,
        name=attendee.name,
        team=attendee.team,
        link=arrival.link,
        since=int(now * 1000),
    )
    if entered:
        game.run_hooks("enter", context)
    return arrival


def _seat(
    private: RoomDraft, sessions: Sessions, attendee: Attendee, now: float, resuming: str | None
) -> tuple[str, bool]:
    """The entity of the session that the connection holds from now on, and whether it was there before."""
    found = _resumable(sessions, resuming) if resuming else None
    if found is None:
        entity = session_id(attendee.session)
        private.discard(entity)
        record = sessions[entity] = private.create(entity, since=int(now * 1000))
    else:
        entity, record = found, sessions[found]
        record.link += 1
        record.left = 0
        record.was = resuming
    record.worker = attendee.worker
    record.place = attendee.place or None
    record.team = attendee.team
    record.token = attendee.token or None
    record.resume = attendee.resume or None
    return entity, found is not None


def _resumable(sessions: Sessions, resuming: str) -> str | None:
    for entity, record in sessions.items():
        if resuming in (record.resume, record.was) and record.ended is None:
            return entity
    return None


def report_far_apart(draft: Draft, attendee: Attendee, places: list[str], refused: bool = False) -> None:
    """Tell admins of a player who is, or would be, in several places at once."""
    draft.room(CONTROL).event(
        "far_apart", priority="system", player=attendee.player, places=places, worker=attendee.worker, refused=refused
    )


def depart(draft: Draft, attendee: Attendee, now: float) -> None:
    """The connection is gone; the presence stays, with one device less. Doing it twice changes nothing more.

    A session that another connection has taken over meanwhile is none of its business.
    """
    private = draft.room(private_room(attendee.player))
    entity = session_id(attendee.session)
    for record in (private.get(entity), draft.room(worker_room(attendee.worker)).get(entity)):
        if record is not None and record.link == attendee.link and not record.left:
            record.left = int(now * 1000)
    placement = private.get(PLACEMENT)
    sector = placement.sector if placement else None
    sessions = _sessions(private)
    _count(draft, attendee.player, sector, {attendee.team, *_teams_of(sessions)}, sessions)


def retract(draft: Draft, attendee: Attendee, now: float) -> Attendee | None:
    """The arrival was given up; should it have been committed all the same, its connection departs. Answers who
    departed: a session that the arrival had taken over has its own id and link."""
    for entity, record in draft.room(private_room(attendee.player)).all(SESSION_KIND):
        if attendee.resume and record.resume == attendee.resume:
            seated = replace(attendee, session=entity.partition(":")[2], link=record.link)
            depart(draft, seated, now)
            return seated
    return None


def remove(game: Game | None, draft: Draft, attendee: Attendee, now: float, seed: int) -> None:
    """The grace period after `depart` is over: a session nobody came back to goes, the last one with the presence.
    Without `game` no hook is told."""
    private = draft.room(private_room(attendee.player))
    entity = session_id(attendee.session)
    teams = {attendee.team}
    for room in (private, draft.room(worker_room(attendee.worker))):
        record = room.get(entity)
        if record is not None and record.link == attendee.link and record.left:
            teams.add(record.team)
            room.delete(entity)
    presence = presence_id(attendee.player)
    placement = private.get(PLACEMENT)
    last = placement is not None and not private.ids(SESSION_KIND)
    if last and game is not None and presence in draft.room(placement.sector):
        game.run_hooks("leave", _context(draft, attendee, now, seed, placement.sector))
    for room in _rooms(draft, placement.sector if last else None, teams - _teams_of(_sessions(private))):
        room.discard(presence)


def end_sessions(draft: Draft, player: str, ended: str, token: str | None = None) -> None:
    """Have a player's connections closed on whichever worker they are: all, or those of one token."""
    for _, session in draft.room(private_room(player)).all(SESSION_KIND):
        if token is None or session.token == token:
            session.ended = ended


def change_team(draft: Draft, attendee: Attendee, before: str | None) -> None:
    """A refreshed token names another team (or name) than `before`: the presence follows at once."""
    private = draft.room(private_room(attendee.player))
    record = private.get(session_id(attendee.session))
    placement = private.get(PLACEMENT)
    if record is None or placement is None or record.link != attendee.link or record.left:
        # It is gone meanwhile.
        return
    record.team = attendee.team
    sessions = _sessions(private)
    for room in _rooms(draft, None, {before} - _teams_of(sessions)):
        room.discard(presence_id(attendee.player))
    own = draft.room(worker_room(attendee.worker)).get(session_id(attendee.session))
    if own is not None:
        own.team = attendee.team
        own.name = attendee.name
    _show(draft, attendee, placement.sector, sessions)


def retire_token(draft: Draft, attendee: Attendee) -> None:
    """The client has spoken after its welcome: the resume token it came with is worth nothing any more."""
    record = draft.room(private_room(attendee.player)).get(session_id(attendee.session))
    if record is not None and record.link == attendee.link:
        record.was = None


def remember_views(draft: Draft, attendee: Attendee, views: dict[str, Any]) -> None:
    """Keep what the session is subscribed to, for when it is resumed."""
    record = draft.room(private_room(attendee.player)).get(session_id(attendee.session))
    if record is not None and record.link == attendee.link:
        record.views = views or None


def _sessions(private: RoomDraft) -> Sessions:
    return dict(private.all(SESSION_KIND))


def _places_of(sessions: Sessions) -> list[str]:
    """Where the player's live connections come from, as far as that is known."""
    return sorted({record.place for record in sessions.values() if record.place and not record.left})


def _teams_of(sessions: Sessions) -> set[str | None]:
    """Each session's token names its own team."""
    return {record.team for record in sessions.values()}


def _rooms(draft: Draft, sector: str | None, teams: set[str | None]) -> list[RoomDraft]:
    names = [sector] if sector else []
    names += sorted(team_room(team) for team in teams if team)
    return [draft.room(name) for name in names]


def _show(draft: Draft, attendee: Attendee, sector: str, sessions: Sessions) -> None:
    for room in _rooms(draft, sector, {attendee.team}):
        presence = room.get(presence_id(attendee.player))
        if presence is None:
            presence = room.create(presence_id(attendee.player), status=ONLINE)
        presence.name = attendee.name
        presence.team = attendee.team
    _count(draft, attendee.player, sector, _teams_of(sessions), sessions)


def _count(draft: Draft, player: str, sector: str | None, teams: set[str | None], sessions: Sessions) -> None:
    """Wherever the player is present, say with how many devices."""
    devices = sum(not record.left for record in sessions.values())
    for room in _rooms(draft, sector, teams):
        presence = room.get(presence_id(player))
        if presence is not None:
            presence.devices = devices


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
