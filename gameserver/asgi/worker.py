"""What one process serves: a node on its bus, the gate in front of it, and whether it is ready."""

from __future__ import annotations

import asyncio
import logging
import secrets

from gameserver.asgi.addresses import read_networks
from gameserver.asgi.auth import BadToken, TokenVerifier
from gameserver.asgi.handshake import gate_of
from gameserver.buses.base import Bus, StoreLimits
from gameserver.buses.memory import MemoryBus, MemoryStore
from gameserver.buses.redis.bus import RedisBus
from gameserver.errors import GameserverError
from gameserver.game import Game
from gameserver.runtime.clock import Clock
from gameserver.runtime.node import Node, NodeLimits
from gameserver.sessions.claims import Claims
from gameserver.sessions.places import Places
from gameserver.settings import Settings

log = logging.getLogger("gameserver")

PROBE_EVERY = 1.0
PROBE_DEADLINE = 2.0


class Worker:
    """`bus` replaces the one that the settings describe."""

    def __init__(self, settings: Settings, game: Game, bus: Bus | None = None) -> None:
        self.settings = settings
        self.id = secrets.token_hex(4)
        self.clock = Clock()
        self.bus = bus or make_bus(settings, game, self.id, self.clock)
        self.verifier = TokenVerifier(settings.issuers, settings.jwt_leeway_s)
        self.node = Node(
            game,
            self.bus,
            self.id,
            limits=node_limits(settings),
            clock=self.clock,
            verify=self.verify,
        )
        self.trusted_proxies = read_networks(settings.trusted_proxies)
        self.gate = gate_of(settings, self.verify, self.node.has_room)
        self.started = False
        self.reachable = False
        """Whether the last probe went round: a write, and its publication back."""

    async def verify(self, token: str) -> Claims:
        """The claims of a genuine token that was not logged out. Raises BadToken."""
        claims = await self.verifier.verify(token)
        if self.node.revocations.covers(claims):
            raise BadToken
        return claims

    @property
    def ready(self) -> bool:
        return self.started and self.reachable and not self.node.draining

    async def start(self) -> None:
        """Raises GameserverError when the store cannot be reached or the world is not there in time."""
        await self.node.start()
        await self._probe()
        self.node.supervisor.keep(self._probe_for_ever, "readiness")
        self.started = True
        log.info("worker %s serves the world %s", self.id, self.node.game.name)

    async def _probe_for_ever(self) -> None:
        while True:
            await asyncio.sleep(PROBE_EVERY)
            await self._probe()

    async def _probe(self) -> None:
        try:
            await asyncio.wait_for(self.bus.probe(), PROBE_DEADLINE)
        except (GameserverError, TimeoutError) as error:
            if self.reachable:
                log.error("not ready: %s", error)
            self.reachable = False
        else:
            if not self.reachable and self.started:
                log.info("ready again")
            self.reachable = True

    async def close(self) -> None:
        self.started = False
        await self.node.close()
        await self.verifier.close()


def make_bus(settings: Settings, game: Game, worker: str, clock: Clock) -> Bus:
    """The bus the settings ask for: Redis by its URL, else memory."""
    limits = StoreLimits(command_memory=settings.command_memory_s)
    if settings.redis_url:
        return RedisBus(settings.redis_url, game.name, worker, limits, settings.redis_deadline_s)
    return MemoryBus(MemoryStore(limits, clock.wall_ms), worker)


def node_limits(settings: Settings) -> NodeLimits:
    return NodeLimits(
        heartbeat=settings.heartbeat_s,
        grace=settings.grace_s,
        resume_grace=settings.resume_grace_s,
        verify=settings.verify_s,
        max_message=settings.max_message,
        max_connections=settings.max_connections,
        commands_per_second=settings.commands_per_second,
        commands_burst=float(settings.commands_burst),
        command_memory=settings.command_memory_s,
        messages_per_second=settings.messages_per_second,
        places=Places(settings.places),
        one_place=settings.far_apart == "refuse",
    )
