"""Coming back: which ends of a connection allow it, what is resumed, what is sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from client_fake_server import EPOCH, HOME, FakeServer, Make, Peer, acknowledge, both, delta, snapshot, verify, welcome

from gameserver.client import ClientClosed, ConnectionLost, Disconnected, EventReceived
from gameserver.state.checksum import room_sum


async def resumed(server: FakeServer, recovered: bool = True, **more: Any) -> tuple[Peer, dict[str, Any]]:
    """The next connection, welcomed after its hello, and that hello."""
    peer = await server.peer()
    hello = await peer.next()
    assert hello["type"] == "hello"
    await peer.send(welcome(recovered=dict.fromkeys(HOME, recovered), resume_token="r2", **more))
    return peer, hello


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013, 4408, 4429])
async def test_a_resumed_client_goes_on_from_its_positions(server: FakeServer, client: Make, code: int) -> None:
    """Resume token in the handshake, hello with positions, deltas from there [HS11] [RES1] [RES3] [RES5]."""
    one, peer = await both(server, client)
    await peer.send(delta("sector:1", 10, 12), delta("global", 10, 14, events=[], partial=True, watermark=13))
    await one.wait_for(lambda c: c.rooms["global"].watermark == 13, timeout=5)
    await peer.close(code)
    again, hello = await resumed(server)
    assert "resume.r1" in again.offers
    assert hello["rooms"] == {"global": [EPOCH, 10, 13], "private:ann": [EPOCH, 10], "sector:1": [EPOCH, 12]}
    await one.ready(timeout=5)
    await again.send(delta("sector:1", 12, 15, set={"ship:z": {}}))
    await one.wait_for(lambda c: c.rooms["sector:1"].seq == 15, timeout=5)
    assert "ship:z" in one.rooms["sector:1"].state
    assert one.resume_token == "r2"
    assert (one.stats.connections, one.stats.resumes, one.stats.replica.resyncs) == (2, 1, 0)


async def test_a_lost_connection_without_a_close_comes_back(server: FakeServer, client: Make) -> None:
    """A worker that was killed says nothing [CLOSE2]."""
    one, peer = await both(server, client)
    peer.cut()
    await resumed(server)
    await one.ready(timeout=5)


@pytest.mark.parametrize("code", [1000, 1002, 1008, 4401, 4403, 4409, 4410, 4411])
async def test_final_codes_end_the_client(server: FakeServer, client: Make, code: int) -> None:
    """No second attempt, and whoever waits is told [CLOSE1]."""
    one, peer = await both(server, client)
    waiting = asyncio.create_task(one.wait_for(lambda c: False))
    await peer.close(code, "the reason")
    assert await asyncio.wait_for(one.closed, 5) == (code, "the reason", 0)
    with pytest.raises(ClientClosed, match=f"{code} the reason"):
        await waiting
    assert server.handshakes == 1


async def test_the_wait_of_a_goodbye_is_honoured(server: FakeServer, client: Make) -> None:
    """Not before retry_after, whatever the jitter says [RETRY3] [CLOSE2]."""
    one, peer = await both(server, client)
    gone = one.events(Disconnected)
    await peer.send({"type": "goodbye", "code": 1012, "reason": "drain", "reconnect": True, "retry_after": 0.15})
    clock = asyncio.get_running_loop().time
    before = clock()
    await peer.close(1012)
    await server.peer()
    assert clock() - before >= 0.15
    assert await gone.next(1) == Disconnected(1012, "drain", 0.15)


async def test_a_goodbye_may_forbid_coming_back(server: FakeServer, client: Make) -> None:
    """The server's word stands above the code's."""
    one, peer = await both(server, client)
    await peer.send({"type": "goodbye", "code": 1012, "reason": "for good", "reconnect": False, "retry_after": 0})
    await peer.close(1012)
    assert (await asyncio.wait_for(one.closed, 5)).code == 1012


async def test_what_was_not_recovered_comes_as_snapshots(server: FakeServer, client: Make) -> None:
    """Not ready before they came, and events of before count once [RES4] [RES5] [EVT3]."""
    one, peer = await both(server, client)
    stream = one.events(EventReceived)
    event = {"name": "hit", "data": {}, "seq": 11, "index": 0, "at": 5, "priority": "combat"}
    await peer.send(delta("sector:1", 10, 11, events=[event]))
    await stream.next(5)
    peer.cut()
    again, _ = await resumed(server, recovered=False, session="s2")
    await again.send(snapshot("global", 20), snapshot("private:ann", 20))
    await one.wait_for(lambda c: c.rooms["global"].seq == 20, timeout=5)
    with pytest.raises(TimeoutError):
        await one.ready(timeout=0.02)
    newer = {**event, "seq": 12}
    await again.send(snapshot("sector:1", 12), delta("sector:1", 10, 12, events=[event, newer]))
    await one.ready(timeout=5)
    told = await stream.next(5)
    assert isinstance(told, EventReceived)
    assert told.event.seq == 12
    assert len(stream) == 0


async def test_the_sector_one_is_in_is_the_one_that_can_be_trusted(server: FakeServer, client: Make) -> None:
    """A new session may begin in another sector than the lost one ended in [RES4]."""
    one, peer = await both(server, client)
    peer.cut()
    again, _ = await resumed(server, recovered=False, session="s2")
    await again.send(snapshot("global"), snapshot("private:ann"), snapshot("sector:4"))
    await one.ready(timeout=5)
    found = one.room("sector:*")
    assert found is not None
    assert found.name == "sector:4"


async def test_a_room_in_doubt_is_asked_for_again_after_a_resume(server: FakeServer, client: Make) -> None:
    """The new connection knows nothing of a resync that was under way [VER2]."""
    one, peer = await both(server, client)
    await peer.send(verify("sector:1", 10, 1))
    await peer.next("resync")
    peer.cut()
    again, _ = await resumed(server)
    assert await again.next() == {"type": "resync", "room": "sector:1"}
    truth = {"ship:b": {}}
    await again.send(snapshot("sector:1", 11, truth), verify("sector:1", 11, room_sum(truth)))
    await one.wait_for(lambda c: c.stats.replica.verified == 1, timeout=5)


async def test_without_resume_everything_starts_anew(server: FakeServer, client: Make) -> None:
    """No token offered, no hello, no room kept [HS10]."""
    one, peer = await both(server, client, resume=False)
    await peer.close(1012)
    again = await server.peer()
    assert not any(offer.startswith("resume.") for offer in again.offers)
    await again.welcome("global")
    await one.wait_for(lambda c: set(c.rooms) == {"global"}, timeout=5)


async def test_a_command_in_flight_is_sent_again_with_its_id(server: FakeServer, client: Make) -> None:
    """With retry it outlives the connection, and also waits for one; without it, it fails [CMD6]."""
    one, peer = await both(server, client)
    kept = asyncio.create_task(one.command("buy", amount=1, retry=True))
    given_up = asyncio.create_task(one.command("sell", amount=1))
    first = await peer.next("buy")
    await peer.next("sell")
    peer.cut()
    with pytest.raises(ConnectionLost, match="before the command was answered"):
        await given_up
    with pytest.raises(ConnectionLost, match="no connection"):
        await one.command("sell", amount=1)
    later = asyncio.create_task(one.command("chat", text="hi", retry=True))
    again, _ = await resumed(server)
    assert await again.next() == first
    chat = await again.next()
    assert chat["type"] == "chat"
    await again.send(acknowledge(first), acknowledge(chat))
    await asyncio.gather(kept, later)
    assert one.stats.resent == 2


async def test_a_command_older_than_the_memory_of_ids_is_not_sent_again(server: FakeServer, client: Make) -> None:
    """It might be carried out twice [CMD8]."""
    one, peer = await both(server, client)
    kept = asyncio.create_task(one.command("buy", retry=True))
    await peer.next("buy")
    peer.cut()
    await resumed(server, limits={"command_memory_s": 1e-6})
    with pytest.raises(ConnectionLost, match="remembers"):
        await kept


async def test_wishes_and_subscriptions_outlive_the_connection(server: FakeServer, client: Make) -> None:
    """The tier goes with hello; what the server did not keep is asked for again [QUAL3] [SUB1]."""
    one, peer = await both(server, client)
    await one.quality("reduced")
    subscribing = asyncio.create_task(one.subscribe("control", fields=["load"]))
    asked = await peer.next("subscribe")
    await peer.send(snapshot("control"))
    await subscribing
    peer.cut()
    again, hello = await resumed(server, session="s2")
    assert hello["quality"] == "reduced"
    assert await again.next() == asked


def answer(status: HTTPStatus, **headers: str) -> Callable[[Any, Any], Any]:
    """A refusal of every handshake."""

    def refuse(connection: Any, request: Any) -> Any:
        response = connection.respond(status, "no\n")
        for name, value in headers.items():
            response.headers[name.replace("_", "-")] = value
        return response

    return refuse


@pytest.mark.parametrize(("status", "code"), [(401, 4401), (403, 4403), (400, 1002), (302, 1002)])
async def test_final_refusals_of_the_handshake(server: FakeServer, client: Make, status: int, code: int) -> None:
    """Asking again would not help, and a redirect is not followed with a token in hand [HS7]."""
    server.refuse = answer(HTTPStatus(status), Location="ws://127.0.0.1:1/")
    one = client()
    with pytest.raises(ClientClosed):
        await one.ready(timeout=5)
    assert (await one.closed).code == code
    assert server.handshakes == 1


async def test_a_busy_server_is_asked_again_after_its_hint(server: FakeServer, client: Make) -> None:
    """429 and 503 are waited out by Retry-After [HS7]."""
    server.refuse = answer(HTTPStatus.SERVICE_UNAVAILABLE, Retry_After="0.1")
    one = client()
    gone = one.events(Disconnected)
    told = await gone.next(5)
    assert isinstance(told, Disconnected)
    assert (told.code, told.delay) == (1013, 0.1)
    server.refuse = lambda connection, request: None
    peer = await server.peer()
    await peer.welcome(*HOME)
    await one.ready(timeout=5)


async def test_a_new_token_lets_a_client_come_back(server: FakeServer, client: Make) -> None:
    """After 4401 the provider is asked, and only a token that is new is tried [CLOSE1]."""
    tokens = iter(["old", "new", "new"])

    async def provide() -> str:
        return next(tokens)

    one = client(provide)
    peer = await server.peer()
    assert "bearer.old" in peer.offers
    await peer.welcome(*HOME)
    await one.ready(timeout=5)
    await peer.close(4401, "expired")
    again = await server.peer()
    assert "bearer.new" in again.offers
    await again.close(4401, "bad")
    assert (await asyncio.wait_for(one.closed, 5)).code == 4401


async def test_a_server_that_is_not_there_is_tried_again(server: FakeServer, client: Make) -> None:
    """Refused connections and silent servers alike end in the deadline of open, with the reason."""
    url = server.url
    await server.stop()
    one = client()
    with pytest.raises(TimeoutError, match=f"no connection to {url}"):
        await one.open(timeout=0.2)
    assert one.stats.disconnections > 1
    assert (await one.closed).code == 1000


async def test_a_provider_that_fails_is_asked_again(server: FakeServer, client: Make) -> None:
    """A token service that is away for a moment does not end the client."""
    answers = iter([OSError("away"), "token"])

    def provide() -> str:
        given = next(answers)
        if isinstance(given, Exception):
            raise given
        return given

    one = client(provide)
    peer = await server.peer()
    await peer.welcome(*HOME)
    await one.ready(timeout=5)
