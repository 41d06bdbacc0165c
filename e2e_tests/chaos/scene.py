"""What a row is done in: Redis, workers and players of its own, all ended when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from e2e_tests.chaos import audit
from e2e_tests.chaos.catalogue import Row, Twin
from e2e_tests.chaos.crippled import MECHANISMS
from e2e_tests.chaos.line import Line
from e2e_tests.chaos.load import Entrant, Load, all_in, all_out
from e2e_tests.chaos.workers import ChaosWorker
from e2e_tests.store import Store
from gameserver.lab.faulty_redis import FaultyRedis
from tests.redis_server import RedisServer

NO_FILE = "the file"
"""A twin whose store, not its workers, lacks something."""
LEDGER = "e2e_tests.worlds.ledger:game"


class Scene:
    """`quick` lowers counts and times; `without` is the mechanism that is switched off, empty for none."""

    def __init__(self, directory: Path, stack: AsyncExitStack, *, quick: bool, without: str = "") -> None:
        self.directory = directory
        self.quick = quick
        self.without = without
        self.workers: list[ChaosWorker] = []
        self.entrants: list[Entrant] = []
        self._stack = stack
        self._memory: dict[int, int] = {}

    # -- what there is ------------------------------------------------------------------------------------

    def redis(self, *options: str, **more: Any) -> RedisServer:
        """A Redis that runs."""
        if self.without == NO_FILE:
            options = ()
        server = RedisServer(*options, **more)
        self._stack.callback(server.stop)
        return server.start()

    def faulty(self, redis: RedisServer, seed: int = 7) -> FaultyRedis:
        return self._stack.enter_context(FaultyRedis(redis.port, seed=seed))

    def line(self, to_port: int) -> Line:
        return self._stack.enter_context(Line(to_port))

    def store(self, redis: RedisServer, world: str = "ledger") -> Store:
        client = redis.client()
        self._stack.callback(client.close)
        return Store(client, world)

    async def fleet(
        self,
        count: int,
        *urls: str,
        world: str = LEDGER,
        crippled: str = "",
        environ: dict[str, str] | None = None,
        **settings: object,
    ) -> list[ChaosWorker]:
        """That many workers, ready. Each is given the url of its place, or the last; `crippled` names what the first
        one lacks besides `without`."""
        given: dict[str, object] = {"commands_per_second": 1000, "verify_s": 1, "resume_grace_s": 60, **settings}
        fresh = []
        for place in range(count):
            words = [word for word in (self.without, crippled if place == 0 else "") if word in MECHANISMS]
            name = f"worker-{len(self.workers)}"
            url = urls[min(place, len(urls) - 1)]
            worker = ChaosWorker(name, self.directory, url, world, given, lacking=words, environ=environ)
            self._stack.callback(worker.kill)
            worker.start()
            self.workers.append(worker)
            fresh.append(worker)
        for worker in fresh:
            await asyncio.to_thread(worker.wait_ready)
        return fresh

    async def crowd(self, count: int, workers: list[ChaosWorker], **options: Any) -> list[Entrant]:
        """Players spread over the workers and the encodings, all in."""
        entrants = [
            Entrant(
                f"entrant{len(self.entrants) + place}",
                workers,
                place % len(workers),
                encoding=("json", "msgpack", "compact")[place // len(workers) % 3],
                **options,
            )
            for place in range(count)
        ]
        self.entrants += entrants
        self._stack.push_async_callback(all_out, entrants)
        await all_in(entrants)
        for worker in workers:
            if worker.process is not None:
                self._memory[worker.process.pid] = audit.memory(worker)
        return entrants

    def load(self, entrants: list[Entrant], pace: float = 0.1) -> Load:
        return Load(entrants, pace)

    # -- what must hold ------------------------------------------------------------------------------------

    async def holds(self, store: Store, within: float = 10.0) -> tuple[int, float]:
        """All invariants, when everybody has finished: how many commands were applied, and the seconds until
        checksums were equal (D)."""
        took = await audit.agree(store, self.entrants, within)
        applied = audit.check_ledger(store, self.entrants)
        audit.check_bases(self.entrants)
        await audit.check_bounds(self.workers, self._memory)
        return applied, took

    async def until(self, condition: Callable[[], object], what: str, within: float) -> float:
        """The seconds it took; conditions that ask over HTTP do not hold up the players."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not await asyncio.to_thread(condition):
            assert loop.time() - began < within, f"{what} did not come about within {within} s"
            await asyncio.sleep(0.02)
        return loop.time() - began


@asynccontextmanager
async def scene(directory: Path, *, quick: bool, without: str = "") -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        yield Scene(directory, stack, quick=quick, without=without)


async def try_row(row: Row, directory: Path, *, quick: bool) -> str:
    """The measured figure. Raises AssertionError when the row does not hold."""
    async with scene(directory, quick=quick) as built:
        return await row.injection(built)


async def try_twin(row: Row, twin: Twin, directory: Path) -> str:
    """How the row failed without the mechanism. Raises AssertionError when it held all the same."""
    try:
        async with scene(directory, quick=True, without=twin.mechanism) as built:
            measured = await row.injection(built)
    except (AssertionError, TimeoutError) as fault:
        told = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        assert twin.told in told, f"without {twin.mechanism} it failed for another reason: {told}"
        return told
    raise AssertionError(f"row {row.number} holds without {twin.mechanism} as well: {measured}")
