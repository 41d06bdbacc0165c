"""The client over a real socket, against a server that says what the test wants."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from client_fake_server import EPOCH, HOME, QUICK, FakeServer, Make, acknowledge, both, delta, snapshot, verify, welcome

from gameserver.client import (
    Client,
    ClientClosed,
    CommandRejected,
    CommandTimeout,
    Connected,
    ConnectionLost,
    Disconnected,
    ErrorReceived,
    EventReceived,
    QualityChanged,
    RequestRefused,
    RoomChanged,
    SignalReceived,
    TooManyCommands,
    Verified,
)
from gameserver.client.link import MOST_SILENT_BEATS
from gameserver.state.checksum import room_sum
from gameserver.state.position import Position


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_the_server_speaks_first(server: FakeServer, client: Make, encoding: str) -> None:
    """Welcome and one snapshot per room come without a word of the client [HS2] [HS5] [HS10]."""
    one, peer = await both(server, client, encoding=encoding)
    assert peer.socket.subprotocol == f"gameserver.v1.{encoding}"
    assert "bearer.token" in peer.offers
    assert not any(offer.startswith("resume.") for offer in peer.offers)
    assert (one.connected, one.player, one.welcome["worker"]) == (True, "ann", "w1")
    assert set(one.rooms) == set(HOME)
    assert one.rooms["sector:1"].position == Position(EPOCH, 10)
    assert one.rooms["sector:1"].sum == room_sum({"ship:a": {"x": 1}})
    await peer.send(delta("sector:1", 10, 11, set={"ship:a": {"x": 2.5}}))
    await one.wait_for(lambda c: c.rooms["sector:1"].seq == 11, timeout=5)
    found = one.room("sector:*")
    assert found is not None
    assert found.state == {"ship:a": {"x": 2.5}}


async def test_the_token_may_go_in_a_header(server: FakeServer, client: Make) -> None:
    """A client that can set headers needs no subprotocol for the token [HS4]."""
    client(token_in="header", origin="http://127.0.0.1")
    peer = await server.peer()
    assert peer.socket.request.headers["Authorization"] == "Bearer token"
    assert peer.socket.request.headers["Origin"] == "http://127.0.0.1"
    assert peer.offers == ["gameserver.v1.json"]


async def test_ready_waits_for_the_rooms_named(server: FakeServer, client: Make) -> None:
    """Not before every one of them is held [HS10]."""
    one = client()
    peer = await server.peer()
    await peer.welcome("global")
    await one.ready("global", timeout=5)
    with pytest.raises(TimeoutError):
        await one.ready("global", "sector:*", timeout=0.05)
    await peer.send(snapshot("sector:9"))
    await one.ready("global", "sector:*", timeout=5)


async def test_connect_and_context_wait_for_welcome(server: FakeServer) -> None:
    """Both give a client that has been welcomed, and the context closes it with 1000 [CLOSE1]."""

    async def serve() -> int | None:
        peer = await server.peer()
        await peer.welcome(*HOME)
        return await peer.gone()

    serving = asyncio.create_task(serve())
    one = await Client.connect(server.url, "token", tuning=QUICK)
    assert one.connected
    await one.close()
    assert await serving == 1000
    serving = asyncio.create_task(serve())
    async with Client(server.url, "token", tuning=QUICK) as one:
        assert one.connected
    assert await serving == 1000
    assert (await one.closed).code == 1000
    assert not one.connected


async def test_commands_are_acknowledged_each_by_its_id(server: FakeServer, client: Make) -> None:
    """Ids are the client's own and unique; answers may come in any order [CMD1] [CMD4] [CMD5]."""
    one, peer = await both(server, client)
    moving = asyncio.create_task(one.command("move", to="sector:8"))
    buying = asyncio.create_task(one.command("buy", {"timeout": 3}, amount=2, id=7))
    move, buy = await peer.next(), await peer.next()
    assert move == {"type": "move", "to": "sector:8", "id": move["id"]}
    assert buy == {"type": "buy", "timeout": 3, "amount": 2, "id": 7}
    await peer.send({**acknowledge(buy), "seq": {"sector:1": 12}}, acknowledge(move))
    ack = await buying
    assert (ack.id, ack.seq) == (7, {"sector:1": 12})
    assert (await moving).seq == {}
    await peer.send(delta("sector:1", 10, 12))
    await one.reached(ack.seq, timeout=5)
    assert one.stats.acknowledged == 2
    assert len(one._session.pending) == 0


async def test_a_rejected_command_raises_what_the_server_said(server: FakeServer, client: Make) -> None:
    """Code, message, wait and details are the server's [MSG4] [ERR1] [ERR2]."""
    one, peer = await both(server, client)
    buying = asyncio.create_task(one.command("buy", amount=2))
    asked = await peer.next("buy")
    error = {"code": "out_of_stock", "message": "too few", "retry_after": 2, "have": 1}
    await peer.send({"type": "command_ack", "id": asked["id"], "ok": False, "error": error})
    with pytest.raises(CommandRejected, match="out_of_stock: too few") as caught:
        await buying
    assert (caught.value.code, caught.value.retry_after, caught.value.details) == ("out_of_stock", 2, {"have": 1})
    buying = asyncio.create_task(one.command("buy", amount=2))
    asked = await peer.next("buy")
    await peer.send({"type": "error", "id": asked["id"], "code": "unavailable", "message": "away"})
    with pytest.raises(CommandRejected, match="unavailable"):
        await buying


async def test_a_command_has_a_deadline_and_a_late_answer_is_counted(server: FakeServer, client: Make) -> None:
    """Nothing waits for ever, and nothing of it stays behind."""
    one, peer = await both(server, client)
    with pytest.raises(CommandTimeout, match="no answer to buy"):
        await one.command("buy", timeout=0.05)
    await peer.send(acknowledge(await peer.next("buy")))
    await one.wait_for(lambda c: c.stats.late_answers == 1, timeout=5)
    assert len(one._session.pending) == 0


async def test_commands_under_way_are_bounded(server: FakeServer, client: Make) -> None:
    """There is a limit to what waits; reserved names and ids that wait already are refused [CMD2] [CMD3]."""
    one, peer = await both(server, client, tuning=replace(QUICK, most_pending=2))
    waiting = asyncio.create_task(one.command("buy", id="7"))
    await peer.next("buy")
    with pytest.raises(ValueError, match="waits for its answer"):
        await one.command("buy", id="7")
    another = asyncio.create_task(one.command("buy", id=7))
    await peer.next("buy")
    with pytest.raises(TooManyCommands):
        await one.command("buy")
    with pytest.raises(ValueError, match="no command's name"):
        await one.command("resync", room="global")
    waiting.cancel()
    another.cancel()


async def test_a_mismatch_heals_itself(server: FakeServer, client: Make) -> None:
    """A wrong sum asks for a snapshot, and the next verify is right [VER2] [VER4]."""
    one, peer = await both(server, client)
    verified = one.events(Verified)
    await peer.send(verify("sector:1", 10, 1))
    assert await peer.next() == {"type": "resync", "room": "sector:1"}
    truth = {"ship:b": {"x": 2}}
    await peer.send(snapshot("sector:1", 12, truth), verify("sector:1", 12, room_sum(truth)))
    assert await verified.next(5) == Verified("sector:1", False, 10)
    assert await verified.next(5) == Verified("sector:1", True, 12)
    assert one.rooms["sector:1"].state == truth
    assert (one.stats.replica.mismatches, one.stats.resyncs_asked) == (1, 1)


async def test_a_copy_that_stays_wrong_is_asked_for_with_growing_pauses(server: FakeServer, client: Make) -> None:
    """Resync cannot loop hot: four asks take the pauses between them at least [VER2]."""
    one, peer = await both(server, client)
    clock = asyncio.get_running_loop().time
    asked = []
    for seq in range(11, 15):
        await peer.send(verify("sector:1", seq - 1, 1))
        await peer.next("resync")
        asked.append(clock())
        await peer.send(snapshot("sector:1", seq))
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses[0] >= QUICK.resync_pause * 0.8
    assert pauses[2] >= QUICK.resync_pause * 4 * 0.8
    assert one.stats.replica.mismatches == 4


async def test_a_resync_without_an_answer_is_asked_again(server: FakeServer, client: Make) -> None:
    """A gap stays in doubt until a snapshot came, however often that takes [DEL6]."""
    _, peer = await both(server, client)
    await peer.send(delta("sector:1", 11, 12))
    assert (await peer.next())["type"] == "resync"
    assert (await peer.next())["type"] == "resync"


async def test_events_reach_streams_and_the_callback(server: FakeServer, client: Make) -> None:
    """Both see the same, in order, and a callback that fails does no harm [EVT1]."""
    seen: list[Any] = []

    def callback(event: Any) -> None:
        seen.append(event)
        raise RuntimeError("a bug of the game's")

    one, peer = await both(server, client, on_event=callback)
    stream = one.events(RoomChanged, EventReceived, SignalReceived, QualityChanged)
    event = {"name": "chat", "data": {"text": "hi"}, "from": "bob", "seq": 11, "index": 0, "at": 5, "priority": "chat"}
    await peer.send(
        delta("sector:1", 10, 11, set={"ship:a": {"x": 2}}, events=[event]),
        {"type": "signal", "room": "sector:1", "key": "pose", "data": {"$bin": "AP8="}},
        {"type": "quality", "tier": "low", "reason": "rtt"},
        {"type": "from the future"},
    )
    told = [await stream.next(5) for _ in range(4)]
    assert told[0] == RoomChanged("sector:1", (), {"ship:a": {"x": 2}}, False)
    assert isinstance(told[1], EventReceived)
    assert (told[1].event.name, told[1].event.sender, told[1].event.data) == ("chat", "bob", {"text": "hi"})
    assert told[2] == SignalReceived("sector:1", "pose", b"\x00\xff", None)
    assert told[3] == QualityChanged("low", "rtt")
    assert one.tier == "low"
    assert seen[-4:] == told
    assert one.stats.failed_callbacks == len(seen)
    await one.wait_for(lambda c: c.stats.unknown == 1, timeout=5)
    await one.close()
    assert [each async for each in stream] == []


async def test_a_stream_that_nobody_reads_is_bounded(server: FakeServer, client: Make) -> None:
    """The oldest are given up, and how many is seen."""
    one, peer = await both(server, client)
    stream = one.events(SignalReceived, size=2)
    await peer.send(*({"type": "signal", "room": "global", "key": "k", "data": n} for n in range(5)))
    await one.wait_for(lambda c: c.stats.replica.signals == 5, timeout=5)
    assert (stream.dropped, one.stats.dropped_events) == (3, 3)
    assert [(await stream.next(1)).data for _ in range(2)] == [3, 4]  # type: ignore[union-attr]


async def test_requests_are_answered_or_refused(server: FakeServer, client: Make) -> None:
    """Subscribe, resync, refresh, unsubscribe: each waits for its answer [SUB1] [SUB4] [SES3] [VER4]."""
    one, peer = await both(server, client)
    subscribing = asyncio.create_task(one.subscribe("control", entities=["worker:*"], fields=["load"]))
    assert await peer.next() == {
        "type": "subscribe",
        "room": "control",
        "entities": ["worker:*"],
        "fields": ["load"],
    }
    await peer.send(snapshot("control", 3))
    assert (await subscribing).seq == 3
    forbidden = asyncio.create_task(one.subscribe("sector:2"))
    await peer.next("subscribe")
    await peer.send({"type": "error", "code": "forbidden", "message": "no"})
    with pytest.raises(RequestRefused, match="forbidden"):
        await forbidden
    refreshing = asyncio.create_task(one.refresh("newer"))
    assert await peer.next() == {"type": "refresh", "token": "newer"}
    await peer.send({"type": "refreshed", "exp": 99})
    assert await refreshing == 99
    resyncing = asyncio.create_task(one.resync("control"))
    await peer.next("resync")
    await peer.send(snapshot("control", 4))
    assert (await resyncing).seq == 4
    leaving = asyncio.create_task(one.unsubscribe("control"))
    await peer.next("unsubscribe")
    await peer.send({"type": "left", "room": "control", "reason": "unsubscribed"})
    await leaving
    assert "control" not in one.rooms
    with pytest.raises(TimeoutError):
        await one.resync("global", timeout=0.05)


async def test_what_nobody_waits_for_comes_as_an_event(server: FakeServer, client: Make) -> None:
    """Publish and quality are not answered; a refusal is told all the same [SIG3] [QUAL3]."""
    one, peer = await both(server, client)
    refusals = one.events(ErrorReceived)
    await one.publish("sector:1", "pose", b"\x01")
    assert await peer.next() == {"type": "publish", "room": "sector:1", "key": "pose", "data": {"$bin": "AQ=="}}
    await peer.send({"type": "error", "code": "forbidden", "message": "no", "retry_after": 1})
    assert await refusals.next(5) == ErrorReceived("forbidden", "no", 1.0)
    await one.quality("low", "battery")
    assert await peer.next() == {"type": "quality", "tier": "low", "reason": "battery"}


async def test_ping_gives_the_round_trip(server: FakeServer, client: Make) -> None:
    """The pong carries the ping's own mark."""
    one, peer = await both(server, client)
    pinging = asyncio.create_task(one.ping())
    asked = await peer.next("ping")
    await peer.send({"type": "pong", "at": asked["at"], "now": 1})
    assert 0 < await pinging < 5
    assert one.stats.rtt is not None


async def test_an_idle_client_is_heard_within_the_heartbeat(server: FakeServer, client: Make) -> None:
    """Pings go out by themselves, more often than the heartbeat asks [LIVE1]."""
    client()
    peer = await server.peer()
    await peer.welcome(*HOME, heartbeat=0.3)
    clock = asyncio.get_running_loop().time
    last = clock()
    for _ in range(3):
        asked = await peer.next("ping")
        await peer.send({"type": "pong", "at": asked["at"], "now": 1})
        assert clock() - last < 0.3
        last = clock()


async def test_a_server_that_answers_is_not_given_up(server: FakeServer, client: Make) -> None:
    """Pongs alone keep a quiet line, for longer than a silent one is kept [LIVE1]."""
    client()
    peer = await server.peer()
    await peer.welcome(*HOME, heartbeat=0.06)
    for _ in range(2 * MOST_SILENT_BEATS):
        asked = await peer.next("ping")
        await peer.send({"type": "pong", "at": asked["at"], "now": 1})
    assert server.handshakes == 1


async def test_a_silent_server_is_given_up(server: FakeServer, client: Make) -> None:
    """A line on which nothing comes back any more is cut and made again [LIVE1]."""
    one = client()
    gone = one.events(Disconnected)
    peer = await server.peer()
    await peer.welcome(*HOME, heartbeat=0.06)
    again = await server.peer()
    assert "resume.r1" in again.offers
    told = await gone.next(5)
    assert isinstance(told, Disconnected)
    assert told.code == 1006


async def test_logout_ends_the_client(server: FakeServer, client: Make) -> None:
    """The server closes with 4410, and nothing is tried again [SES5]."""
    one, peer = await both(server, client)
    leaving = asyncio.create_task(one.logout())
    await peer.next("logout")
    await peer.close(4410, "logged out")
    assert (await leaving).code == 4410
    with pytest.raises(ClientClosed):
        await one.command("move", to="sector:2")
    with pytest.raises(ClientClosed):
        await one.wait_for(lambda c: c.connected)
    assert server.handshakes == 1


async def test_unreadable_messages_break_the_line_and_are_counted(server: FakeServer, client: Make) -> None:
    """What cannot be read is not passed over: a new connection starts from known positions."""
    one, peer = await both(server, client)
    await peer.socket.send("not json")
    again = await server.peer()
    assert one.stats.unreadable == 1
    assert (await again.next("hello"))["rooms"]["sector:1"] == [EPOCH, 10]
    await again.send(welcome(recovered=dict.fromkeys(HOME, True)))
    await one.ready(timeout=5)
    await again.send({"type": "delta", "room": "sector:1", "prev": 10, "seq": 11, "set": {"ship:a": 5}})
    third = await server.peer()
    await third.next("hello")
    await third.send(welcome(recovered=dict.fromkeys(HOME, True)))
    assert await third.next("resync") == {"type": "resync", "room": "sector:1"}


async def test_closing_ends_everything_that_waits(server: FakeServer, client: Make) -> None:
    """No call is left hanging, no task running."""
    one, peer = await both(server, client)
    waiting = [
        asyncio.create_task(one.command("buy", retry=True)),
        asyncio.create_task(one.wait_for(lambda c: False)),
        asyncio.create_task(one.ping()),
        asyncio.create_task(one.subscribe("sector:2")),
    ]
    assert {(await peer.next())["type"] for _ in range(3)} == {"buy", "ping", "subscribe"}
    await one.close()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(end, ClientClosed | ConnectionLost) for end in ends] == [True] * 4
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert "gameserver client" not in names


async def test_disconnections_are_told(server: FakeServer, client: Make) -> None:
    """Connected and Disconnected come as events, with what comes next [CLOSE1]."""
    one = client()
    line = one.events(Connected, Disconnected)
    peer = await server.peer()
    await peer.welcome(*HOME)
    assert await line.next(5) == Connected("s1", "w1", None)
    await peer.close(1011)
    gone = await line.next(5)
    assert isinstance(gone, Disconnected)
    assert gone.code == 1011
    assert gone.delay is not None
    assert gone.delay <= QUICK.backoff_cap
