"""A living world: three workers, sixty players, half a minute of everything, and not one bit out of place."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from e2e_tests import verdicts
from e2e_tests.collector import Collector
from e2e_tests.conftest import StartFleet
from e2e_tests.players import all_in, all_out, crowd
from e2e_tests.store import Store

PLAYERS = 60
SECONDS = 30.0
MOST_SECONDS = 75.0
PACE = 0.2
COMMANDS = 5_000
MOVES = 500


@pytest.mark.timeout(180)
async def test_everybody_sees_the_same_world(start_fleet: StartFleet, store: Store) -> None:
    """Sixty clients of all encodings on three workers act for 30 s; then each one's rooms are the store's, each event
    of each stream was told once, and the books balance."""
    with Collector(store) as collector:
        fleet = start_fleet(3, verify_s=2)
        verdicts.check_books(store)
        players = crowd(fleet, PLAYERS)
        await all_in(players)
        began = time.monotonic()
        accepted: Counter[str] = Counter()

        def enough() -> bool:
            nonlocal accepted
            played = time.monotonic() - began
            accepted = sum((player.accepted for player in players), Counter())
            there = accepted.total() >= COMMANDS and accepted["move"] >= MOVES
            return (played >= SECONDS and there) or played >= MOST_SECONDS

        await asyncio.gather(*(player.play(PACE, enough) for player in players))
        played = time.monotonic() - began
        refused = sum((player.refused for player in players), Counter())
        await asyncio.gather(*(player.come_to_rest() for player in players))

        rooms = await verdicts.settled(store, players)
        for player in players:
            player.end()
        collector.collect()
        verdicts.check_counters(players)
        verdicts.check_rooms(players, store)
        verdicts.check_log(collector, store)
        events = verdicts.check_events(players, collector)
        books = verdicts.check_books(store)
        verified = sum(player.client.stats.replica.verified for player in players)
        print(f"\n{accepted.total()} commands accepted in {played:.1f} s: {dict(accepted)}; refused: {dict(refused)}")
        print(f"{collector.total} commits; {events} events told, each once; {verified} checksums; {len(rooms)} rooms")
        print(f"books: {books}")
        print({name: fleet.metrics(name) for name in ("conflicts", "gaps", "repairs", "held", "held_too_long")})
        await all_out(players)

    assert accepted.total() >= COMMANDS
    assert accepted["move"] >= MOVES
    assert all(accepted[name] for name in ("buy", "sell", "attack", "chat", "steer", "status"))
    assert verified > PLAYERS
    assert not set(refused) & {"unavailable", "internal", "bad_message", "invalid_argument", "unknown_command"}
    for trouble in ("drift", "poison", "reloads", "task_failures"):
        assert fleet.metrics(trouble) == 0, trouble
