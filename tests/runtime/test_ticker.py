"""Ticks: one worker runs them, the fence keeps former owners out, the switches hold for the whole world."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gameserver.rooms.names import CONTROL, GLOBAL
from gameserver.runtime import ticker as module
from gameserver.runtime.node import Node
from gameserver.runtime.replication import LINGER
from tests.runtime.node_rig import HZ, SECTOR, Played, World, tick_on
from tests.runtime.virtual_time import now, passed, until


@pytest.fixture
def played() -> Played:
    return Played()


@pytest.fixture
async def world(played: Played) -> AsyncIterator[World]:
    async with World(played.game) as opened:
        yield opened


def workers_of(world: World, room: str = SECTOR) -> list[str]:
    """Who committed the ticks of the room, each change of worker once."""
    names = [commit.header.worker for commit in world.commits(room) if "counter:1" in commit.parts[0].sets]
    return [name for place, name in enumerate(names) if place == 0 or names[place - 1] != name]


async def test_the_owner_ticks(world: World, played: Played) -> None:
    """At the declared rate, told how much time has passed."""
    await world.start("w1")
    await tick_on(world)
    count, elapsed, began = world.count(), played.elapsed[SECTOR], now()
    await passed(5)
    assert world.count() - count == pytest.approx(5 * HZ, abs=1)
    assert played.elapsed[SECTOR] - elapsed == pytest.approx(now() - began, abs=0.11)


async def test_one_of_two_ticks(world: World) -> None:
    """The other stands by; ticks are not doubled."""
    one, two = await world.start("w1"), await world.start("w2")
    await passed(5)
    assert workers_of(world) == ["w1"]
    assert (one.ticker.owner, two.ticker.owner) == (True, False)
    assert world.count() <= 6 * HZ


async def test_the_world_is_created_once(world: World) -> None:
    """By two workers that start at the same moment; both are ready when it is there."""
    one, two = world.node("w1"), world.node("w2")
    await asyncio.gather(one.start(), two.start())
    assert world.count(GLOBAL, "counter:created") == 1
    assert world.entity(GLOBAL, "world") is not None
    for node in (one, two):
        assert "world" in node.replication.ready(GLOBAL).entities
    await world.close(one)
    await world.close(two)
    await world.start("w3")
    assert world.count(GLOBAL, "counter:created") == 1


async def test_a_second_creation_changes_nothing(world: World) -> None:
    """Though the creator did not know of the first: the commit is compared, and then runs over what is there."""
    one, two = await world.start("w1"), world.node("w2")
    await two.replication.start()
    two.supervisor.keep(two.committer.run, "committer")
    await two.committer.perform(lambda draft: two.ticker._create(draft, 0.0, 0))
    assert world.count(GLOBAL, "counter:created") == 1
    assert one.ticker.owner


async def test_a_closed_owner_hands_over(world: World) -> None:
    """It lets go of the lease; the other ticks at once."""
    one = await world.start("w1")
    await world.start("w2")
    await tick_on(world)
    await world.close(one)
    await tick_on(world, within=1.0)
    assert workers_of(world) == ["w1", "w2"]


async def test_a_killed_owner_is_followed_within_three_seconds(world: World) -> None:
    """Its lease runs out; nobody has to say anything."""
    one = await world.start("w1")
    await world.start("w2")
    await tick_on(world)
    await world.kill(one)
    await tick_on(world, within=3.0)
    assert workers_of(world) == ["w1", "w2"]


async def cut_off(world: World) -> tuple[Node, Node]:
    """An owner whose tick is in flight while its lease runs out, and the worker that follows it."""
    one = await world.start("w1")
    two = await world.start("w2")
    await tick_on(world)
    one.bus.hold_commits()  # type: ignore[attr-defined]
    one.bus.failing.add("acquire")  # type: ignore[attr-defined]
    await until(lambda: two.ticker.owner)
    await tick_on(world)
    return one, two


async def test_a_late_write_of_a_former_owner_is_refused(world: World) -> None:
    """It was on its way when the lease moved: the fence keeps it out."""
    one, two = await cut_off(world)
    assert not one.ticker.owner
    failed = one.ticker.stats.failed
    one.bus.let_commits()  # type: ignore[attr-defined]
    await tick_on(world, 10)
    assert workers_of(world) == ["w1", "w2"]
    assert one.ticker.stats.failed == failed + 1
    assert one.committer.stats.fenced == 1
    one.bus.failing.clear()  # type: ignore[attr-defined]
    await passed(2)
    assert two.ticker.owner
    assert not one.ticker.owner


async def test_without_the_fence_it_gets_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above holds because of the fence, and of nothing else."""
    judge = world.store._judge

    def unfenced(group):  # type: ignore[no-untyped-def]
        group.fence = 0
        return judge(group)

    monkeypatch.setattr(world.store, "_judge", unfenced)
    one, _ = await cut_off(world)
    one.bus.let_commits()  # type: ignore[attr-defined]
    await tick_on(world, 10)
    assert workers_of(world) == ["w1", "w2", "w1", "w2"]


async def test_an_owner_that_lost_the_store_stops(world: World) -> None:
    """By its own clock, before anybody else can have the lease."""
    one = await world.start("w1")
    await tick_on(world)
    one.bus.failing.add("acquire")  # type: ignore[attr-defined]
    await until(lambda: not one.ticker.owner, within=module.LEASE_TTL)
    count = world.count()
    await passed(1)
    assert world.count() <= count + 1
    one.bus.failing.clear()  # type: ignore[attr-defined]
    await tick_on(world, within=1.0)


async def test_who_lost_the_lease_lets_go_of_the_rooms(world: World, played: Played) -> None:
    """Also when several ticks run in one room: nothing is held for ever."""

    @played.game.tick(hz=1, rooms="sector:*")
    def idle(ctx: object, dt: float) -> None:
        """Nothing."""

    one, _ = await cut_off(world)
    one.bus.let_commits()  # type: ignore[attr-defined]
    one.bus.failing.clear()  # type: ignore[attr-defined]
    await passed(LINGER + 10)
    assert not one.replication.follows(SECTOR)


async def test_a_room_that_does_not_load_costs_nobody_the_lease(world: World) -> None:
    """The lease is renewed whatever else the owner has to wait for."""
    one = await world.start("w1")
    await world.start("w2")
    await tick_on(world)
    one.bus.hanging.add("load")  # type: ignore[attr-defined]
    seat = await world.join(world.nodes[1])
    seat.say({"type": "build", "room": "sector:2"})
    count, began = world.count(), now()
    await passed(20)
    assert workers_of(world) == ["w1"]
    assert one.ticker.stats.acquired == 1
    assert world.count() - count == pytest.approx((now() - began) * HZ, abs=2)


async def test_new_rooms_are_found(world: World) -> None:
    """A sector that came to be later ticks as well, within seconds."""
    one = await world.start("w1")
    seat = await world.join(one)
    seat.say({"type": "build", "room": "sector:2"})
    await until(lambda: world.count("sector:2") > 0, within=module.LOOK_FOR_ROOMS + 1)


async def test_rooms_tick_one_after_the_other(world: World) -> None:
    """Within a period, so that no moment carries them all."""
    one = await world.start("w1")
    seat = await world.join(one)
    for number in range(2, 6):
        seat.say({"type": "build", "room": f"sector:{number}"})
    await until(lambda: world.count("sector:5") > 2)
    last = {world.commits(f"sector:{number}")[-1].header.at for number in range(2, 6)}
    assert len(last) == 4


async def test_switches(world: World) -> None:
    """Turned on any worker, obeyed by the owner: pause, resume, stop, start."""
    await world.start("w1")
    other = (await world.start("w2")).ticker
    await tick_on(world)
    for halt, go in ((other.pause, other.resume), (other.stop, other.start)):
        await halt()
        await passed(0.3)
        count = world.count()
        await passed(5)
        assert world.count() == count
        await go()
        await tick_on(world, within=1.0)
    ticking = world.entity(CONTROL, "ticking")
    assert ticking is not None
    assert (ticking["running"], ticking["paused"]) == (True, False)


async def test_a_halted_world_does_not_age(world: World, played: Played) -> None:
    """The time it stood still is told to no tick."""
    one = await world.start("w1")
    await tick_on(world)
    began, elapsed = now(), played.elapsed[SECTOR]
    await one.ticker.pause()
    await passed(30)
    await one.ticker.resume()
    await passed(2)
    assert played.elapsed[SECTOR] - elapsed == pytest.approx(now() - began - 30, abs=0.4)


@pytest.mark.parametrize("rate", [0.5, 3.0])
async def test_the_rate(world: World, played: Played, rate: float) -> None:
    """So many times the declared frequency, and as much more or less game time."""
    one = await world.start("w1")
    await tick_on(world)
    await one.ticker.set_rate(rate)
    await passed(0.5)
    count, elapsed = world.count(), played.elapsed[SECTOR]
    await passed(4)
    assert world.count() - count == pytest.approx(4 * HZ * rate, abs=2)
    assert played.elapsed[SECTOR] - elapsed == pytest.approx(4 * rate, abs=0.4)


@pytest.mark.parametrize("rate", [0, -1, 20.5, float("nan")])
async def test_a_rate_that_makes_no_sense(world: World, rate: float) -> None:
    """Refused before anything is committed."""
    one = await world.start("w1")
    with pytest.raises(ValueError, match="rate"):
        await one.ticker.set_rate(rate)


async def test_a_commit_that_takes_long(world: World, played: Played) -> None:
    """No second tick is begun in the room; the next is told of all the time."""
    one = await world.start("w1")
    await tick_on(world)
    began, elapsed = now(), played.elapsed[SECTOR]
    one.bus.hold_commits()  # type: ignore[attr-defined]
    await passed(0.5)
    assert one.ticker.stats.skipped >= 3
    one.bus.let_commits()  # type: ignore[attr-defined]
    await passed(1)
    assert played.elapsed[SECTOR] - elapsed == pytest.approx(now() - began, abs=0.2)


async def test_a_tick_that_fails(world: World, played: Played) -> None:
    """It is counted and comes again; the worker goes on."""
    one = await world.start("w1")
    await tick_on(world)
    played.failing = True
    await passed(1)
    assert one.ticker.stats.failed == pytest.approx(HZ, abs=1)
    played.failing = False
    await tick_on(world)
