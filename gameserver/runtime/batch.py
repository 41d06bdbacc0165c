"""Builds a batch: runs everything that waits over the replicas, and splits it into independently accepted groups.

A run joins the group of whoever wrote what it reads or writes, and of the same player's run before it; works
that touch recently contested entities start a group of their own, the rest share one. So no run sees what
another group wrote, nor do two groups write one entity. That a run of one group read what a later run of another
writes is no harm: whichever of the two is accepted, the reader came first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gameserver.buses.base import MEMBERSHIP, NO_BASE, CommandKey
from gameserver.buses.base import Group as BusGroup
from gameserver.errors import GameserverError
from gameserver.runtime.work import Work
from gameserver.state.draft import Content, Draft, RoomNotLoaded
from gameserver.state.group import Footprint
from gameserver.state.kinds import Schema
from gameserver.state.replica import Replica

log = logging.getLogger("gameserver")

Place = tuple[str, str]
"""(room, entity or MEMBERSHIP)"""
Writes = dict[str, dict[str, Content | None]]


@dataclass(slots=True, eq=False)
class Group:
    """Works accepted or refused together; `rejected` are refusals that saw this group's uncommitted writes."""

    order: int
    footprint: Footprint = field(default_factory=Footprint)
    works: list[Work] = field(default_factory=list)
    rejected: list[tuple[Work, GameserverError]] = field(default_factory=list)
    fence: int = 0

    @property
    def everybody(self) -> list[Work]:
        return sorted(self.works + [work for work, _ in self.rejected], key=lambda work: work.serial)


@dataclass(slots=True, frozen=True)
class Ran:
    """What became of one run: exactly one field is set, or none when it joined a group. `idle` is a run that has
    neither effect nor cause: it touched no room, no clock and no dice."""

    idle: bool = False
    refused: GameserverError | None = None
    missing: str | None = None
    postponed: bool = False


_IDLE, _JOINED = Ran(idle=True), Ran()


class BatchBuilder:
    """One batch being built. `hot` holds the places that were contested of late."""

    def __init__(
        self,
        schema: Schema,
        replica_of: Callable[[str], Replica],
        hot: Mapping[Place, int],
        lane_of: Callable[[str | int], int],
    ) -> None:
        self._schema = schema
        self._replica_of = replica_of
        self._hot = hot
        self._lane_of = lane_of
        self._pending: Writes = {}
        self._writers: dict[str, dict[str, Group]] = {}
        """Room to entity to the group that writes it, of all that is pending."""
        self._of_player: dict[str, Group] = {}
        self._recruited: dict[str, set[Group]] = {}
        """Room to the groups that create or delete in it: they do not mind each other, who iterates minds them all."""
        self._cold: Group | None = None
        self._ids: set[tuple[str, str]] = set()
        self.groups: list[Group] = []
        self.size = 0

    def run(self, work: Work) -> Ran:
        """Run the work over what is there; it joins a group, is refused, waits for a room, or for the next batch."""
        if work.id and (work.player, work.id) in self._ids:
            return Ran(postponed=True)
        draft = Draft(
            self._schema, self._pending, self._replica_of, sender=work.sender, lane=work.lane, lane_of=self._lane_of
        )
        try:
            return self._run(work, draft)
        finally:
            # A draft knows its rooms and they know it: without this each run would be left to the garbage collector.
            draft.rooms.clear()

    def _run(self, work: Work, draft: Draft) -> Ran:
        writes: Writes = {}
        try:
            work.run(draft)
            for room, drafted in draft.rooms.items():
                changed = drafted.writes()
                if changed:
                    writes[room] = changed
        except RoomNotLoaded as missing:
            return Ran(missing=missing.room)
        except GameserverError as refused:
            return self._reject(work, draft, refused)
        except Exception as bug:
            log.exception("game code failed")
            return Ran(refused=GameserverError(f"the game failed: {type(bug).__name__}"))
        if draft.untouched and work.player not in self._of_player:
            return _IDLE
        self._accept(work, draft, writes)
        return _JOINED

    def _accept(self, work: Work, draft: Draft, writes: Writes) -> None:
        group = self._group_for(work, draft)
        group.works.append(work)
        if work.fence and not group.fence:
            group.fence = work.fence
        work.changed = group.footprint.add(draft, writes, self.size)
        for room, changed in writes.items():
            if draft.rooms[room].recruits:
                self._recruited.setdefault(room, set()).add(group)
            pending = self._pending.get(room)
            if pending is None:
                pending = self._pending[room] = {}
                self._writers[room] = {}
            pending.update(changed)
            self._writers[room].update(dict.fromkeys(changed, group))
        if work.player:
            self._of_player[work.player] = group
        if work.id:
            self._ids.add((work.player, work.id))
        self.size += 1

    def _reject(self, work: Work, draft: Draft, refused: GameserverError) -> Ran:
        """A refusal stands at once unless it saw what is not committed yet."""
        seen = self._seen(draft)
        if not seen:
            return Ran(refused=refused)
        if work.player in self._of_player:
            seen.add(self._of_player[work.player])
        group = self._merge(seen)
        group.rejected.append((work, refused))
        if work.player:
            # Should it run again, then before what the player sent after it.
            self._of_player[work.player] = group
        self.size += 1
        return _JOINED

    def _seen(self, draft: Draft) -> set[Group]:
        """The groups whose uncommitted writes the run may have seen."""
        seen: set[Group] = set()
        for room, drafted in draft.rooms.items():
            writers = self._writers.get(room)
            if writers is not None and not writers.keys().isdisjoint(drafted.read):
                seen.update(writers[entity] for entity in drafted.read if entity in writers)
            if drafted.membership:
                seen.update(self._recruited.get(room, ()))
        return seen

    def _group_for(self, work: Work, draft: Draft) -> Group:
        joined = self._seen(draft)
        before = self._of_player.get(work.player)
        if before is not None:
            if not joined:
                return before
            joined.add(before)
        if joined:
            return self._merge(joined)
        if work.alone or work.conflicts > 1 or self._is_hot(draft):
            return self._new_group()
        if self._cold is None:
            self._cold = self._new_group()
        return self._cold

    def _is_hot(self, draft: Draft) -> bool:
        hot = self._hot
        if not hot:
            return False
        return any(
            (room, entity) in hot
            for room, drafted in draft.rooms.items()
            for entity in (*drafted.read, MEMBERSHIP if drafted.membership else "")
        )

    def _new_group(self) -> Group:
        group = Group(len(self.groups))
        self.groups.append(group)
        return group

    def _merge(self, groups: set[Group]) -> Group:
        if len(groups) == 1:
            (only,) = groups
            return only
        first, *others = sorted(groups, key=lambda group: group.order)
        for other in others:
            first.footprint.absorb(other.footprint)
            first.works.extend(other.works)
            first.rejected.extend(other.rejected)
            first.fence = first.fence or other.fence
            for room, footprint in other.footprint.rooms.items():
                if footprint.writes:
                    self._writers[room].update(dict.fromkeys(footprint.writes, first))
            for work in other.everybody:
                if work.player:
                    self._of_player[work.player] = first
            for recruiters in self._recruited.values():
                if other in recruiters:
                    recruiters.discard(other)
                    recruiters.add(first)
            if self._cold is other:
                self._cold = first
            self.groups.remove(other)
        return first

    def for_bus(self, group: Group, worker: str) -> BusGroup:
        """The group as the bus takes it."""
        keys = [CommandKey(work.player, work.id, work.body(), work.changed) for work in group.works if work.id]
        claimant = next((work for work in group.works if work.conflicts > 1), None)
        return BusGroup(
            rooms=group.footprint.changes(self._replica_of, NO_BASE),
            commands=keys,
            fence=group.fence,
            claim=f"{worker}.{claimant.serial}" if claimant else "",
        )
