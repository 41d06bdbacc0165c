"""Faults of the store: killed, emptied, away, frozen, paused, full."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from e2e_tests.chaos.audit import agree
from e2e_tests.chaos.catalogue import Row, Twin
from e2e_tests.chaos.load import Entrant, Load
from e2e_tests.chaos.scene import Scene
from e2e_tests.chaos.workers import ChaosWorker
from tests.redis_server import RedisServer

RED_WITHIN = 5.0
GREEN_WITHIN = 5.0
REFUSED_WITHIN = 1.3
"""Seconds: a deadline of one, and what a busy machine adds."""


@contextlib.asynccontextmanager
async def playing(
    scene: Scene, *options: str, workers: int = 2, players: int = 10, line: Callable[[RedisServer], str] | None = None
) -> AsyncIterator[tuple[RedisServer, list[ChaosWorker], list[Entrant], Load]]:
    """A store with these options, workers on it, and players that have begun."""
    redis = scene.redis(*options)
    fleet = await scene.fleet(workers, line(redis) if line else redis.url)
    entrants = await scene.crowd(players, fleet)
    async with scene.load(entrants, 0.05) as load:
        await load.goes_on(50)
        yield redis, fleet, entrants, load


async def red(scene: Scene, workers: list[ChaosWorker], within: float = RED_WITHIN) -> float:
    return await scene.until(lambda: not any(worker.ready for worker in workers), "a red /ready", within)


async def green(scene: Scene, workers: list[ChaosWorker], within: float = GREEN_WITHIN) -> float:
    return await scene.until(lambda: all(worker.ready for worker in workers), "a green /ready", within)


def slowest_since(entrants: list[Entrant], marks: dict[str, int]) -> float:
    """Seconds of the slowest answer that came after `marks`."""
    return max(
        (seconds for entrant in entrants for seconds in entrant.answers[marks[entrant.name] :]),
        default=0.0,
    )


def answered(entrants: list[Entrant]) -> dict[str, int]:
    return {entrant.name: len(entrant.answers) for entrant in entrants}


def nobody_left(entrants: list[Entrant]) -> None:
    """The store's faults are not the players': connections stay."""
    gone = [entrant.name for entrant in entrants if entrant.closes]
    assert not gone, f"{len(gone)} players lost their connection"


async def killed_with_aof(scene: Scene) -> str:
    async with playing(scene, "--appendonly", "yes", "--appendfsync", "always") as (redis, fleet, entrants, load):
        epoch = scene.store(redis).epoch()
        redis.kill()
        await red(scene, fleet)
        redis.start()
        returned = time.monotonic()
        back = await green(scene, fleet)
        await load.goes_on(20)
    store = scene.store(redis)
    assert store.epoch() == epoch, "the world began anew"
    applied, _ = await scene.holds(store)
    took = time.monotonic() - returned
    nobody_left(entrants)
    acked = sum(len(entrant.acked) for entrant in entrants)
    return f"{acked} acknowledged, 0 lost, {applied} applied; ready {back:.1f} s after its return, equal {took:.1f} s"


async def killed_with_nothing_on_disk(scene: Scene) -> str:
    async with playing(scene) as (redis, fleet, entrants, load):
        store = scene.store(redis)
        epoch, fence = store.epoch(), lease_token(redis)
        redis.kill()
        await red(scene, fleet)
        redis.start()
        returned = time.monotonic()
        await green(scene, fleet)
        await scene.until(lambda: store.epoch() > epoch, "a new epoch", 5.0)
        await scene.until(lambda: lease_token(redis) > fence, "a fence above the old one", 5.0)

        def seen() -> bool:
            rooms = [room for entrant in entrants for room in entrant.client.rooms.values()]
            return all(room.epoch == store.epoch() for room in rooms)

        loaded = await scene.until(seen, "snapshots of the new epoch everywhere", 10.0)
        # What was acknowledged before went with the store: that is the policy of one without a file.
        for entrant in entrants:
            entrant.acked.clear()
        await load.goes_on(20)
    await scene.holds(store)
    took = time.monotonic() - returned
    return f"epoch and fence grew, snapshots for all {loaded:.1f} s later; equal {took:.1f} s after its return"


def lease_token(redis: RedisServer) -> int:
    with redis.client() as client:
        return int(client.hget("{gs:ledger}:lease", "token") or 0)


async def away(scene: Scene) -> str:
    gone = 5.0 if scene.quick else 60.0
    async with playing(scene, "--appendonly", "yes", "--appendfsync", "always") as (redis, fleet, entrants, load):
        processes = [worker.process for worker in fleet]
        redis.kill()
        noticed = await red(scene, fleet)
        marks = answered(entrants)
        assert all(entrant.client.rooms for entrant in entrants)
        await asyncio.sleep(gone - noticed)
        slowest = slowest_since(entrants, marks)
        assert slowest <= REFUSED_WITHIN, f"a command was refused after {slowest:.1f} s"
        round_trip = await entrants[0].client.ping()
        redis.start()
        back = await green(scene, fleet)
        await load.goes_on(20)
    store = scene.store(redis)
    _, equal = await scene.holds(store, within=5.0)
    nobody_left(entrants)
    assert processes == [worker.process for worker in fleet]
    assert all(worker.running for worker in fleet)
    return (
        f"away {gone:.0f} s: red after {noticed:.1f} s, refused within {slowest:.2f} s, pings answered in "
        f"{round_trip * 1e3:.0f} ms, green {back:.1f} s after its return, equal {equal:.1f} s later"
    )


async def frozen(scene: Scene) -> str:
    async with playing(scene) as (redis, fleet, entrants, load):
        marks = answered(entrants)
        redis.freeze()
        noticed = await red(scene, fleet)
        await asyncio.sleep(2.0)
        slowest = slowest_since(entrants, marks)
        refused = sum(entrant.refused["unavailable"] for entrant in entrants)
        redis.thaw()
        await green(scene, fleet)
        await load.goes_on(20)
        assert refused > 0, "no command was refused: the operation has no deadline"
        assert slowest <= REFUSED_WITHIN, f"a command was answered after {slowest:.1f} s"
    await scene.holds(scene.store(redis))
    nobody_left(entrants)
    return f"red after {noticed:.1f} s; {refused} refused, the slowest answer {slowest:.2f} s; none half done"


async def publications_cut(scene: Scene) -> str:
    """Replies and publications come by one connection here, so both are cut."""
    async with playing(scene) as (redis, fleet, entrants, load):
        with redis.client() as client:
            for _ in range(3):
                killed = client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                assert killed >= len(fleet)
                await load.goes_on(20)
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        cut = time.monotonic()
        await scene.until(lambda: all(worker.ready for worker in fleet), "workers that are ready", 2.0)
    # The last commits of the load were published around the cut.
    store = scene.store(redis)
    await scene.holds(store, within=max(0.1, 2.0 - (time.monotonic() - cut)) + 1.0)
    took = time.monotonic() - cut
    reconnects = sum(worker.metrics()["store_reconnects"] for worker in fleet)
    nobody_left(entrants)
    return f"{reconnects:.0f} connections cut, rooms equal {took:.1f} s after the last, load included"


async def a_cut_nobody_follows(scene: Scene) -> str:
    """One worker's connection is cut, a commit of the other happens meanwhile, and then nothing more."""
    redis = scene.redis()
    store = scene.store(redis)
    workers = await scene.fleet(2, redis.url, verify_s=30)
    entrants = await scene.crowd(4, workers)
    spent = []
    with redis.client() as client:
        for number in range(3):
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            cut = time.monotonic()
            assert await entrants[1].enter(number)
            await agree(store, entrants, 2.0)
            spent.append(time.monotonic() - cut)
    await scene.holds(store)
    return f"repositioned after {max(spent):.2f} s at most, verification ticks aside"


async def writes_paused(scene: Scene) -> str:
    async with playing(scene) as (redis, fleet, entrants, load):
        marks = answered(entrants)
        with redis.client() as client:
            client.execute_command("CLIENT", "PAUSE", 5000, "WRITE")
        noticed = await red(scene, fleet)
        await asyncio.sleep(4.5 - noticed)
        slowest = slowest_since(entrants, marks)
        await green(scene, fleet, 6.0)
        await load.goes_on(50)
    applied, _ = await scene.holds(scene.store(redis))
    refused = sum(entrant.refused["unavailable"] for entrant in entrants)
    assert slowest <= REFUSED_WITHIN, f"a command was answered after {slowest:.1f} s"
    nobody_left(entrants)
    return f"red after {noticed:.1f} s, {refused} refused within {slowest:.2f} s, {applied} applied, none twice"


ROWS = (
    Row(
        4,
        "Redis killed, AOF on",
        "`kill -9` under load, started again; `appendfsync always`",
        "0 acknowledged lost; D <= 10 s",
        killed_with_aof,
        (Twin("the file", "the world began anew"),),
        quick=True,
    ),
    Row(
        5,
        "Redis killed, nothing on disk",
        "the same without a file",
        "new epoch, snapshots for all; the fence never goes back",
        killed_with_nothing_on_disk,
        (Twin("repositioning"),),
        quick=True,
    ),
    Row(
        6,
        "Redis away 60 s",
        "killed and started again",
        "red <= 5 s, green and repositioned <= 5 s, no restart; refused <= 1 s",
        away,
        (Twin("probe", "a red /ready"),),
    ),
    Row(
        7,
        "Redis frozen",
        "SIGSTOP",
        "deadlines <= 1 s; refused, never half done",
        frozen,
        (Twin("deadline"),),
        quick=True,
    ),
    Row(
        8,
        "publish/subscribe connection killed",
        "`CLIENT KILL TYPE pubsub`, four times under load",
        "all rooms equal <= 2 s",
        publications_cut,
        quick=True,
    ),
    Row(
        8,
        "the same, and nothing follows",
        "`CLIENT KILL TYPE pubsub`, one commit, silence; verification ticks every 30 s",
        "repositioned <= 2 s",
        a_cut_nobody_follows,
        (Twin("repositioning", "(D)"),),
        quick=True,
    ),
    Row(
        9,
        "writes paused",
        "`CLIENT PAUSE 5000 WRITE` under load",
        "no duplicate after the time-out",
        writes_paused,
        (Twin("dedupe", "(B)"),),
        quick=True,
    ),
)
