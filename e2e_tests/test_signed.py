"""Clients that sign what they say, on real workers."""

from __future__ import annotations

import json

import pytest

from e2e_tests.conftest import StartFleet
from e2e_tests.plain import JSON, MSGPACK, plain
from e2e_tests.workers import Fleet, token
from gameserver.client import Client
from gameserver.protocol.signing import SIGNED, Signer, signing_key


@pytest.fixture(scope="module")
def fleet(start_fleet: StartFleet) -> Fleet:
    return start_fleet(2, verify_s=1)


@pytest.mark.parametrize("encoding", ["json", "msgpack", "compact"])
async def test_a_client_that_signs_plays(fleet: Fleet, encoding: str) -> None:
    """Commands, a session resumed on another worker, commands again ([HS13], [SIGN1], [SIGN2])."""
    player = f"ada-{encoding}"
    first = await Client.connect(fleet[0].url(), token(player), signed=True, encoding=encoding)  # type: ignore[arg-type]
    await first.ready()
    assert (await first.command("status", status="busy")).seq
    resume_token, session = first.resume_token, first.welcome["session"]
    await first.close()
    async with Client(
        fleet[1].url(),
        token(player),
        signed=True,
        encoding=encoding,  # type: ignore[arg-type]
        resume_token=resume_token,
    ) as second:
        await second.ready()
        assert second.welcome["session"] == session
        assert (await second.command("status", status="away")).seq


@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
@pytest.mark.parametrize("fault", ["unsigned", "forged", "repeated", "another's"])
async def test_what_is_not_signed_closes(fleet: Fleet, encoding: str, fault: str) -> None:
    """With 1008, and nothing comes of it ([SIGN3])."""
    bearer = token("bob")
    async with plain(fleet[0].url(), bearer, encoding, SIGNED) as client:
        welcome = await client.until(lambda message: message["type"] == "welcome")
        signer = Signer(signing_key("another" if fault == "another's" else bearer, welcome["resume_token"]))
        ping = b'{"type":"ping","at":1}' if encoding == JSON else b"\x82\xa4type\xa4ping\xa2at\x01"
        frame = signer.sign(ping, encoding == JSON)
        if fault == "repeated":
            await client.socket.send(frame.decode() if encoding == JSON else frame)
            await client.until(lambda message: message["type"] == "pong")
        elif fault == "unsigned":
            frame = ping
        elif fault == "forged":
            frame = frame[:-2] + b"2}" if encoding == JSON else frame[:-1] + b"\x02"
        before = len(client.received)
        await client.socket.send(frame.decode() if encoding == JSON else frame)
        assert await client.closed() == 1008
        assert "pong" not in [message["type"] for message in client.received[before:]]


async def test_who_did_not_ask_does_not_sign(fleet: Fleet) -> None:
    """A signed message is unreadable to a connection without signatures."""
    async with plain(fleet[0].url(), token("carl"), JSON) as client:
        await client.until(lambda message: message["type"] == "welcome")
        await client.socket.send(Signer(b"key").sign(json.dumps({"type": "ping", "at": 1}).encode(), True).decode())
        refusal = await client.until(lambda message: message["type"] == "error")
        assert refusal["code"] == "bad_message"
