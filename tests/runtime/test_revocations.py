"""Logged-out tokens: known to every worker, kept until they have expired, and no longer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gameserver.protocol.codec import JSON
from gameserver.protocol.codes import Close
from gameserver.rooms.names import CONTROL
from gameserver.runtime.node import Node
from gameserver.runtime.revocations import MARGIN, revoked_id
from gameserver.sessions.claims import Claims, Role
from tests.runtime.node_rig import PlayChannel, Played, Seat, World
from tests.runtime.one_worker import START_MS
from tests.runtime.virtual_time import until

LIFETIME = 30.0


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(Played().game) as opened:
        yield opened


def claims(token: str = "t1", role: Role = "player") -> Claims:
    return Claims("ada", "Ada", role, None, START_MS / 1000 + LIFETIME, token, issuer="here")


async def enter(node: Node, of: Claims) -> Seat:
    channel = PlayChannel()
    session = node.admit(of, channel, JSON, "here")
    await node.receive(session)
    return Seat(node, session, channel)


async def log_out(node: Node, of: Claims) -> None:
    seat = await enter(node, of)
    seat.say({"type": "logout"})
    await until(lambda: seat.closed == Close.LOGGED_OUT)
    await seat.drop()


@pytest.mark.parametrize("role", ["player", "admin", "service"])
async def test_known_to_every_worker(world: World, role: Role) -> None:
    """[SES6] Those that run and those that start later; other tokens of the player are none of its business."""
    one, two = await world.start("w1"), await world.start("w2")
    await log_out(one, claims(role=role))
    await until(lambda: one.revocations.covers(claims(role=role)) and two.revocations.covers(claims(role=role)))
    three = await world.start("w3")
    assert three.revocations.covers(claims(role=role))
    assert not three.revocations.covers(claims("t2", role))
    assert not three.revocations.covers(claims("", role))


async def test_admitted_before_the_news(world: World) -> None:
    """[SES6] Whoever's handshake was decided a moment too early is not welcomed."""
    node = await world.start("w1")
    await log_out(node, claims())
    late = await enter(node, claims())
    assert late.closed == Close.LOGGED_OUT
    assert not late.channel.written or b"welcome" not in b"".join(late.channel.written)
    await late.drop()
    assert not world.sessions()


async def test_connections_without_a_session_in_the_store(world: World) -> None:
    """[SES5] An admin's connections on other workers are closed as well."""
    one, two = await world.start("w1"), await world.start("w2")
    there = await enter(two, claims(role="admin"))
    await log_out(one, claims(role="admin"))
    await until(lambda: there.closed == Close.LOGGED_OUT)
    await there.drop()


async def test_forgotten_when_the_token_has_expired(world: World) -> None:
    """It takes room in the store for no longer than it is of use."""
    node = await world.start("w1")
    await log_out(node, claims())
    assert world.entity(CONTROL, revoked_id(claims())) is not None
    await until(lambda: world.entity(CONTROL, revoked_id(claims())) is None, within=LIFETIME + MARGIN + 10)
    await until(lambda: not node.revocations.covers(claims()))
