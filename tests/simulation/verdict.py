"""Whether everybody has come to agree, and what is still in the way."""

from __future__ import annotations

from gameserver.rooms.access import home_rooms
from gameserver.rooms.names import private_room
from gameserver.rooms.presence import presence_id
from gameserver.state.replica import decode_entities
from tests.simulation.player import Player
from tests.simulation.world import Worker, World

MOST_TASKS = 40
"""Of a worker at rest."""
MOST_BACKLOG = 2000
MOST_UNSENT = 1 << 20
"""Bytes held for one client by all that is between it and the game."""


class Agreement:
    """Asked again and again after the faults are over: every room must be proven, at or above where the store was."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._epoch = 0
        self._goals: dict[str, int] = {}

    def wanting(self) -> str | None:
        """The first thing that is not right yet; None when all is."""
        world = self._world
        epoch = world.store.positions(())[0]
        if not epoch:
            return "the store is empty"
        if epoch != self._epoch:
            rooms = world.store.rooms()
            self._epoch, self._goals = epoch, dict(zip(rooms, world.store.positions(rooms)[1], strict=True))
        for worker in world.workers:
            wanting = self._worker(worker)
            if wanting is not None:
                return wanting
        for player in world.players:
            wanting = self._player(player)
            if wanting is not None:
                return wanting
        return None

    def _worker(self, worker: Worker) -> str | None:
        if not (worker.alive and worker.ready):
            return f"{worker.name} is not there"
        replication = worker.node.replication
        for room in replication.rooms():
            replica = replication.replica(room)
            if replica is None or replica.epoch != self._epoch or replica.seq < self._goals.get(room, 0):
                return f"{worker.name} has {room} at {replica and replica.position}, not yet {self._goals.get(room)}"
        return None

    def _player(self, player: Player) -> str | None:
        if not player.connected:
            return f"{player.name} is not connected"
        if player.commands or player.unanswered:
            return f"{player.name} waits for {list(player.unanswered)}"
        sector = self._sector(player)
        if sector is None:
            return f"{player.name} is in no sector"
        rooms = player.session.replica.rooms
        expected = home_rooms(player.claims, sector)
        if sorted(rooms) != sorted(expected):
            return f"{player.name} is in {sorted(rooms)} and should be in {sorted(expected)}"
        for room in expected:
            held, goal = rooms[room], self._goals.get(room, 0)
            if held.doubt is not None or held.epoch != self._epoch or held.seq < goal or held.watermark < goal:
                return f"{player.name} has {room} at {held.position}, doubts {held.doubt}, and should have {goal}"
            epoch, seq = player.eye.verified.get(room, (0, 0))
            if epoch != self._epoch or seq < goal:
                return f"{player.name} has {room} proven at {epoch}/{seq}, and not yet at {goal}"
        return None

    def _sector(self, player: Player) -> str | None:
        state = decode_entities(self._world.store.load(private_room(player.claims.player)).entities)
        sector = state.get("placement", {}).get("sector")
        return sector.partition(":")[2] if sector else None


def check_events(world: World) -> None:
    """No client lacks an event without having been told so."""
    for player in world.players:
        for room in player.session.replica.rooms.values():
            missing = player.eye.missing(room)
            if missing:
                world.trace.violated("A", f"{player.name} was never told of events {missing[:5]} of {room.name}")


def check_bounds(world: World) -> None:
    """While it runs: nothing piles up."""
    for worker in world.workers:
        if not worker.alive:
            continue
        node = worker.node
        if node.committer.backlog > MOST_BACKLOG:
            world.trace.violated("E", f"{worker.name} has {node.committer.backlog} works waiting")
        for session in node.sessions.values():
            unsent = session.member.channel.unsent()
            if unsent > MOST_UNSENT:
                world.trace.violated("E", f"{worker.name} holds {unsent} bytes for {session.player}")


def unsettled(world: World) -> str | None:
    """What a worker at rest still holds, or presence that is not true; None when all is as it should be."""
    devices: dict[str, int] = {}
    for player in world.players:
        devices[player.claims.player] = devices.get(player.claims.player, 0) + 1
    for worker in world.workers:
        node = worker.node
        here = sum(player.worker is worker for player in world.players)
        if len(node.sessions) != here:
            return f"{worker.name} has {len(node.sessions)} sessions of {here} connections"
        if node.hub.siblings._waiting:
            return f"{worker.name} has rooms waiting for siblings: {list(node.hub.siblings._waiting)}"
        if any(session.member.outbox is not None for session in node.sessions.values()):
            return f"{worker.name} has slow clients"
        if node.committer._parked or node.committer._suspended or node.committer._doubtful:
            return f"{worker.name} has commands that wait for nothing"
        names = sorted(task.get_name() for task in node.supervisor._tasks)
        if len(names) > MOST_TASKS:
            return f"{worker.name} has {len(names)} tasks: {names}"
    state = {room: decode_entities(world.store.load(room).entities) for room in world.store.rooms()}
    for player, count in devices.items():
        private = state.get(private_room(player), {})
        sessions = [entity for entity in private if entity.startswith("session:")]
        if len(sessions) != count:
            return f"{player} has the sessions {sessions} for {count} devices"
        seen = {
            room: fields["devices"]
            for room, entities in state.items()
            if room.startswith("sector:") and (fields := entities.get(presence_id(player))) is not None
        }
        if seen != {private["placement"]["sector"]: count}:
            return f"{player} with {count} devices in {private['placement']['sector']} is seen in {seen}"
    living = sorted(f"worker:{worker.name}" for worker in world.workers)
    known = sorted(entity for entity in state.get("control", {}) if entity.startswith("worker:"))
    if known != living:
        return f"control knows {known}, and there are {living}"
    return None
