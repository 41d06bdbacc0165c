"""One world in three encodings: everybody sees the same, whatever it is written in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from e2e_tests.workers import Fleet, token
from gameserver.client import Client

ENCODINGS = ("json", "msgpack", "compact")


@pytest.fixture(scope="module")
def fleet(start_fleet: Callable[..., Fleet]) -> Fleet:
    return start_fleet(2, verify_s=1)


async def test_three_encodings_see_the_same_world(fleet: Fleet) -> None:
    """[HS2] [CMP1] Clients of each encoding on each worker act, move, and hold the same rooms."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                Client(worker.url(), token(f"{encoding}-{number}"), encoding=encoding, reconnect=False)  # type: ignore[arg-type]
            )
            for number, worker in enumerate(fleet.workers)
            for encoding in ENCODINGS
        ]
        for client in clients:
            await client.ready("global", "sector:1")
        for number, client in enumerate(clients):
            await client.command("steer", vx=float(number) + 0.5, vy=-1.25)
            await client.command("chat", channel="sector", text=f"Ü {number}")
        for client in clients:
            moved = await client.command("move", to="sector:2")
            await client.reached({room: seq for room, seq in moved.seq.items() if room in client.rooms})
            back = await client.command("move", to="sector:1")
            await client.wait_for(lambda client: "sector:1" in client.rooms)
            await client.reached({"sector:1": back.seq["sector:1"]})
        halted = {}
        for client in clients:
            halted.update((await client.command("steer", vx=0.0, vy=0.0)).seq)
        for client in clients:
            await client.reached({"sector:1": halted["sector:1"]})
        proven = [client.stats.replica.verified for client in clients]
        for client, before in zip(clients, proven, strict=True):
            await client.wait_for(lambda client, before=before: client.stats.replica.verified >= before + 4)
        rooms = [client.rooms["sector:1"] for client in clients]
        await clients[0].wait_for(lambda _: len({(room.epoch, room.seq) for room in rooms}) == 1)
        assert all(room.state == rooms[0].state and room.sum == rooms[0].sum for room in rooms)
        for client in clients:
            counters = client.stats.replica
            assert counters.mismatches == counters.gaps == counters.unexpected == 0
            assert client.stats.unreadable == 0
    assert fleet.metrics("task_failures") == 0
