"""The same world when one worker's publications are lost, doubled and late: the same end state, and repairs counted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from e2e_tests import verdicts
from e2e_tests.collector import Collector
from e2e_tests.conftest import StartFleet
from e2e_tests.players import Player, all_in, all_out, crowd
from e2e_tests.store import Store
from e2e_tests.waiting import until
from e2e_tests.workers import Fleet
from gameserver.lab.faulty_redis import FAULTS, FaultyRedis

SECONDS = 12.0
PLAYERS = 30
PACE = 0.15
VERIFY_S = 1.0
REPAIRS = ("gaps", "publications_duplicate", "lost_echoes", "lost_tails", "repairs", "reloads")


@pytest.mark.timeout(150)
async def test_a_lossy_redis_changes_nothing(start_fleet: StartFleet, store: Store, proxy: FaultyRedis) -> None:
    """One per cent each of one worker's publications lost, doubled and delayed while everybody plays: every replica is
    the store's at the end, every event was told once, and the repairs are counted."""
    with Collector(store) as collector:
        fleet = start_fleet(3, redis_urls={0: proxy.url}, verify_s=VERIFY_S)
        players = crowd(fleet, PLAYERS, seed=2)
        await all_in(players)
        proxy.chances = dict.fromkeys(FAULTS, 0.01)
        end = time.monotonic() + SECONDS
        await asyncio.gather(*(player.play(PACE, lambda: time.monotonic() >= end) for player in players))
        await asyncio.gather(*(player.come_to_rest() for player in players))
        proxy.chances = dict.fromkeys(FAULTS, 0.0)
        await verdicts.settled(store, players)
        by_chance = Counter(proxy.injected)
        repaired = {name: fleet[0].metrics()[name] for name in REPAIRS}
        await check_each_repair(proxy, fleet, players)

        await verdicts.settled(store, players)
        for player in players:
            player.end()
        collector.collect()
        verdicts.check_counters(players)
        verdicts.check_rooms(players, store)
        verdicts.check_log(collector, store)
        events = verdicts.check_events(players, collector)
        verdicts.check_books(store)
        accepted = sum((player.accepted for player in players), Counter())
        print(f"\n{accepted.total()} commands accepted: {dict(accepted)}; {events} events told, each once")
        print(f"{proxy.publications} publications, of which {dict(by_chance)}; repairs: {repaired}")
        await all_out(players)

    assert all(by_chance[fault] > 0 for fault in ("lost", "doubled", "delayed")), by_chance
    assert repaired["gaps"] > 0
    assert repaired["repairs"] > 0
    assert repaired["publications_duplicate"] > 0
    assert repaired["reloads"] == 0, "the log had everything"
    for healthy in (fleet[1], fleet[2]):
        assert not [name for name in REPAIRS if healthy.metrics()[name] > 0], "the others had nothing to repair"


async def check_each_repair(proxy: FaultyRedis, fleet: Fleet, players: list[Player]) -> None:
    """Each kind of fault once more, by itself, in a room where nothing else happens."""
    behind, beyond = players[0], players[1]
    assert (behind.url, beyond.url) == (fleet[0].url(), fleet[1].url())

    async def says(player: Player, text: str) -> None:
        assert await player.try_command("chat", {"channel": "global", "text": text})

    def heard(text: str) -> bool:
        stay = next(stay for stay in behind.stays if stay.room == "global")
        return any(event.data.get("text") == text for event in stay.events)

    def counted(name: str) -> float:
        return fleet[0].metrics()[name]

    before = {name: counted(name) for name in REPAIRS}
    # Nothing follows in the room: only comparing positions can find it, and does within one verification tick.
    lost = proxy.order("lost", ":c:global")
    await says(beyond, "into the void")
    took = await until(lambda: heard("into the void"), "finding a lost tail")
    assert lost.is_set()
    assert took < VERIFY_S + 1.0
    assert counted("lost_tails") > before["lost_tails"]

    lost = proxy.order("lost", ":c:global")
    await says(behind, "to myself")
    took = await until(lambda: heard("to myself"), "finding a lost echo")
    assert lost.is_set()
    assert took < VERIFY_S / 2, "the reply proves the loss, without waiting for a verification tick"
    assert counted("lost_echoes") > before["lost_echoes"]

    doubled = proxy.order("doubled", ":c:global")
    await says(beyond, "twice, twice")
    await until(lambda: counted("publications_duplicate") > before["publications_duplicate"], "a duplicate")
    assert doubled.is_set()

    found = counted("gaps") + counted("lost_tails")
    lost = proxy.order("lost", ":c:global")
    await says(beyond, "and one")
    await says(beyond, "and two")
    await until(lambda: heard("and one") and heard("and two"), "filling a gap")
    assert lost.is_set()
    assert counted("gaps") + counted("lost_tails") > found
