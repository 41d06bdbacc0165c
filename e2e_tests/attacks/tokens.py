"""Tokens that are not genuine, not for us, or not any more: all refused in the same words."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt

from e2e_tests.attacks.arena import Arena
from e2e_tests.attacks.catalogue import attack
from e2e_tests.attacks.wire import CUT, ORIGIN, Wire, answer, request
from e2e_tests.workers import SECRET


def part(content: bytes | dict[str, Any]) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header: dict[str, Any], payload: bytes | dict[str, Any], secret: bytes = SECRET.encode()) -> str:
    """Signed by HS256 whatever it says."""
    signed = f"{part(header)}.{part(payload)}"
    return f"{signed}.{part(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def claims(arena: Arena, **changed: Any) -> dict[str, Any]:
    """Good claims, changed; None leaves one out."""
    now = int(time.time())
    good = {"sub": arena.name(), "iat": now, "exp": now + 600, "jti": "j", "iss": "gameserver", "aud": "gameserver"}
    return {name: value for name, value in (good | changed).items() if value is not None}


HS: dict[str, Any] = {"alg": "HS256", "typ": "JWT"}
Make = Callable[[Arena], str]


def spoilt(**changed: Any) -> Make:
    return lambda arena: forged(HS, claims(arena, **changed))


def headed(**changed: Any) -> Make:
    return lambda arena: forged(HS | changed, claims(arena))


def raw(text: str) -> Make:
    """With this text spliced in behind good claims."""
    return lambda arena: forged(HS, json.dumps(claims(arena)).encode()[:-1] + text.encode() + b"}")


def unsigned(algorithm: str) -> Make:
    return lambda arena: f"{part(HS | {'alg': algorithm})}.{part(claims(arena))}."


def by_key(issuer: str, **header: Any) -> Make:
    """By the key of the issuer `fixed`, for another."""
    return lambda arena: jwt.encode(claims(arena, iss=issuer), arena.rsa, algorithm="RS256", headers=header or None)


TOKENS: dict[str, Make] = {
    "`alg` none": unsigned("none"),
    "`alg` nOnE": unsigned("nOnE"),
    "HS256 by the public key": lambda arena: forged(HS, claims(arena, iss="fixed"), arena.public),
    "unknown `crit`": headed(crit=["x"], x=1),
    "`jku`": headed(jku="http://127.0.0.1:9/keys"),
    "`jwk`": headed(jwk={"kty": "oct", "k": part(SECRET.encode())}),
    "`x5u`": headed(x5u="http://127.0.0.1:9/cert"),
    "issuer A's key for issuer B": by_key("published", kid="one"),
    "issuer A's key for ours": by_key("gameserver"),
    "`exp` missing": spoilt(exp=None),
    "`exp` a string": spoilt(exp="9999999999"),
    "`exp` NaN": spoilt(exp=float("nan")),
    "`exp` past": spoilt(exp=int(time.time()) - 60),
    "`aud` wrong": spoilt(aud="other"),
    "`aud` empty": spoilt(aud=[]),
    "`aud` missing": spoilt(aud=None),
    "`iss` a prefix": spoilt(iss="gameserve"),
    "`iss` longer": spoilt(iss="gameserver2"),
    "wrong `typ`": headed(typ="logout+jwt"),
    "`sub` empty": spoilt(sub=""),
    "`sub` with NUL": spoilt(sub="a\0b"),
    "`sub` missing": spoilt(sub=None),
    "duplicate claims": raw(',"sub":"admin"'),
    "7 kB": spoilt(name="n" * 5000),
    "another secret": lambda arena: forged(HS, claims(arena), b"x" * 48),
    "no token at all": lambda arena: "",
    "three dots": lambda arena: "...",
}


def enter_token(name: str, make: Make) -> None:
    @attack("token", name, "401; 4401 for an allowed Origin; the same words, nothing logged")
    async def refused(arena: Arena) -> str:
        expected = await answer(arena.port, request("garbage"))
        token = make(arena)
        status, headers, body = await answer(arena.port, request(token))
        assert (status, body) == (401, expected[2])
        assert headers.keys() == expected[1].keys()
        async with await Wire.connect(arena.port) as wire:
            wire.send(request(token, origin=ORIGIN))
            assert (await wire.status())[0] == 101
            code = await wire.ending()
            assert (code, wire.messages) == (4401, [])
        written = arena.fleet[0].output(1 << 24)
        assert len(token) < 10 or token[-40:] not in written
        return "401, 4401"


for name, make in TOKENS.items():
    enter_token(name, make)


@attack("token", "a token of 1 MB", "431")
async def huge(arena: Arena) -> str:
    before = arena.memory()
    status, _, _ = await answer(arena.port, request("x" * (1 << 20)))
    # The answer may be lost to the reset of a peer that still writes.
    assert status in (431, CUT)
    return f"{status or 'reset'}, {max(0, arena.memory() - before) >> 10} KiB more"


def published(arena: Arena, kid: str, key: str = "one") -> str:
    token: str = jwt.encode(
        claims(arena, iss="published"), arena.provider.keys[key], algorithm="RS256", headers={"kid": kid}
    )
    return token


@attack("token", "unknown kids x 10,000", "<= 1 fetch per 30 s and worker")
async def unknown_kids(arena: Arena) -> str:
    count = 500 if arena.quick else 10_000
    assert (await answer(arena.port, request(published(arena, "one"))))[0] == 101
    before, began = len(arena.provider.fetches), time.monotonic()
    head, payload, signature = published(arena, "one").split(".")
    for batch in range(count // 50):
        tokens = [f"{part({'alg': 'RS256', 'kid': f'{batch}-{number}'})}.{payload}.{signature}" for number in range(50)]
        answers = await asyncio.gather(*(answer(arena.port, request(token)) for token in tokens))
        assert {status for status, _, _ in answers} == {401}
    assert head
    fetches, took = len(arena.provider.fetches) - before, time.monotonic() - began
    assert fetches <= 1 + took / 30
    return f"{count} in {took:.1f} s: {fetches} fetches"


@attack("token", "keys rotated", "the old key valid for the overlap, the new one within 30 s", thorough=True)
async def rotation(arena: Arena) -> str:
    assert (await answer(arena.port, request(published(arena, "one"))))[0] == 101
    arena.provider.add("two")
    old = arena.provider.keys["one"]
    arena.provider.keys = {"two": arena.provider.keys["two"]}
    began = time.monotonic()
    while (await answer(arena.port, request(published(arena, "two", "two"))))[0] != 101:
        assert time.monotonic() - began < 32
        await asyncio.sleep(0.5)
    took = time.monotonic() - began
    token = jwt.encode(claims(arena, iss="published"), old, algorithm="RS256", headers={"kid": "one"})
    assert (await answer(arena.port, request(token)))[0] == 101
    arena.provider.keys["one"] = old
    return f"the new key after {took:.0f} s, the old one still valid"


@attack("token", "a logged-out token, on both workers", "sockets closed <= 2 s; 401 everywhere; resume refused")
async def logged_out(arena: Arena) -> str:
    for more in ({}, {"jti": None}):
        name = arena.name()
        token = forged(HS, claims(arena, sub=name, **more))
        one, two = await arena.enter(token=token), await arena.enter(token=token, port=arena.other_port)
        resume = two.messages[0]["resume_token"]
        began = time.monotonic()
        one.say({"type": "logout"})
        assert await asyncio.gather(one.ending(), two.ending()) == [4410, 4410]
        took = time.monotonic() - began
        assert took <= 2
        for port in (arena.port, arena.other_port):
            for words in (("gameserver.v1.json",), ("gameserver.v1.json", f"resume.{resume}")):
                assert (await answer(port, request(token, words=words)))[0] == 401
        # Another token of the same player is welcome, and does not get the ended session back.
        fresh = await Wire.connect(arena.port)
        words = ("gameserver.v1.json", f"resume.{resume}")
        fresh.send(request(forged(HS, claims(arena, sub=name, jti="other")), words=words))
        assert (await fresh.status())[0] == 101
        fresh.say({"type": "hello", "rooms": {"global": ["e", 0]}})
        welcome = await fresh.next("welcome")
        assert welcome["session"] != two.messages[0]["session"]
        assert not any(welcome.get("recovered", {}).values())
        # A token that is not to be used any more is no good for a refresh either.
        fresh.say({"type": "refresh", "token": token})
        assert (await fresh.next("error", "refreshed"))["code"] == "forbidden"
        for wire in (one, two, fresh):
            await wire.__aexit__()
    return f"closed within {took * 1e3:.0f} ms, then 8 x 401"
