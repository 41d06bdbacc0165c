"""Faults of workers: killed, frozen, stalled."""

from __future__ import annotations

import asyncio
import signal
import time

from e2e_tests.chaos.catalogue import Row, Twin
from e2e_tests.chaos.load import percentile
from e2e_tests.chaos.scene import Scene
from e2e_tests.store import Store

CLOCKED = "sector:2"


async def a_worker_dies(scene: Scene) -> str:
    redis = scene.redis()
    store = scene.store(redis)
    workers = await scene.fleet(3, redis.url)
    entrants = await scene.crowd(12 if scene.quick else 30, workers)
    async with scene.load(entrants, 0.02) as load:
        await load.goes_on(100)
        # The moment counts: some of what is under way is committed and not answered.
        workers[0].crash()
        await load.goes_on(100)
        await scene.until(lambda: all(entrant.client.connected for entrant in entrants), "everybody back", 15.0)
    applied, took = await scene.holds(store)
    resumes = [seconds for entrant in entrants for seconds in entrant.resumes]
    assert resumes, "nobody lost a connection"
    assert percentile(resumes, 0.99) <= 5.0, f"resumed after {percentile(resumes, 0.99):.1f} s"
    recovered = sum(entrant.recovered[True] for entrant in entrants)
    return (
        f"{applied} applied once each, {len(resumes)} resumed ({recovered} in full), "
        f"p50 {percentile(resumes, 0.5):.2f} s,"
        f" p99 {percentile(resumes, 0.99):.2f} s; equal after {took:.1f} s"
    )


async def replies_lost_with_a_worker(scene: Scene) -> str:
    """Every player sends, and the worker is killed the moment the store has committed: nobody was answered."""
    redis = scene.redis()
    store = scene.store(redis)
    proxy = scene.faulty(redis)
    workers = await scene.fleet(2, proxy.url, redis.url)
    entrants = [entrant for entrant in await scene.crowd(8, workers) if entrant.client.welcome["worker"]]
    here = entrants[::2]
    cut = proxy.cut(here[0].name.encode(), executed=True)
    proxy.refusing = True
    sending = [asyncio.create_task(entrant.enter(1)) for entrant in here]
    await scene.until(cut.is_set, "a commit whose reply is lost", 5.0)
    workers[0].crash()
    await asyncio.gather(*sending)
    applied, _ = await scene.holds(store)
    assert all(entrant.acked == {1} for entrant in here)
    return f"{applied} of {len(here)} commands applied, each once"


async def kills(scene: Scene) -> str:
    """Fifty players, ten thousand commands, each of three workers killed twice."""
    players, each = (20, 100) if scene.quick else (50, 200)
    redis = scene.redis()
    store = scene.store(redis)
    workers = await scene.fleet(3, redis.url)
    entrants = await scene.crowd(players, workers)
    began = time.monotonic()
    playing = [asyncio.create_task(entrant.play(0.08, lambda: True, each)) for entrant in entrants]

    def acked() -> int:
        return sum(len(entrant.acked) for entrant in entrants)

    for turn in range(6):
        due = (turn + 1) * players * each // 7
        await scene.until(lambda due=due: acked() >= due, f"{due} acknowledgements", 120.0)
        victim = workers[turn % 3]
        victim.crash()
        await asyncio.sleep(0.5)
        await asyncio.to_thread(victim.restart)
    await asyncio.gather(*playing)
    seconds = time.monotonic() - began
    await scene.until(lambda: all(entrant.client.connected for entrant in entrants), "everybody back", 15.0)
    applied, took = await scene.holds(store)
    assert acked() == applied == players * each, f"{acked()} acknowledged, {applied} applied of {players * each}"
    resumes = [resume for entrant in entrants for resume in entrant.resumes]
    return (
        f"{applied} commands of {players} players in {seconds:.0f} s, 6 kills: all acknowledged and applied once; "
        f"{len(resumes)} resumes, p50 {percentile(resumes, 0.5):.2f} s, p99 {percentile(resumes, 0.99):.2f} s; "
        f"equal after {took:.1f} s"
    )


def clocked_by(store: Store, after: int) -> list[tuple[int, str]]:
    """Seq and worker of each commit to the room that only ticks write."""
    return [(commit.seq, commit.worker) for commit in store.log(CLOCKED, after)]


async def frozen_owner(scene: Scene) -> str:
    """The one that ticks is stopped for longer than its lease; awake, it goes on as if nothing had been."""
    redis = scene.redis()
    store = scene.store(redis)
    # The first to start has the lease.
    (owner,) = await scene.fleet(1, redis.url, crippled="sleepwalking")
    await scene.until(lambda: owner.ticking, "a lease", 10.0)
    others = await scene.fleet(2, redis.url)
    entrants = await scene.crowd(6, others)
    await scene.until(lambda: store.seq(CLOCKED) > 5, "ticks", 10.0)
    asleep = 6.0 if scene.quick else 30.0
    async with scene.load(entrants, 0.1) as load:
        before = store.lease_owner()
        owner.freeze()
        moved = await scene.until(lambda: any(worker.ticking for worker in others), "another owner", 5.0)
        heir = store.lease_owner()
        assert heir != before
        stood = store.seq(CLOCKED)
        await asyncio.sleep(asleep - moved)
        owner.thaw()
        await asyncio.sleep(2.0)
        stale = [seq for seq, worker in clocked_by(store, stood) if worker == before]
        assert not stale, f"{len(stale)} stale writes were accepted"
        await scene.until(lambda: owner.metrics()["fenced"] > 0, "a stale write that was refused", 5.0)
        refused = owner.metrics()["fenced"]
        await load.goes_on()
    await scene.holds(store)
    return (
        f"lease moved after {moved:.1f} s; awake after {asleep:.0f} s: {refused:.0f} stale writes refused, 0 accepted"
    )


async def stalled_loop(scene: Scene) -> str:
    """The event loop does nothing for three seconds: told by the metric, and nothing is lost by it."""
    redis = scene.redis()
    store = scene.store(redis)
    workers = await scene.fleet(2, redis.url, crippled="stalling")
    entrants = await scene.crowd(6, workers)
    async with scene.load(entrants, 0.1) as load:
        await load.goes_on()
        before = workers[0].metrics()["loop_stalls"]
        workers[0].tell(signal.SIGUSR2)
        took = await scene.until(lambda: workers[0].metrics()["loop_stalls"] > before, "a stall that is told", 6.0)
        lag = workers[0].metrics()["loop_lag_seconds"]
        assert lag >= 2.5, f"a lag of {lag:.1f} s was told"
        await load.goes_on()
    await scene.holds(store)
    return f"told {took:.1f} s after it began, as {lag:.1f} s"


ROWS = (
    Row(
        1,
        "worker dies",
        "`kill -9` under load",
        "A B C; resume p99 <= 5 s",
        a_worker_dies,
        quick=True,
    ),
    Row(
        1,
        "worker dies with replies under way",
        "the store commits, then `kill -9` before anybody is answered",
        "A B",
        replies_lost_with_a_worker,
        (Twin("dedupe", "(B)"),),
        quick=True,
    ),
    Row(
        1,
        "each worker dies twice",
        "50 players, 10,000 numbered commands, six `kill -9`",
        "A B C D",
        kills,
        word="kills",
    ),
    Row(
        2,
        "worker frozen that ticks",
        "SIGSTOP 30 s, SIGCONT, and it still believes in its lease",
        "the lease moves; 0 stale writes",
        frozen_owner,
        (Twin("fence", "stale writes were accepted"),),
        quick=True,
    ),
    Row(
        3,
        "event loop stalls",
        "3 s of `time.sleep` in a signal handler",
        "the loop-lag metric fires",
        stalled_loop,
        (Twin("lag watch", "a stall that is told"),),
        quick=True,
    ),
)
