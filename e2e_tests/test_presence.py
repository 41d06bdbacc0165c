"""Who is there: counted over workers, kept for a grace period, taken over when a worker dies."""

from __future__ import annotations

import time

import pytest

from e2e_tests.collector import Collector
from e2e_tests.conftest import StartFleet
from e2e_tests.plain import playing
from e2e_tests.store import Store
from e2e_tests.waiting import until
from e2e_tests.workers import Fleet, token

GRACE_S = 1.5
SILENT_S = 6.0
"""How long a worker is silent before it counts as dead."""
SECTOR = "sector:1"


@pytest.fixture(scope="module")
def fleet(start_fleet: StartFleet) -> Fleet:
    return start_fleet(3, resume_grace_s=GRACE_S, verify_s=1)


def devices(store: Store, player: str) -> int | None:
    """None when the player is not present."""
    presence = store.state(SECTOR).get(f"player:{player}")
    return None if presence is None else presence["devices"]


async def test_devices_are_counted_over_workers(fleet: Fleet, store: Store) -> None:
    """Two connections on two workers are two devices of one presence, seen by others; after the last has gone it is
    there for the grace period with none, and then goes, with its ship ([PRE1], [PRE2], [PRE4])."""
    async with playing(fleet[2].url(), token("watcher")) as watcher:

        def seen() -> int | None:
            presence = watcher.rooms[SECTOR].state.get("player:lea")
            return None if presence is None else presence["devices"]

        async with playing(fleet[0].url(), token("lea")):
            await watcher.shows(lambda: seen() == 1)
            async with playing(fleet[1].url(), token("lea")) as second:
                await watcher.shows(lambda: seen() == 2)
                await second.shows(lambda: second.rooms[SECTOR].state["player:lea"]["devices"] == 2)
            await watcher.shows(lambda: seen() == 1)
        await watcher.shows(lambda: seen() == 0)
        gone = time.monotonic()
        assert "ship:lea" in watcher.rooms[SECTOR].state
        await watcher.shows(lambda: seen() is None)
        assert GRACE_S - 0.5 < time.monotonic() - gone < GRACE_S + 2.0
        await watcher.shows(lambda: "ship:lea" not in watcher.rooms[SECTOR].state)
        assert devices(store, "lea") is None

        # Whoever comes back within the grace period was never away.
        async with playing(fleet[0].url(), token("max")):
            await watcher.shows(lambda: "player:max" in watcher.rooms[SECTOR].state)
        await watcher.shows(lambda: watcher.rooms[SECTOR].state["player:max"]["devices"] == 0)
        start = len(watcher.received)
        async with playing(fleet[1].url(), token("max")):
            await watcher.shows(lambda: watcher.rooms[SECTOR].state["player:max"]["devices"] == 1)
            # The first connection's grace period ends without taking the second's presence away.
            end = time.monotonic() + GRACE_S + 1.0
            await watcher.until(lambda message: time.monotonic() > end)
        deltas = [m for m in watcher.received[start:] if m["type"] == "delta" and m["room"] == SECTOR]
        assert not any("player:max" in delta.get("del", ()) for delta in deltas)


@pytest.mark.timeout(90)
async def test_a_killed_worker_is_taken_over(fleet: Fleet, store: Store) -> None:
    """`kill -9` of the worker that ticks: another ticks within four seconds, the players it held are gone after the
    grace period, and those of the others notice nothing."""
    with Collector(store) as collector:
        victim = next(worker for worker in fleet.workers if worker.metrics()["ticking"])
        survivors = [worker for worker in fleet.workers if worker is not victim]
        async with (
            playing(survivors[0].url(), token("nia")) as watcher,
            playing(survivors[1].url(), token("olaf")) as pilot,
        ):
            assert (await pilot.command("steer", vx=5.0, vy=5.0))["ok"]
            async with playing(victim.url(), token("pia")) as lost:
                await watcher.shows(lambda: "player:pia" in watcher.rooms[SECTOR].state)
                before = store.lease_owner()
                await watcher.shows(lambda: "ship:olaf" in watcher.rooms[SECTOR].state)
                flown = watcher.rooms[SECTOR].state["ship:olaf"]["x"]
                await watcher.shows(lambda: watcher.rooms[SECTOR].state["ship:olaf"]["x"] > flown)
                victim.kill()
                killed = time.monotonic()
                assert await lost.closed() == 1006
            took = await until(lambda: sum(worker.metrics()["ticking"] for worker in survivors) == 1, "a new owner")
            assert store.lease_owner() not in ("", before)
            stood = watcher.rooms[SECTOR].state["ship:olaf"]["x"]
            await watcher.shows(lambda: watcher.rooms[SECTOR].state["ship:olaf"]["x"] > stood)
            flying = time.monotonic() - killed
            assert flying < 4.0
            assert devices(store, "pia") == 1, "nobody knows yet"

            await watcher.shows(lambda: watcher.rooms[SECTOR].state["player:pia"]["devices"] == 0, timeout=15.0)
            noticed = time.monotonic() - killed
            await watcher.shows(lambda: "player:pia" not in watcher.rooms[SECTOR].state)
            gone = time.monotonic() - killed
            print(f"\nlease after {took:.1f} s, ticks after {flying:.1f} s, noticed {noticed:.1f} s, gone {gone:.1f} s")
            assert noticed > SILENT_S - 2.5
            assert gone < SILENT_S + GRACE_S + 6.0
            await watcher.shows(lambda: watcher.rooms[SECTOR].verified > 0)
        collector.collect()
        late = [commit for commit in collector.commits[SECTOR] if commit.worker == before][-1]
        follow = next(commit for commit in collector.commits[SECTOR] if commit.seq > late.seq)
        assert follow.worker != before
        assert "ship:pia" not in store.state(SECTOR)
