"""What any client meets that knows docs/protocol.md and a WebSocket library, and nothing of this project's code."""

from __future__ import annotations

import asyncio

import pytest
from websockets.exceptions import InvalidStatus

from e2e_tests.conftest import StartFleet
from e2e_tests.plain import JSON, MSGPACK, plain, playing
from e2e_tests.store import Store, checksum
from e2e_tests.workers import Fleet, token

ORIGIN = "https://play.example"
VERIFY_S = 0.5


@pytest.fixture(scope="module")
def fleet(start_fleet: StartFleet) -> Fleet:
    return start_fleet(2, origins=ORIGIN, verify_s=VERIFY_S)


@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
async def test_the_server_speaks_first(fleet: Fleet, encoding: str) -> None:
    """`welcome`, then a snapshot of each home room, with no message needed; the encoding is selected and the token is
    not echoed ([HS2], [HS5], [HS10], [ROOM3], [SNAP2])."""
    async with plain(fleet[0].url(), token("ada", team="red"), "unknown.v9", encoding) as client:
        assert client.socket.subprotocol == encoding
        welcome = await client.read()
        assert welcome["type"] == "welcome"
        assert welcome["player"] == "ada"
        assert {"session", "resume_token", "worker", "now", "heartbeat", "limits", "commands", "schema"} <= set(welcome)
        assert {"move", "steer", "buy", "sell", "attack", "status", "chat"} == set(welcome["commands"])
        assert "recovered" not in welcome
        snapshots = [await client.read() for _ in range(4)]
        assert [message["type"] for message in snapshots] == ["snapshot"] * 4
        assert set(client.rooms) == {"global", "private:ada", "team:red", "sector:1"}
        assert client.rooms["sector:1"].state["player:ada"] == {
            "name": "ada", "status": "online", "devices": 1, "team": "red"
        }  # fmt: skip


async def test_without_an_offer_json_is_spoken(fleet: Fleet) -> None:
    """A client that sets headers needs no subprotocol ([HS3], [HS4], [HS9])."""
    async with plain(fleet[0].url(), headers={"Authorization": f"Bearer {token('bob')}"}) as client:
        assert client.socket.subprotocol is None
        assert (await client.read())["type"] == "welcome"


async def refused(url: str, *offers: str, bearer: str | None = None, origin: str | None = None) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        async with plain(url, bearer, *offers, origin=origin):
            pass
    return refusal.value.response.status_code


async def test_refused_handshakes(fleet: Fleet) -> None:
    """Each fault has its status ([HS1], [HS3], [HS6], [HS7], [TOK4])."""
    worker, good = fleet[0], token("carl")
    assert await refused(worker.url(), JSON) == 401
    assert await refused(worker.url(), JSON, bearer="not.a.token") == 401
    assert await refused(worker.url(), JSON, bearer=token("carl", exp=1)) == 401
    assert await refused(worker.url(), JSON, bearer=token("carl", aud="somebody else")) == 401
    assert await refused(worker.url(f"/ws?token={good}"), JSON) == 401
    assert await refused(worker.url(f"/ws?token={good}"), JSON, bearer=good) == 401
    assert await refused(worker.url("/ws/admin"), JSON, bearer=good) == 403
    assert await refused(worker.url("/ws/service"), JSON, bearer=good) == 403
    assert await refused(worker.url(), JSON, bearer=token("root", role="admin")) == 403
    assert await refused(worker.url(), "unknown.v9", bearer=good) == 400
    assert await refused(worker.url(), JSON, bearer=good, origin="https://evil.example") == 403
    assert await refused(worker.url("/nowhere"), JSON, bearer=good) == 404


async def test_a_browser_is_told_by_a_close_code(fleet: Fleet) -> None:
    """With an allowed Origin a bad token is accepted, told nothing and closed with 4401, a wrong role with 4403
    ([HS8])."""
    faults = (
        ("/ws", None, 4401),
        ("/ws", "rubbish", 4401),
        ("/ws", token("dora", exp=1), 4401),
        ("/ws/admin", token("dora"), 4403),
    )
    for path, bearer, code in faults:
        async with plain(fleet[0].url(path), bearer, JSON, origin=ORIGIN) as client:
            assert client.socket.subprotocol == JSON
            assert await client.closed() == code, path
            assert client.received == []
    async with plain(fleet[0].url(), token("dora"), JSON, origin=ORIGIN) as client:
        assert (await client.read())["type"] == "welcome"


async def test_the_third_unreadable_message_closes(fleet: Fleet) -> None:
    """Two are answered by an error each, and the connection stays; the third closes it with 1008 ([MSG2], [MSG3])."""
    async with playing(fleet[0].url(), token("eve")) as client:
        for unreadable in ("not json", '{"no": "type"}'):
            await client.socket.send(unreadable)
            answer = await client.until(lambda message: message["type"] == "error")
            assert answer["code"] == "bad_message"
        # Readable but not acceptable: refused, and not counted.
        assert (await client.command("no_such_command"))["error"]["code"] == "unknown_command"
        assert (await client.command("steer", vx="fast", vy=1.0))["error"]["code"] == "invalid_argument"
        assert (await client.command("steer", vx=1.0))["error"]["code"] == "invalid_argument"
        assert (await client.command("steer", vx=1.0, vy=1.0, vz=1.0))["error"]["code"] == "invalid_argument"
        assert (await client.command("steer", vx=0.0, vy=0.0))["ok"]
        await client.socket.send(b"\x01\x02")
        assert await client.closed() == 1008
        (goodbye,) = [message for message in client.received if message["type"] == "goodbye"]
        assert goodbye["code"] == 1008
        assert goodbye["reconnect"] is False


async def test_a_narrowed_view_adds_up(fleet: Fleet, store: Store) -> None:
    """Snapshot, deltas and verify speak of the narrowed view alone, in which what has no visible field still counts;
    the sums are those of the view ([SUB1] to [SUB4], [VER2])."""
    async with (
        playing(fleet[0].url(), token("fay")) as client,
        playing(fleet[1].url(), token("gus"), MSGPACK) as actor,
    ):
        await client.send("subscribe", room="sector:1", entities=["port:*", "sector"], fields=["ore", "ore_price"])
        snapshot = await client.until(lambda message: message["type"] == "snapshot")
        assert snapshot["room"] == "sector:1"
        assert set(snapshot["state"]) == {"port:1", "sector"}
        assert set(snapshot["state"]["port:1"]) == {"ore", "ore_price"}
        assert snapshot["state"]["sector"] == {}
        before, start = snapshot["state"]["port:1"]["ore"], len(client.received)
        assert (await actor.command("steer", vx=30.0, vy=0.0))["ok"]
        ack = await actor.command("buy", port="port:1", good="ore", amount=3)
        assert ack["ok"]
        room = client.rooms["sector:1"]
        await client.shows(lambda: room.seq >= ack["seq"]["sector:1"])
        await client.shows(lambda: room.verified >= 3)
        deltas = [m for m in client.received[start:] if m["type"] == "delta" and m["room"] == "sector:1"]
        stocks = [delta["set"]["port:1"]["ore"] for delta in deltas if "ore" in delta.get("set", {}).get("port:1", {})]
        assert before - 3 in stocks
        assert {entity for delta in deltas for entity in delta.get("set", {})} <= {"port:1", "sector"}
        assert {name for delta in deltas for name in delta.get("set", {}).get("port:1", {})} <= {"ore", "ore_price"}
        assert any(event["name"] == "trade" for event in room.events), "events are not narrowed"

        await client.send("subscribe", room="sector:1")
        whole = await client.until(lambda message: message["type"] == "snapshot")
        assert {"ship:fay", "ship:gus", "player:fay", "port:1", "deposit", "sector"} <= set(whole["state"])
        await client.shows(lambda: client.rooms["sector:1"].verified >= 1)
        await client.send("unsubscribe", room="sector:1")
        refusal = await client.until(lambda message: message["type"] == "error")
        assert refusal["code"] == "forbidden"
        stored = store.room("sector:1")
        assert stored.computed == stored.sum == checksum(stored.state)


async def test_a_watcher_of_two_sectors_never_sees_half_a_move(fleet: Fleet) -> None:
    """An admin on another worker watches ships going to and fro: after whatever one flush brought, each is in exactly
    one of the two sectors, and its presence is with it ([ROOM4])."""
    pilots = ["hal", "ida", "joe"]
    rooms = ("sector:1", "sector:2")
    turns = 20

    async def travel(name: str, number: int) -> None:
        async with playing(fleet[0].url(), token(name)) as pilot:
            assert (await pilot.command("steer", vx=20.0 + number, vy=10.0))["ok"]
            for _ in range(turns):
                target = rooms[pilot.sector == rooms[0]]
                while not (answer := await pilot.command("move", to=target))["ok"]:
                    assert answer["error"]["code"] == "rate_limited"
                    await asyncio.sleep(answer["error"]["retry_after"])
                await pilot.shows(lambda target=target: target in pilot.rooms)
                assert f"ship:{name}" in pilot.rooms[target].state

    async with plain(fleet[1].url("/ws/admin"), token("root", role="admin"), JSON) as watcher:
        for room in rooms:
            await watcher.send("subscribe", room=room)
        await watcher.shows(lambda: set(rooms) <= set(watcher.rooms))
        travelling = asyncio.gather(*(travel(name, number) for number, name in enumerate(pilots)))
        arrived: set[str] = set()
        moves = 0
        halves: dict[str, set[str]] = {}
        while not travelling.done() or len(arrived) < len(pilots):
            try:
                message = await watcher.read(timeout=1.0)
            except TimeoutError:
                continue
            if message["type"] != "delta" or message["room"] not in rooms:
                continue
            # One flush writes each room once: who is half seen must be whole before either room comes again.
            for name, seen in halves.items():
                assert message["room"] not in seen, f"{name} was half seen: {watcher.received[-3:]}"
            for name in pilots:
                places = [
                    [f"{kind}:{name}" in watcher.rooms[room].state for room in rooms] for kind in ("ship", "player")
                ]
                if any(map(any, places)):
                    arrived.add(name)
                if name in arrived and places not in ([[True, False]] * 2, [[False, True]] * 2):
                    halves.setdefault(name, set()).add(message["room"])
                elif halves.pop(name, None) is not None:
                    moves += 1
        await travelling
        assert not halves
        assert moves > turns, f"{moves} moves were seen in two steps"


async def test_logout_ends_the_session_on_every_worker(fleet: Fleet) -> None:
    """Both connections of the token's jti are closed with 4410, a connection by another token is not ([SES5])."""
    shared = token("kim")
    async with (
        playing(fleet[0].url(), shared) as one,
        playing(fleet[1].url(), shared) as two,
        playing(fleet[1].url(), token("kim")) as other,
    ):
        await one.send("logout")
        assert await asyncio.gather(one.closed(), two.closed()) == [4410, 4410]
        for client in (one, two):
            (goodbye,) = [message for message in client.received if message["type"] == "goodbye"]
            assert (goodbye["code"], goodbye["reconnect"]) == (4410, False)
        assert (await other.command("steer", vx=0.0, vy=0.0))["ok"]
        await other.shows(lambda: other.rooms["sector:1"].state["player:kim"]["devices"] == 1)
