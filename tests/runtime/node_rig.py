"""Whole workers of one world in virtual time: started, closed, killed, cut off, and players on them."""

from __future__ import annotations

from collections import Counter
from random import Random
from types import TracebackType
from typing import Any

from gameserver import Game
from gameserver.buses.memory_store import MemoryStore
from gameserver.context import Context
from gameserver.protocol.codec import JSON
from gameserver.rooms.names import private_room
from gameserver.rooms.presence import presence_id
from gameserver.runtime.clock import Clock
from gameserver.runtime.node import Node, NodeLimits
from gameserver.runtime.session import Session
from gameserver.sessions.claims import Claims
from gameserver.state.commit import Commit, decode_commit
from gameserver.state.delta import State
from gameserver.state.replica import decode_entities
from tests.runtime.faulty_bus import FaultyBus
from tests.runtime.hub_rig import FakeChannel
from tests.runtime.one_worker import START_MS, new_store, stored
from tests.runtime.virtual_time import now, until

SECTOR = "sector:1"
GRACE = 20.0
HZ = 10.0


class PlayChannel(FakeChannel):
    """Remembers how it was closed."""

    def __init__(self) -> None:
        super().__init__(text=True)
        self.closed: int | None = None

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or code

    def abort(self) -> None:
        self.closed = self.closed or 1006


class Seat:
    """A connection of a player at a worker."""

    def __init__(self, node: Node, session: Session, channel: PlayChannel) -> None:
        self.node = node
        self.session = session
        self.channel = channel

    @property
    def closed(self) -> int | None:
        """The close code, None while it is open."""
        return self.channel.closed

    def say(self, message: dict[str, Any]) -> None:
        self.session.receive(JSON.encode(message), True)

    async def drop(self) -> None:
        """The connection is gone."""
        await self.node.close_session(self.session)


class World:
    """Closes all workers that still live at its end."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.store: MemoryStore = new_store()
        self.nodes: list[Node] = []
        self._random = Random(5)

    async def __aenter__(self) -> World:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in list(self.nodes):
            await self.close(node)
            assert kind or not node.supervisor.failures

    def node(self, name: str, limits: NodeLimits | None = None) -> Node:
        """Not started yet."""
        clock = Clock(now, lambda: START_MS / 1000 + now(), Random(self._random.random()))
        limits = limits or NodeLimits(resume_grace=GRACE)
        node = Node(self.game, FaultyBus(self.store, name), name, limits=limits, clock=clock)
        self.nodes.append(node)
        return node

    async def start(self, name: str, limits: NodeLimits | None = None) -> Node:
        node = self.node(name, limits)
        await node.start()
        return node

    async def close(self, node: Node) -> None:
        self.nodes.remove(node)
        await node.close()

    async def kill(self, node: Node) -> None:
        """As `kill -9`: it says nothing to anybody."""
        self.nodes.remove(node)
        await node.supervisor.close()
        await node.bus.close()

    async def join(
        self, node: Node, player: str = "ada", *, team: str | None = None, token: str = "", address: str = "here"
    ) -> Seat:
        channel = PlayChannel()
        claims = Claims(player, player.title(), "player", team, START_MS / 1000 + 1e6, token)
        session = node.admit(claims, channel, JSON, address)
        await node.receive(session)
        node.hub.replies.end_turn()
        return Seat(node, session, channel)

    # -- what the store has ---------------------------------------------------------------------------------

    def state(self, room: str) -> State:
        return decode_entities(self.store.load(room).entities)

    def entity(self, room: str, entity: str) -> dict[str, Any] | None:
        return stored(self.store, room, entity)

    def count(self, room: str = SECTOR, entity: str = "counter:1") -> int:
        fields = self.entity(room, entity)
        return 0 if fields is None else fields["n"]

    def commits(self, room: str = SECTOR) -> list[Commit]:
        return [decode_commit(payload) for payload in self.store.read_log(room, 0, 100_000)]

    def presence(self, player: str = "ada", room: str = SECTOR) -> dict[str, Any] | None:
        return self.entity(room, presence_id(player))

    def sessions(self, player: str = "ada") -> dict[str, dict[str, Any]]:
        return {
            entity: fields
            for entity, fields in self.state(private_room(player)).items()
            if entity.startswith("session:")
        }

    def devices(self, player: str = "ada") -> int | None:
        presence = self.presence(player)
        return None if presence is None else presence["devices"]


class Played:
    """A game that counts: ticks in every sector, and calls of its hooks."""

    def __init__(self) -> None:
        self.game = Game("counting", start=SECTOR)
        self.elapsed: Counter[str] = Counter()
        """Room to the game time its ticks were told of."""
        self.failing = False
        game = self.game

        @game.entity(kind="counter")
        class Count:
            n: int = 0

        @game.entity
        class Me:
            joined: int = 0
            entered: int = 0
            left: int = 0

        @game.on_create
        def create(ctx: Context) -> None:
            ctx.room(SECTOR).create("counter:1")
            made = ctx.world.get("counter:created") or ctx.world.create("counter:created")
            made.n += 1

        @game.on_first_join
        def first_join(ctx: Context) -> None:
            ctx.private().create("me", joined=1)

        @game.on_enter
        def enter(ctx: Context) -> None:
            ctx.me.entered += 1

        @game.on_leave
        def leave(ctx: Context) -> None:
            ctx.me.left += 1

        @game.command()
        def go(ctx: Context, to: str) -> None:
            ctx.move(to)

        @game.command()
        def build(ctx: Context, room: str) -> None:
            ctx.room(room).create("counter:1")

        @game.tick(hz=HZ, rooms="sector:*")
        def advance(ctx: Context, dt: float) -> None:
            if self.failing:
                raise ZeroDivisionError
            ctx.sector["counter:1"].n += 1
            self.elapsed[ctx.here] += dt  # type: ignore[assignment]


async def tick_on(world: World, ticks: int = 2, within: float = 3.0) -> None:
    """Wait until so many more ticks are committed."""
    before = world.count()
    await until(lambda: world.count() >= before + ticks, within)
