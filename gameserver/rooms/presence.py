"""Presence: who is where, as entities like any other.

Shapes: in sector and team rooms `player:<id>` is the presence; in a private room `placement` remembers
the sector and `session:<id>` each live device; in a worker's own room `session:<id>` lists what it holds, so that
another worker can take over when it dies.
"""

from __future__ import annotations

from typing import Any

PRESENCE_KIND = "player"
SESSION_KIND = "session"
REVOKED_KIND = "revoked"
ONLINE, AWAY, BUSY, IN_COMBAT = "online", "away", "busy", "in_combat"
LOGGED_OUT, KICKED = "logged_out", "kicked"
"""Why a session was `ended`."""
STATUSES = (ONLINE, AWAY, BUSY, IN_COMBAT)
CHOSEN_STATUSES = (ONLINE, AWAY, BUSY)
"""Those a player may set; the rest is the server's."""


class Presence:
    """A player in a sector or team room; `devices` is 0 during the grace period."""

    name: str = ""
    status: str = ONLINE
    devices: int = 0
    team: str | None = None


class Placement:
    """Where a player is, kept while they are away."""

    sector: str = ""


class Session:
    """A connection's session: in its player's private room, and in its worker's with `player` and `name`.

    `since` and `left` are in milliseconds since the Unix epoch; `left` is 0 while a connection holds it. `link` counts
    the connections it has had: a former one finds itself replaced. `resume` is the hash of the resume token last
    given out, `was` of the one before until the client has spoken. `token` is a hash of the JWT's id, by which all
    sessions of one token are found; `team` is the one that token names. `ended` tells the worker that holds it to close
    it, and why. `views` are the rooms it subscribed to beside or other than its home rooms: room to [entities, fields],
    either may be empty. `place` is where the connection comes from, when the operator has named networks.
    """

    worker: str = ""
    player: str | None = None
    name: str | None = None
    team: str | None = None
    token: str | None = None
    ended: str | None = None
    resume: str | None = None
    was: str | None = None
    views: dict[str, Any] | None = None
    place: str | None = None
    link: int = 1
    since: int = 0
    left: int = 0


class World:
    """Marks, in the global room, that the world's rooms were filled."""

    name: str = ""
    created: int = 0


class Worker:
    """A worker in the control room; `beat` grows while it lives, and is negative when it has stopped."""

    beat: int = 0
    started: int = 0
    connections: int = 0
    rooms: int = 0
    commits: int = 0


class Revoked:
    """A token that was logged out, in the control room, by a hash of its id. It goes after `until`, in milliseconds
    since the Unix epoch, when the token itself has expired."""

    until: int = 0


class Ticking:
    """The simulation's switches, in the control room; `rate` multiplies every tick's frequency."""

    running: bool = True
    paused: bool = False
    rate: float = 1.0
    owner: str = ""


BUILT_IN_KINDS: dict[str, type] = {
    PRESENCE_KIND: Presence,
    "placement": Placement,
    SESSION_KIND: Session,
    "world": World,
    "worker": Worker,
    "ticking": Ticking,
    REVOKED_KIND: Revoked,
}


def presence_id(player: str) -> str:
    return f"{PRESENCE_KIND}:{player}"


def session_id(session: str) -> str:
    return f"{SESSION_KIND}:{session}"
