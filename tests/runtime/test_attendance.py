"""Presence: devices, the grace period, coming back, and what becomes of the sessions of a worker that died."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gameserver.attendance import depart, remove
from gameserver.protocol.codes import Close
from gameserver.rooms.names import CONTROL, private_room, worker_room
from gameserver.runtime.attendance import SILENT_AFTER, Attendance
from gameserver.runtime.node import Node
from tests.runtime.node_rig import GRACE, SECTOR, Played, Seat, World
from tests.runtime.virtual_time import passed, until


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(Played().game) as opened:
        yield opened


@pytest.fixture
async def node(world: World) -> Node:
    return await world.start("w1")


def hooks(world: World, player: str = "ada") -> tuple[int, int, int]:
    """How often the player joined first, entered and left."""
    me = world.entity(private_room(player), "me")
    assert me is not None
    return me["joined"], me["entered"], me["left"]


def resume_token(seat: Seat) -> str:
    """What its welcome gave it."""
    for frame in seat.channel.written:
        message = seat.session.member.codec.decode(_payload(frame))
        if message["type"] == "welcome":
            return str(message["resume_token"])
    raise AssertionError("there was no welcome")


def _payload(frame: bytes) -> bytes:
    return frame[frame.index(b"{") :]


def nothing_left(world: World, player: str = "ada") -> bool:
    """Neither presence nor session of the player is anywhere."""
    states = [world.state(room) for room in world.store.rooms()]
    return (
        not world.sessions(player)
        and not any(f"player:{player}" in state for state in states)
        and not any(fields.get("player") == player for state in states for fields in state.values())
    )


async def test_devices(world: World, node: Node) -> None:
    """One presence for all devices of a player; it counts them."""
    one = await world.join(node)
    presence = world.presence()
    assert presence is not None
    assert (presence["name"], presence["status"], presence["devices"]) == ("Ada", "online", 1)
    two = await world.join(node)
    assert world.devices() == 2
    assert len(world.sessions()) == 2
    await one.drop()
    assert world.devices() == 1
    await two.drop()
    assert world.devices() == 0
    await passed(GRACE + 1)
    assert nothing_left(world)
    assert hooks(world) == (1, 1, 1)


async def test_team_rooms(world: World, node: Node) -> None:
    """Present in the team's room as in the sector, and nowhere else."""
    seat = await world.join(node, team="red")
    for room in (SECTOR, "team:red"):
        presence = world.presence(room=room)
        assert presence is not None
        assert (presence["team"], presence["devices"]) == ("red", 1)
    assert world.presence(room="global") is None
    await seat.drop()
    await passed(GRACE + 1)
    assert nothing_left(world)


async def test_the_grace_period(world: World, node: Node) -> None:
    """Until it is over the presence stays, with no device; not a moment shorter."""
    seat = await world.join(node)
    await seat.drop()
    await passed(GRACE - 0.5)
    assert world.devices() == 0
    assert hooks(world) == (1, 1, 0)
    await passed(1)
    assert nothing_left(world)
    assert hooks(world) == (1, 1, 1)


async def test_back_within_grace(world: World, node: Node) -> None:
    """A new connection of the player is a new session; the presence was there all the time, and no hook runs."""
    first = await world.join(node)
    await first.drop()
    await passed(GRACE / 2)
    second = await world.join(node)
    assert world.devices() == 1
    await passed(2 * GRACE)
    assert world.devices() == 1
    assert len(world.sessions()) == 1
    assert hooks(world) == (1, 1, 0)
    await second.drop()
    await passed(GRACE + 1)
    assert nothing_left(world)
    assert hooks(world) == (1, 1, 1)


async def test_back_after_grace(world: World, node: Node) -> None:
    """They enter again where they were, and join for the first time only once."""
    first = await world.join(node)
    first.say({"type": "go", "to": "sector:2"})
    await until(lambda: world.presence(room="sector:2"))
    assert world.presence() is None
    await first.drop()
    await passed(GRACE + 1)
    second = await world.join(node)
    assert world.presence(room="sector:2") is not None
    assert second.session.sector == "sector:2"
    assert hooks(world) == (1, 2, 1)


async def test_leaving_and_coming_at_the_same_moment(world: World, node: Node) -> None:
    """The grace period ends while a new connection arrives: whichever is first, the player is there in the end."""
    for delay in (-0.01, 0.0, 0.01):
        player = f"ada{delay}"
        seat = await world.join(node, player)
        await seat.drop()
        await passed(GRACE + delay)
        await world.join(node, player)
        await passed(1)
        assert world.devices(player) == 1
        joined, entered, left = hooks(world, player)
        assert joined == 1
        assert entered == left + 1


async def test_resumed(world: World, node: Node) -> None:
    """With its token, on another worker: the same session, the former connection counts no more."""
    other = await world.start("w2")
    first = await world.join(node)
    token = resume_token(first)
    session = next(iter(world.sessions()))
    await first.drop()
    await passed(GRACE / 2)
    second = await resume(world, other, token)
    assert second.session.id == session.partition(":")[2]
    (record,) = world.sessions().values()
    assert (record["worker"], record["link"], record["left"]) == ("w2", 2, 0)
    assert world.devices() == 1
    await passed(2 * GRACE)
    assert world.devices() == 1
    assert session not in world.state(worker_room("w1"))
    assert session in world.state(worker_room("w2"))
    assert hooks(world) == (1, 1, 0)


async def resume(world: World, node: Node, token: str) -> Seat:
    """Join with a resume token and a hello that names no positions."""
    original = node.admit

    def admitting(*arguments: Any) -> Any:
        session = original(*arguments, token)
        session.receive(b'{"type":"hello","rooms":{}}', True)
        return session

    node.admit = admitting  # type: ignore[method-assign]
    try:
        return await world.join(node)
    finally:
        node.admit = original  # type: ignore[method-assign]


async def test_resumed_while_the_old_connection_still_stands(world: World, node: Node) -> None:
    """The old worker learns it from the store and closes it as replaced; its departure takes nothing away."""
    other = await world.start("w2")
    first = await world.join(node)
    second = await resume(world, other, resume_token(first))
    await until(lambda: first.closed)
    assert first.closed == Close.REPLACED
    await first.drop()
    await passed(2 * GRACE)
    assert world.devices() == 1
    assert second.closed is None
    assert len(world.sessions()) == 1


async def test_a_foreign_resume_token(world: World, node: Node) -> None:
    """Another player's or an invented one gives a session of one's own; the other's is untouched."""
    first = await world.join(node, "bob")
    second = await resume(world, node, resume_token(first))
    third = await resume(world, node, "invented")
    assert len({seat.session.id for seat in (first, second, third)}) == 3
    assert first.closed is None
    assert (world.devices("bob"), world.devices("ada")) == (1, 2)


async def test_a_killed_worker(world: World, node: Node) -> None:
    """Whoever holds the lease ends its sessions when it was silent for a while; after the grace period they go."""
    other = await world.start("w2")
    stays = await world.join(other, "bob")
    await world.join(node)
    await world.join(node)
    await world.join(node, "eve", team="red")
    await world.kill(node)
    await passed(SILENT_AFTER - 1)
    assert world.devices() == 2
    await until(lambda: world.devices() == 0 and world.devices("eve") == 0, within=5)
    assert hooks(world) == (1, 1, 0)
    await until(lambda: nothing_left(world) and nothing_left(world, "eve"), within=GRACE + 5)
    assert hooks(world) == hooks(world, "eve") == (1, 1, 1)
    await passed(5)
    assert "worker:w1" not in world.state(CONTROL)
    assert world.state(worker_room("w1")) == {}
    assert (stays.closed, world.devices("bob")) == (None, 1)
    assert hooks(world, "bob") == (1, 1, 0)


async def test_without_the_sweep_they_haunt_the_world(
    world: World, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above holds because of the sweep, and of nothing else."""

    async def nothing(self: Attendance, entity: str) -> None: ...

    monkeypatch.setattr(Attendance, "_sweep_worker", nothing)
    await world.start("w2")
    await world.join(node)
    await world.kill(node)
    await passed(10 * GRACE)
    assert world.devices() == 1


async def test_resumed_after_the_worker_was_killed(world: World, node: Node) -> None:
    """Before or after the sweep noticed: the session goes on, and nothing of the dead worker takes it away."""
    other = await world.start("w2")
    early, late = await world.join(node), await world.join(node)
    tokens = [resume_token(seat) for seat in (early, late)]
    await world.kill(node)
    await passed(1)
    await resume(world, other, tokens[0])
    await until(lambda: world.devices() == 1, within=15)
    await resume(world, other, tokens[1])
    assert world.devices() == 2
    await passed(3 * GRACE)
    assert world.devices() == 2
    assert hooks(world) == (1, 1, 0)
    assert len(world.sessions()) == 2


async def test_a_closed_worker(world: World, node: Node) -> None:
    """It says goodbye, and another worker ends the grace period for it."""
    await world.start("w2")
    seat = await world.join(node)
    await world.close(node)
    assert seat.closed == Close.RESTART
    assert world.devices() == 0
    assert hooks(world) == (1, 1, 0)
    await until(lambda: nothing_left(world), within=GRACE + 5)
    assert hooks(world) == (1, 1, 1)


async def test_the_sweeper_dies_too(world: World, node: Node) -> None:
    """All it goes by is state: the next owner of the lease goes on."""
    sweeper = await world.start("w2")
    await world.join(node)
    await world.kill(node)
    await until(lambda: sweeper.ticker.owner)
    await until(lambda: world.devices() == 0, within=15)
    await world.start("w3")
    await world.kill(sweeper)
    await until(lambda: nothing_left(world), within=2 * GRACE)
    assert hooks(world) == (1, 1, 1)


async def test_a_worker_that_was_only_cut_off(world: World, node: Node) -> None:
    """Its sessions were ended by another worker: when it is back it closes them with a hint to come again."""
    await world.start("w2")
    seat = await world.join(node)
    node.bus.go_down()  # type: ignore[attr-defined]
    await until(lambda: world.devices() == 0, within=20)
    assert seat.closed is None
    node.bus.come_back()  # type: ignore[attr-defined]
    await until(lambda: seat.closed, within=5)
    assert seat.closed == Close.RESTART
    await seat.drop()
    await until(lambda: nothing_left(world), within=GRACE + 15)
    assert hooks(world) == (1, 1, 1)


async def test_logout(world: World, node: Node) -> None:
    """Ends every session of the token, on every worker, at once and without a grace period; other tokens live on."""
    other = await world.start("w2")
    here = await world.join(node, token="t1")
    there = await world.join(other, token="t1")
    apart = await world.join(other, token="t2")
    here.say({"type": "logout"})
    await until(lambda: here.closed and there.closed)
    assert (here.closed, there.closed, apart.closed) == (Close.LOGGED_OUT, Close.LOGGED_OUT, None)
    for seat in (here, there):
        await seat.drop()
    await passed(1)
    assert world.devices() == 1
    assert len(world.sessions()) == 1
    apart.say({"type": "logout"})
    await until(lambda: apart.closed)
    await apart.drop()
    await passed(1)
    assert nothing_left(world)
    assert hooks(world) == (1, 1, 1)


async def test_logged_out_is_not_resumed(world: World, node: Node) -> None:
    """Its resume token is worth nothing any more."""
    first = await world.join(node, token="t1")
    token = resume_token(first)
    first.say({"type": "logout"})
    await until(lambda: first.closed)
    await first.drop()
    second = await resume(world, node, token)
    assert second.session.id != first.session.id
    assert world.devices() == 1


async def test_departures_while_the_store_is_away(world: World, node: Node) -> None:
    """They are committed when it is back; nobody stays behind."""
    seat = await world.join(node)
    node.bus.go_down()  # type: ignore[attr-defined]
    dropping = asyncio.ensure_future(seat.drop())
    await passed(8)
    node.bus.come_back()  # type: ignore[attr-defined]
    await dropping
    await until(lambda: world.devices() == 0, within=10)
    await until(lambda: nothing_left(world), within=GRACE + 10)
    assert hooks(world) == (1, 1, 1)


async def test_arriving_twice_and_leaving_twice(world: World, node: Node) -> None:
    """A departure that is committed again changes nothing more; hooks run exactly once."""
    seat = await world.join(node)
    attendee = node.attendee(seat.session)
    await seat.drop()
    for _ in range(2):
        await node.committer.perform(lambda draft: depart(draft, attendee, 5.0))
    assert world.devices() == 0
    for _ in range(2):
        await node.committer.perform(lambda draft: remove(world.game, draft, attendee, 5.0, 1))
    await passed(GRACE + 1)
    assert nothing_left(world)
    assert hooks(world) == (1, 1, 1)
