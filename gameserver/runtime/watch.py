"""Looks after sessions: heartbeats, expiry of tokens, quality tiers."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from gameserver.sessions.transitions import Input

if TYPE_CHECKING:
    from gameserver.runtime.node import Node
    from gameserver.runtime.session import Session

LOOK_EVERY = 1.0
"""Seconds between two looks at the same session."""
MEASURE_EVERY = 3
"""Looks from one measurement of a healthy line's round trip to the next: it takes two system calls."""
TURNS = 20


class SessionWatch:
    """Once a second. A client is alive when it said anything, or took anything we sent, within heartbeat + grace."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def run(self) -> None:
        for look in itertools.count():
            measured = look % MEASURE_EVERY == 0
            sessions = list(self._node.sessions.values())
            # A share at a time: looking at thousands at once would be felt by all of them.
            for turn in range(TURNS):
                await asyncio.sleep(LOOK_EVERY / TURNS)
                now = asyncio.get_running_loop().time()
                for session in sessions[turn::TURNS]:
                    self._look(session, now, measured)

    def _look(self, session: Session, now: float, measured: bool) -> None:
        if not session.closed:
            self._alive(session, now)
            self._expiry(session)
            if measured or session.quality is not None or session.member.outbox is not None:
                self._quality(session)

    def _alive(self, session: Session, now: float) -> None:
        silence = now - session.member.channel.last_alive()
        if silence > self._node.limits.heartbeat / 2:
            session.member.channel.ping()
        if silence > self._node.limits.heartbeat + self._node.limits.grace:
            session.end(Input.HEARTBEAT_LOST, "heartbeat lost", retry_after=0.5)
            session.member.channel.abort()

    def _expiry(self, session: Session) -> None:
        if self._node.clock.wall() > session.claims.expires:
            session.end(Input.EXPIRED, "the token expired")

    def _quality(self, session: Session) -> None:
        if not session.welcomed:
            return
        channel = session.member.channel
        backlog = session.member.outbox is not None and channel.unsent() > 0
        session.observe(channel.rtt(), backlog)
