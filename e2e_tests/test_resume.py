"""Coming back: to any worker, after any end, with what was missed and nothing twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from e2e_tests.workers import Fleet, Worker, token
from gameserver.client.codec import codec_of
from gameserver.client.replica import ClientReplica

Message = dict[str, Any]


class Line:
    """One connection, its messages fed to a replica that may have lived through others."""

    def __init__(self, socket: ClientConnection, replica: ClientReplica) -> None:
        self.socket = socket
        self.replica = replica
        self.codec = codec_of(socket.subprotocol)
        self.welcome: Message = {}
        self.messages: list[Message] = []

    async def say(self, **message: Any) -> None:
        await self.socket.send(self.codec.encode(message), text=self.codec.text)

    async def until(self, condition: Callable[[Message], bool]) -> Message:
        """Read on until a message fits; whatever comes is taken in."""
        async with asyncio.timeout(15):
            while True:
                message = self.codec.decode(await self.socket.recv(decode=False))
                self.messages.append(message)
                if message["type"] == "welcome":
                    self.welcome = message
                    if "recovered" in message:
                        self.replica.resumed(message["recovered"])
                else:
                    self.replica.feed(message)
                if condition(message):
                    return message

    async def acked(self, id: int, type: str, **arguments: Any) -> Message:
        await self.say(type=type, id=id, **arguments)
        answer = await self.until(lambda message: message.get("id") == id)
        assert answer["ok"], answer
        return answer

    async def heard(self, text: str) -> None:
        """Read until an event that holds the text has come, if it has not yet."""
        if not any(text in json.dumps(message.get("events", ())) for message in self.messages):
            await self.until(lambda message: text in json.dumps(message.get("events", ())))

    async def settled(self) -> None:
        """Everything the server has for now is here: what is sent in order has an answer behind it."""
        await self.say(type="ping", at=1)
        await self.until(lambda message: message["type"] == "pong")

    async def close_code(self) -> int:
        async with asyncio.timeout(15):
            await self.socket.wait_closed()
        assert self.socket.close_code is not None
        return self.socket.close_code


@asynccontextmanager
async def line(
    worker: Worker,
    bearer: str,
    replica: ClientReplica | None = None,
    resume: str | None = None,
    hello: Any = None,
    encoding: str = "gameserver.v1.json",
) -> AsyncIterator[Line]:
    """Connect; with `resume`, say hello with the replica's positions (or `hello`'s)."""
    replica = replica or ClientReplica()
    protocols: list[Any] = [encoding, f"bearer.{bearer}"]
    if resume is not None:
        protocols.append(f"resume.{resume}")
    async with connect(worker.url(), subprotocols=protocols) as socket:
        opened = Line(socket, replica)
        if resume is not None and hello is not False:
            rooms = replica.positions() if hello is None else hello
            await opened.say(type="hello", rooms=rooms)
        await opened.until(lambda message: message["type"] == "welcome")
        yield opened


@pytest.fixture(scope="module")
def fleet(start_fleet: Callable[..., Fleet]) -> Fleet:
    return start_fleet(2, resume_grace_s=20, verify_s=1)


async def home(opened: Line, sector: str = "sector:1") -> None:
    """Read until the snapshots of the home rooms are there."""
    if sector not in opened.replica.rooms:
        await opened.until(lambda message: message["type"] == "snapshot" and message["room"] == sector)


def chats(opened: Line, room: str) -> list[str]:
    return [
        event["data"]["text"]
        for message in opened.messages
        if message.get("room") == room
        for event in message.get("events", ())
        if event["name"] == "chat"
    ]


@pytest.mark.parametrize("encoding", ["json", "msgpack", "compact"])
async def test_elsewhere_after_a_lost_line(fleet: Fleet, encoding: str) -> None:
    """Resumed on another worker, a client gets what it missed: no snapshot, no event twice [RES1] [RES5] [CMP4]."""
    player, subprotocol = f"ines-{encoding}", f"gameserver.v1.{encoding}"
    bearer, friend = token(player), token(f"finn-{encoding}")
    async with line(fleet[1], friend) as other:
        await home(other)
        async with line(fleet[0], bearer, encoding=subprotocol) as first:
            await home(first)
            await first.acked(1, "chat", channel="global", text="before")
            await first.heard("before")
            resume, session = first.welcome["resume_token"], first.welcome["session"]
            replica = first.replica
            first.socket.transport.abort()
        for number in range(5):
            await other.acked(number, "chat", channel="global", text=f"missed {number}")
        await other.acked(10, "steer", vx=5.0, vy=0.0)
        async with line(fleet[1], bearer, replica, resume, encoding=subprotocol) as second:
            await second.heard("missed 4")
            await second.settled()
            assert second.welcome["session"] == session
            assert second.welcome["recovered"] == {"global": True, f"private:{player}": True, "sector:1": True}
            assert not any(message["type"] in ("snapshot", "lost") for message in second.messages)
            assert chats(second, "global") == [f"missed {number}" for number in range(5)]
            await second.until(lambda message: message["type"] == "verify" and message["room"] == "sector:1")
            assert replica.counters.mismatches == replica.counters.gaps == replica.counters.duplicate_events == 0


async def test_another_players_token(fleet: Fleet) -> None:
    """A resume token in the wrong hands recovers nothing, and its owner still resumes [RES4]."""
    async with line(fleet[0], token("owner")) as owner:
        await home(owner)
        resume, replica = owner.welcome["resume_token"], owner.replica
        owner.socket.transport.abort()
    positions = replica.positions()
    async with line(fleet[1], token("thief"), resume=resume, hello=positions) as thief:
        await home(thief)
        assert thief.welcome["player"] == "thief"
        assert set(thief.welcome["recovered"].values()) == {False}
        lefts = {message["room"] for message in thief.messages if message["type"] == "left"}
        assert "private:owner" not in thief.replica.rooms
        assert lefts <= set(positions)
    async with line(fleet[1], token("owner"), replica, resume) as back:
        assert set(back.welcome["recovered"].values()) == {True}


async def test_the_old_connection_is_replaced(fleet: Fleet) -> None:
    """Whoever still holds the session when it is resumed is closed with 4409 [RES9]."""
    bearer = token("twice")
    async with line(fleet[0], bearer) as first:
        await home(first)
        async with line(fleet[1], bearer, resume=first.welcome["resume_token"], hello={}) as second:
            await home(second)
            assert await first.close_code() == 4409
            await second.settled()
            presence = second.replica.rooms["sector:1"].state["player:twice"]
            assert presence["devices"] == 1


async def test_tokens_rotate(fleet: Fleet) -> None:
    """The old token is good until the client has spoken after the welcome, and then no more [RES3]."""
    bearer = token("rota")
    async with line(fleet[0], bearer) as first:
        await home(first)
        old, replica = first.welcome["resume_token"], first.replica
    async with line(fleet[0], bearer, replica, old) as second:
        assert set(second.welcome["recovered"].values()) == {True}
    async with line(fleet[1], bearer, replica, old) as third:
        # The second never spoke: perhaps its welcome never arrived.
        assert set(third.welcome["recovered"].values()) == {True}
        await third.settled()
        await third.until(
            lambda message: message.get("room") == "private:rota" and '"was": null' in json.dumps(message)
        )
        new = third.welcome["resume_token"]
    async with line(fleet[1], bearer, replica, old) as late:
        assert set(late.welcome["recovered"].values()) == {False}
    async with line(fleet[1], bearer, replica, new) as fresh:
        assert set(fresh.welcome["recovered"].values()) == {True}


@pytest.mark.parametrize(
    "position", [[1, 0], [-5, -7], [2**53 - 1, 2**53 - 1], [0, 10**15]], ids=["epoch", "negative", "huge", "future"]
)
async def test_positions_that_cannot_be(fleet: Fleet, position: list[int]) -> None:
    """Positions of another epoch, in the future, negative or huge get a snapshot, at once [RES6]."""
    name = f"odd{abs(hash(tuple(position))) % 10**6}"
    bearer = token(name)
    async with line(fleet[0], bearer) as first:
        await home(first)
        resume = first.welcome["resume_token"]
        real = first.replica.positions()
    # An epoch of 0 stands for the right one, so that only the seq is odd.
    odd = {room: [place[0] if position[0] == 0 else position[0], position[1]] for room, place in real.items()}
    async with line(fleet[1], bearer, resume=resume, hello=odd) as back:
        await home(back)
        assert set(back.welcome["recovered"].values()) == {False}


async def test_subscriptions_come_back(fleet: Fleet) -> None:
    """What a session had narrowed is narrowed again, and its checksums are of the narrowed view [SUB1]."""
    bearer = token("nora")
    async with line(fleet[0], bearer) as first:
        await home(first)
        await first.say(type="subscribe", room="sector:1", entities=["port:*"], fields=["ore"])
        await first.until(lambda message: message["type"] == "snapshot" and set(message["state"]) == {"port:1"})
        await first.until(lambda message: "views" in json.dumps(message.get("set", {})))
        resume, replica = first.welcome["resume_token"], first.replica
    async with line(fleet[1], bearer, replica, resume) as second:
        assert second.welcome["recovered"]["sector:1"]
        await second.until(lambda message: message["type"] == "verify" and message["room"] == "sector:1")
        assert set(replica.rooms["sector:1"].state) == {"port:1"}
        assert replica.counters.mismatches == 0


async def test_hello_out_of_place(fleet: Fleet) -> None:
    """Without resume.<token> in the handshake hello is refused, and the connection kept [RES2]."""
    async with line(fleet[0], token("eager")) as opened:
        await home(opened)
        await opened.say(type="hello", rooms={})
        assert (await opened.until(lambda message: message["type"] == "error"))["code"] == "forbidden"
        await opened.settled()


async def test_no_hello(fleet: Fleet) -> None:
    """Who offers a token and says nothing is welcomed after 5 s, with nothing recovered [RES2]."""
    bearer = token("mute")
    async with line(fleet[0], bearer) as first:
        await home(first)
        resume = first.welcome["resume_token"]
    async with line(fleet[0], bearer, resume=resume, hello=False) as second:
        await home(second)
        assert set(second.welcome["recovered"].values()) == {False}


async def test_events_below_the_position(fleet: Fleet) -> None:
    """A client that has a room's state, but not all events up to it, names its watermark and gets them [RES1]."""
    bearer = token("wim")
    async with line(fleet[0], bearer) as first:
        await home(first)
        for number in range(3):
            await first.acked(number, "chat", channel="global", text=f"word {number}")
        await first.heard("word 2")
        resume, replica = first.welcome["resume_token"], first.replica
    positions = {room: list(place)[:2] for room, place in replica.positions().items()}
    epoch, seq = positions["global"]
    positions["global"] = [epoch, seq, seq - 2]
    async with line(fleet[1], bearer, ClientReplica(), resume, hello=positions) as second:
        await second.heard("word 2")
        assert second.welcome["recovered"]["global"]
        assert chats(second, "global") == ["word 1", "word 2"]


async def test_refreshed_tokens_keep_their_order(fleet: Fleet) -> None:
    """However fast new tokens are sent, the last one is the one that stands, its team with it [SES3]."""
    now = int(time.time())
    async with line(fleet[0], token("rex", team="x", exp=now + 1000)) as opened:
        await home(opened)
        for number in range(1, 8):
            team = "x" if number % 2 else "y"
            await opened.say(type="refresh", token=token("rex", team=team, exp=now + 1000 + number))
        while sum(message["type"] == "refreshed" for message in opened.messages) < 7:
            await opened.until(lambda message: message["type"] == "refreshed")
        told = [message["exp"] for message in opened.messages if message["type"] == "refreshed"]
        assert told == [now + 1000 + number for number in range(1, 8)]
        assert "team:x" in opened.replica.rooms
        assert "team:y" not in opened.replica.rooms
