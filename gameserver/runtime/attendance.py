"""Sees to it that arrivals and departures are committed, and that presence goes when the grace period is over.

A worker's sessions stand in its own room in the store, so that another worker can end them for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from gameserver.attendance import (
    Arrival,
    Attendee,
    FarApart,
    arrive,
    change_team,
    depart,
    end_sessions,
    remember_views,
    remove,
    report_far_apart,
    retire_token,
    retract,
)
from gameserver.errors import GameserverError, NotFound, Unavailable
from gameserver.game import Game
from gameserver.rooms.names import CONTROL, worker_room
from gameserver.rooms.presence import REVOKED_KIND
from gameserver.runtime.clock import Clock
from gameserver.runtime.committer import Committer
from gameserver.runtime.replication import Replication
from gameserver.runtime.supervise import Supervisor
from gameserver.state.draft import Draft
from gameserver.state.entities import kind_of
from gameserver.state.replica import Replica

log = logging.getLogger("gameserver")

SILENT_AFTER = 6.0
"""Seconds without a beat after which a worker counts as dead."""
BLIND_AFTER = 3.0
"""Seconds without a look after which nobody's silence counts: who could not look could perhaps not be told either."""

MOST_FORGOTTEN = 200
"""Expired revocations that one sweep takes away."""


class Attendance:
    """`grace` is in seconds."""

    def __init__(
        self,
        game: Game,
        committer: Committer,
        replication: Replication,
        supervisor: Supervisor,
        clock: Clock,
        grace: float,
        one_place: bool = False,
    ) -> None:
        self._game = game
        self._committer = committer
        self._replication = replication
        self._supervisor = supervisor
        self._clock = clock
        self._grace = grace
        self._one_place = one_place
        self._beats: dict[str, tuple[int, float]] = {}
        self._looked = 0.0

    async def arrive(
        self, attendee: Attendee, resuming: str | None = None, gone: Callable[[], bool] = lambda: False
    ) -> Arrival:
        """Raises Unavailable; FarApart when the player is in another place and may be in one only; and NotFound when
        the connection was `gone` before this could be committed: its client may be back by another one, which must
        not be replaced by the former."""
        now, seed = self._clock.wall(), self._clock.seed()
        arrivals: list[Arrival] = []

        def run(draft: Draft) -> None:
            if gone():
                raise NotFound("the connection is gone")
            arrivals[:] = [arrive(self._game, draft, attendee, now, seed, resuming, self._one_place)]

        try:
            await self._committer.perform(run, player=attendee.player)
        except FarApart as refused:
            places = refused.places
            await self._persist(lambda draft: report_far_apart(draft, attendee, places, refused=True), attendee)
            raise
        except (Unavailable, asyncio.CancelledError):
            # It may be committed all the same, now or later.
            if not self._supervisor.closing:
                self._supervisor.start(self._retract(attendee), f"retracting an arrival of {attendee.player}")
            raise
        return arrivals[0]

    async def _retract(self, attendee: Attendee) -> None:
        now = self._clock.wall()
        seated: list[Attendee | None] = []

        def run(draft: Draft) -> None:
            seated[:] = [retract(draft, attendee, now)]

        await self._persist(run, attendee)
        for departed in filter(None, seated):
            await self._remove_later(departed)

    async def depart(self, attendee: Attendee, *, for_good: bool = False) -> None:
        """Commit that the connection is gone, however long the store is away.

        The presence ends after the grace period, or at once when the session ended `for_good`.
        """
        await self._commit_departure(attendee)
        if for_good:
            await self._remove(attendee)
        else:
            self._supervisor.start(self._remove_later(attendee), f"grace of {attendee.session}")

    async def change_team(self, attendee: Attendee, before: str | None) -> None:
        """The player's token names another team or name. Raises Unavailable."""
        await self._committer.perform(lambda draft: change_team(draft, attendee, before), player=attendee.player)

    async def retire_token(self, attendee: Attendee) -> None:
        await self._persist(lambda draft: retire_token(draft, attendee), attendee)

    async def remember_views(self, attendee: Attendee, views: dict[str, Any]) -> None:
        await self._persist(lambda draft: remember_views(draft, attendee, views), attendee)

    async def _commit_departure(self, attendee: Attendee) -> None:
        now = self._clock.wall()
        await self._persist(lambda draft: depart(draft, attendee, now), attendee)

    async def _remove_later(self, attendee: Attendee) -> None:
        await asyncio.sleep(self._grace)
        await self._remove(attendee)

    async def _remove(self, attendee: Attendee) -> None:
        now, seed = self._clock.wall(), self._clock.seed()
        if not await self._persist(lambda draft: remove(self._game, draft, attendee, now, seed), attendee):
            # A hook that fails keeps nobody in the world.
            await self._persist(lambda draft: remove(None, draft, attendee, now, seed), attendee)

    async def _persist(self, run: Callable[[Draft], object], attendee: Attendee) -> bool:
        """Commit it, however long that takes; False when it is refused for good."""
        delay = 0.1
        while True:
            try:
                await self._committer.perform(run, player=attendee.player)
                return True
            except GameserverError as error:
                if error.retry_after is None:
                    log.error("the attendance of %s could not be committed: %s", attendee.player, error)
                    return False
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)

    async def revoke(self, attendee: Attendee, ended: str, note: Callable[[Draft], None]) -> None:
        """Have every connection of the attendee's token closed, and in the same commit `note` that. Raises
        Unavailable."""
        token = attendee.token or None

        def run(draft: Draft) -> None:
            end_sessions(draft, attendee.player, ended, token)
            note(draft)

        await self._committer.perform(run, player=attendee.player)

    async def sweep(self) -> None:
        """The lease's owner ends the sessions of workers that are silent or have stopped.

        All it goes by is state, so that another owner can go on at any moment.
        """
        control = self._replication.replica(CONTROL)
        if control is None:
            return
        await self._forget_revocations(control)
        now = self._clock.monotonic()
        if now - self._looked > BLIND_AFTER:
            self._beats.clear()
        workers = [entity for entity in control.entities if kind_of(entity) == "worker"]
        try:
            for entity in workers:
                beat = self._beat(entity)
                known = self._beats.get(entity)
                if known is None or known[0] != beat:
                    known = self._beats[entity] = beat, now
                if beat < 0 or now - known[1] >= SILENT_AFTER:
                    await self._sweep_worker(entity)
        finally:
            self._looked = self._clock.monotonic()
        self._beats = {entity: known for entity, known in self._beats.items() if entity in control.entities}

    async def _forget_revocations(self, control: Replica) -> None:
        """A token that has expired need not be refused for having been logged out."""
        now = self._clock.wall_ms()
        over = [
            entity
            for entity, fields in control.entities.items()
            if kind_of(entity) == REVOKED_KIND and fields.get("until", 0) < now
        ][:MOST_FORGOTTEN]
        if over:
            await self._committer.perform(lambda draft: _discard(draft, over))

    def _beat(self, entity: str) -> int:
        control = self._replication.replica(CONTROL)
        return 0 if control is None else int(control.entities.get(entity, {}).get("beat", 0))

    async def _sweep_worker(self, entity: str) -> None:
        worker = entity.partition(":")[2]
        room = worker_room(worker)
        replica = await self._replication.hold(room)
        try:
            now, beat = self._clock.wall(), self._beat(entity)
            for session, fields in list(replica.entities.items()):
                if self._beat(entity) != beat:
                    # It lives after all.
                    return
                left = fields.get("left", 0)
                attendee = Attendee(
                    fields.get("player", ""),
                    fields.get("name", ""),
                    fields.get("team"),
                    session.partition(":")[2],
                    worker,
                    link=fields.get("link", 1),
                )
                if not left:
                    await self._commit_departure(attendee)
                elif now - left / 1000 >= self._grace:
                    await self._remove(attendee)
            if not replica.entities:
                await self._committer.perform(lambda draft: draft.room(CONTROL).discard(entity))
        finally:
            self._replication.release(room)


def _discard(draft: Draft, entities: list[str]) -> None:
    for entity in entities:
        draft.room(CONTROL).discard(entity)
