"""Tokens that were logged out: refused on every worker until they would have expired anyway.

They stand as `revoked:<hash>` in the control room, which every worker holds: a handshake asks its own replica, and a
connection that was admitted before the news is ended by the news.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from gameserver.rooms.names import CONTROL
from gameserver.rooms.presence import REVOKED_KIND
from gameserver.sessions.claims import Claims
from gameserver.sessions.transitions import Input
from gameserver.state.draft import Draft
from gameserver.state.entities import kind_of

if TYPE_CHECKING:
    from gameserver.runtime.node import Node
    from gameserver.state.commit import Commit

MARGIN = 60.0
"""Seconds a revocation outlives its token, for clocks that differ."""


class Revocations:
    """Of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._any = False
        """Whether there is any: nearly always there is none, and then nothing is hashed."""

    def covers(self, claims: Claims) -> bool:
        """Whether the token of these claims was logged out, as far as this worker knows."""
        if not self._any or not claims.token_id:
            return False
        control = self._node.replication.replica(CONTROL)
        return control is not None and revoked_id(claims) in control.entities

    def note(self, draft: Draft, claims: Claims) -> None:
        """Part of a logout's commit."""
        control, entity = draft.room(CONTROL), revoked_id(claims)
        if entity not in control:
            control.create(entity, until=int((claims.expires + MARGIN) * 1000))

    def applied(self, commit: Commit) -> None:
        """The control room was changed."""
        if any(kind_of(entity) == REVOKED_KIND for part in commit.parts for entity in part.sets):
            self.enforce()

    def enforce(self) -> None:
        """End whoever is here by a revoked token."""
        control = self._node.replication.replica(CONTROL)
        self._any = control is not None and any(kind_of(entity) == REVOKED_KIND for entity in control.entities)
        if self._any:
            for session in list(self._node.sessions.values()):
                if self.covers(session.claims):
                    session.end(Input.LOGGED_OUT, "logged out")


def revoked_id(claims: Claims) -> str:
    """The entity that stands for the token: it tells nothing about it, and nobody else's token has the same."""
    named = "\0".join((claims.issuer, claims.role, claims.player, claims.token_id))
    return f"{REVOKED_KIND}:{hashlib.sha256(named.encode()).hexdigest()[:40]}"
