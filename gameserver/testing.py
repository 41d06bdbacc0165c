"""For a game's own tests: a world in memory with scripted players, without sockets, clock or event loop.

    world = World(game, seed=1)
    ada = world.join("ada", team="red")
    ada.buy(port="port:1", good="ore", amount=5)
    world.tick(seconds=1)
    assert ada.me.ore == 5

Commands run through the same arguments' validation, drafts, groups and store as on a server, one commit each. Time
passes only in `tick`, and the same seed gives the same run. Two things are checked besides, on every commit: game
code must do the same when it is run again, and every replica's checksum must be the store's. Rate limits are not
applied: they are the connection's affair.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from gameserver.attendance import Attendee, arrive, depart, remove
from gameserver.buses.base import Batch, Outcome, StoreLimits
from gameserver.buses.memory_store import MemoryStore
from gameserver.context import ME, PLACEMENT, Context, lane_of
from gameserver.errors import Conflict, Forbidden, GameserverError
from gameserver.game import Command, Game, Tick
from gameserver.protocol.codes import Priority
from gameserver.protocol.incoming import CommandMessage, build_decoder
from gameserver.rooms.names import CONTROL, GLOBAL, matches, private_room, team_room
from gameserver.runtime.batch import BatchBuilder
from gameserver.runtime.work import FunctionWork, Work
from gameserver.state.commit import Commit, decode_commit
from gameserver.state.delta import State
from gameserver.state.draft import Draft
from gameserver.state.replica import Receipt, Replica, decode_entities

START = 1_800_000_000.0
"""When every world under test begins, in seconds since the Unix epoch."""
WORKER = "test"
MOST_CONFLICTS = 30

Seqs = dict[str, int]
"""Room to its new seq: what an acknowledgement carries."""


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """An event as a member of `room` gets it; `at` is in milliseconds since the Unix epoch."""

    room: str
    name: str
    data: dict[str, Any]
    sender: str | None
    seq: int
    index: int
    at: int
    priority: str


@dataclass(frozen=True, slots=True)
class Intent:
    """A command a player is about to send, for `World.at_once`."""

    player: Player
    command: str
    arguments: dict[str, Any]


class Player:
    """A scripted player. Every command of the game is a method: `ada.buy(port="port:1", good="ore", amount=5)`.

    `events` are those of the rooms they were in, in order, since they joined.
    """

    def __init__(self, world: World, attendee: Attendee, role: str) -> None:
        self._world = world
        self._attendee = attendee
        self.id, self.name, self.team, self.role = attendee.player, attendee.name, attendee.team, role
        self.events: list[SeenEvent] = []
        self.member_of = self.rooms

    def __getattr__(self, command: str) -> Callable[..., Seqs]:
        if command not in self._world.game.commands:
            raise AttributeError(f"the game has no command {command!r}")
        return lambda **arguments: self.send(command, **arguments)

    def send(self, command: str, /, **arguments: Any) -> Seqs:
        """Send a command and have it committed. Raises Rejected or whatever else it is refused with."""
        (outcome,) = self._world.at_once(self.intend(command, **arguments))
        if isinstance(outcome, GameserverError):
            raise outcome
        return outcome

    def intend(self, command: str, /, **arguments: Any) -> Intent:
        return Intent(self, command, arguments)

    @property
    def sector(self) -> str:
        """The name of the sector's room."""
        placement = self._world.entity(private_room(self.id), PLACEMENT)
        return str(placement.sector) if placement else ""

    @property
    def rooms(self) -> list[str]:
        """The rooms the player is in."""
        rooms = [GLOBAL, private_room(self.id), self.sector]
        return [*rooms, team_room(self.team)] if self.team else rooms

    @property
    def me(self) -> Any:
        """A copy of the player's own entity."""
        return self._world.entity(private_room(self.id), ME)

    @property
    def view(self) -> dict[str, State]:
        """The states of the rooms the player is in: what their client holds."""
        return {room: self._world.state(room) for room in self.rooms}

    def heard(self, name: str) -> list[SeenEvent]:
        """The events of this name among `events`."""
        return [event for event in self.events if event.name == name]

    def drop(self) -> None:
        """Lose the connection: the presence stays, with one device less."""
        self._world.disconnect(self, for_good=False)

    def leave(self) -> None:
        """Lose the connection and let the grace period pass."""
        self._world.disconnect(self, for_good=True)


class World:
    """A game's world, just created. Everything that happens in it is a consequence of `seed` and of what is called."""

    def __init__(self, game: Game, *, seed: int = 0) -> None:
        self.game = game
        self.now = START
        self.players: list[Player] = []
        self.events: list[SeenEvent] = []
        """All events of all rooms, in the order of their commits."""
        self._random = Random(seed)
        self._decode = build_decoder([command.spec for command in game.commands.values()]).decode
        self._store = MemoryStore(StoreLimits(), lambda: int(self.now * 1000))
        self._epoch = self._store.epoch()
        self._replicas: dict[str, Replica] = {}
        self._number = 0
        self._sessions = 0
        self._ticks = [_Schedule(tick, START) for tick in game.ticks]
        self._commit_alone(self._create)

    # Players

    def join(self, player: str, *, name: str | None = None, team: str | None = None, role: str = "player") -> Player:
        """Connect a player, or one more device of theirs."""
        self._sessions += 1
        attendee = Attendee(player, name or player, team, f"s{self._sessions}", WORKER)
        now, seed = self.now, self._seed()
        self._commit_alone(lambda draft: arrive(self.game, draft, attendee, now, seed))
        joined = Player(self, attendee, role)
        self.players.append(joined)
        return joined

    def disconnect(self, player: Player, *, for_good: bool) -> None:
        """End a player's connection, as `Player.drop` and `Player.leave` do."""
        attendee, now, seed = player._attendee, self.now, self._seed()
        self.players.remove(player)
        self._commit_alone(lambda draft: depart(draft, attendee, now))
        if for_good:
            self._commit_alone(lambda draft: remove(self.game, draft, attendee, now, seed))

    def at_once(self, *intents: Intent) -> list[Seqs | GameserverError]:
        """Send commands at the same moment, each by a worker of its own: all run on the same state, commit in this
        order, and run again where they conflict. What became of each is answered, not raised."""
        attempts = [_Attempt(f"{WORKER}{place}", self._work(intent)) for place, intent in enumerate(intents)]
        for attempt in attempts:
            self._prepare(attempt)
        return [self._settle(attempt) for attempt in attempts]

    # Time

    def tick(self, seconds: float) -> None:
        """Let time pass, running the game's ticks when they are due, room after room."""
        until = self.now + seconds
        while self._ticks:
            schedule = min(self._ticks, key=lambda schedule: schedule.due)
            if schedule.due > until:
                break
            self.now = schedule.due
            schedule.runs += 1
            for room in self._store.rooms():
                if matches(schedule.tick.rooms, room):
                    self._run_tick(schedule.tick, room)
        self.now = until

    # What there is

    def rooms(self) -> list[str]:
        """Every room that was ever written to, sorted."""
        return self._store.rooms()

    def state(self, room: str) -> State:
        """A copy of a room's whole state, as the store has it: entity to field to value."""
        return decode_entities(self._store.load(room).entities)

    def states(self) -> dict[str, State]:
        return {room: self.state(room) for room in self.rooms()}

    def entity(self, room: str, entity: str) -> Any:
        """A copy of one entity as an object of its kind, or None."""
        blob = self._store.load(room).entities.get(entity)
        return None if blob is None else self.game.schema.kind(entity).thaw(msgspec.msgpack.decode(blob))

    def arrange(self, room: str, entity: str, **fields: Any) -> None:
        """Set fields of an entity, creating it if need be: a test's way to the situation it is about."""

        def run(draft: Draft) -> None:
            thing = draft.room(room).get(entity) or draft.room(room).create(entity)
            for name, value in fields.items():
                setattr(thing, name, value)

        self._commit_alone(run)

    # Running game code

    def _create(self, draft: Draft) -> None:
        self.game.run_hooks("create", Context(draft, now=self.now, seed=0, here=GLOBAL))
        draft.room(GLOBAL).create("world", name=self.game.name, created=int(self.now * 1000))
        draft.room(CONTROL).create("ticking")

    def _work(self, intent: Intent) -> Work | GameserverError:
        try:
            command, values = self._read(intent)
        except GameserverError as refused:
            return refused
        player = intent.player
        now, seed = self.now, self._seed()

        def run(draft: Draft) -> None:
            context = Context(
                draft, now=now, seed=seed, player=player.id, name=player.name, team=player.team, role=player.role
            )
            # A handler may change what it is given, and it runs again.
            command.handler(context, *deepcopy(values))

        return FunctionWork(run, _nothing, player=player.id, sender=player.id, lane=int(command.priority))

    def _read(self, intent: Intent) -> tuple[Command, tuple[Any, ...]]:
        message = self._decode(msgspec.json.encode({"type": intent.command, **intent.arguments}), True)
        assert isinstance(message, CommandMessage), f"{intent.command} is the protocol's, not the game's"
        command = self.game.commands[message.name]
        if intent.player.role not in command.roles:
            raise Forbidden(f"{message.name} is not for the role {intent.player.role}")
        return command, message.values

    def _run_tick(self, tick: Tick, room: str) -> None:
        now, seed = self.now, self._seed()

        def run(draft: Draft) -> None:
            tick.handler(Context(draft, now=now, seed=seed, here=room), 1 / tick.hz)

        self._commit_alone(run, int(tick.priority))

    def _commit_alone(self, run: Callable[[Draft], object], lane: int = 0) -> None:
        attempt = _Attempt(WORKER, FunctionWork(run, _nothing, lane=lane))
        self._prepare(attempt)
        outcome = self._settle(attempt)
        if isinstance(outcome, GameserverError):
            raise outcome

    def _prepare(self, attempt: _Attempt) -> None:
        """Run the game code over what is committed, and hold what it wants to commit."""
        attempt.batch = None
        if isinstance(attempt.work, GameserverError):
            attempt.outcome = attempt.work
            return
        attempt.outcome = {}
        builder = self._built(attempt.work)
        if isinstance(builder, GameserverError):
            attempt.outcome = builder
        elif any(work.changed for work in builder.groups[0].works):
            self._number += 1
            group = builder.for_bus(builder.groups[0], attempt.worker)
            attempt.batch = Batch(self._epoch, self._number, [group])

    def _built(self, work: Work) -> BatchBuilder | GameserverError:
        """Two runs of the same work, which must not differ: on a conflict a server runs it again as well."""
        bugs: list[Exception] = []

        def run(draft: Draft) -> None:
            try:
                work.run(draft)
            except GameserverError:
                raise
            except Exception as bug:
                bugs.append(bug)
                raise

        builder, again = (BatchBuilder(self.game.schema, self._replica, {}, lane_of) for _ in range(2))
        refused, refused_again = (
            one.run(FunctionWork(run, _nothing, player=work.player, sender=work.sender, lane=work.lane)).refused
            for one in (builder, again)
        )
        if bugs:
            raise bugs[0]
        if refused is None or refused_again is None:
            assert refused is refused_again, f"game code ended differently when it was run again: {refused_again}"
            once, twice = (one.for_bus(one.groups[0], WORKER) for one in (builder, again))
            assert once == twice, "game code did something else when it was run again"
            return builder
        assert str(refused) == str(refused_again), "game code was refused for another reason when it was run again"
        return refused

    def _settle(self, attempt: _Attempt) -> Seqs | GameserverError:
        """Commit what was prepared, running again as often as somebody else was quicker."""
        for _ in range(MOST_CONFLICTS):
            if attempt.batch is None:
                return attempt.outcome
            reply = self._store.commit(attempt.worker, attempt.batch)
            if reply.results[0].outcome is Outcome.ACCEPTED:
                self._tell(sorted(reply.seq))
                return reply.seq
            self._prepare(attempt)
        return Conflict("too many others at once")

    # What follows a commit

    def _replica(self, room: str) -> Replica:
        replica = self._replicas.get(room)
        if replica is None:
            snapshot = self._store.load(room)
            replica = self._replicas[room] = Replica(room, self._epoch)
            replica.load(self._epoch, snapshot.seq, snapshot.sum, decode_entities(snapshot.entities))
            self._store.subscribe(room, self._receive)
        return replica

    def _receive(self, room: str, payload: bytes) -> None:
        replica = self._replicas[room]
        receipt = replica.receive(decode_commit(payload))
        assert receipt is Receipt.APPLIED, f"{room}: {receipt}"
        assert replica.verified, f"{room} does not have the checksum the store has"

    def _tell(self, changed: list[str]) -> None:
        """Note the events of the rooms' newest commits, for everybody who was in them before."""
        for room in changed:
            seq = self._store.load(room).seq
            commit = decode_commit(self._store.read_log(room, seq - 1, 1)[0])
            seen = [_seen(room, commit, index) for index in range(len(commit.events))]
            self.events.extend(seen)
            for player in self.players:
                if room in player.member_of:
                    player.events.extend(seen)
        for player in self.players:
            if private_room(player.id) in changed:
                player.member_of = player.rooms

    def _seed(self) -> int:
        return self._random.getrandbits(63)


@dataclass(slots=True)
class _Attempt:
    """A work on its way; without a batch `outcome` stands."""

    worker: str
    work: Work | GameserverError
    batch: Batch | None = None
    outcome: Seqs | GameserverError = field(default_factory=dict)


@dataclass(slots=True)
class _Schedule:
    """A tick and how often it ran since `start`."""

    tick: Tick
    start: float
    runs: int = 0

    @property
    def due(self) -> float:
        return self.start + (self.runs + 1) / self.tick.hz


def _seen(room: str, commit: Commit, index: int) -> SeenEvent:
    header, event = commit.header, commit.events[index]
    priority = Priority(event.priority).word
    return SeenEvent(room, event.name, event.data, event.sender, header.seq, index, header.at, priority)


def _nothing(settled: object) -> None:
    """The outcome is taken from the reply itself."""


__all__ = ["Intent", "Player", "SeenEvent", "World"]
