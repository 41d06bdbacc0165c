"""Handshakes that are refused before anybody looks at a token."""

from __future__ import annotations

import asyncio
import time

from e2e_tests.attacks.arena import HANDSHAKES_PER_ADDRESS, Arena
from e2e_tests.attacks.catalogue import attack
from e2e_tests.attacks.wire import ORIGIN, Wire, answer, anywhere, request

LOOK_ALIKES = (
    "https://evil.test", "null", "http://game.test", "https://game.test.evil.test", "https://game.test:444",
    "https://GAME.test", "https://game.test/", "https://g\u0430me.test".encode().decode("latin-1"),
    "https://xgame.test", "",
)  # fmt: skip


@attack("handshake", "foreign, `null`, look-alike Origin", "403")
async def foreign_origin(arena: Arena) -> str:
    for origin in LOOK_ALIKES:
        status, _, _ = await answer(arena.port, request(arena.token(), origin=origin))
        assert status == 403, (origin, status)
    doubled = request(arena.token(), origin=ORIGIN, more=[f"Origin: {ORIGIN}"])
    assert (await answer(arena.port, doubled))[0] == 403
    return f"{len(LOOK_ALIKES) + 1} x 403"


@attack("handshake", "a cookie alone", "refused")
async def cookie(arena: Arena) -> str:
    status, _, _ = await answer(arena.port, request(more=[f"Cookie: token={arena.token()}"]))
    assert status == 401
    return str(status)


@attack("handshake", "a token in the URL", "401, never logged")
async def token_in_url(arena: Arena) -> str:
    token = arena.token()
    for path in (f"/ws?token={token}", f"/ws?x={token}", f"/ws?access_token={token}"):
        assert (await answer(arena.port, request(path=path)))[0] == 401
        assert (await answer(arena.port, request(arena.token(), path=path)))[0] == 401
    assert token.rpartition(".")[2] not in arena.fleet[0].output(1 << 24)
    return "6 x 401, log clean"


@attack("handshake", "no or two WebSocket keys", "400")
async def keys(arena: Arena) -> str:
    for count in (0, 2):
        assert (await answer(arena.port, request(arena.token(), keys=count)))[0] == 400
    return "2 x 400"


@attack("handshake", "version 12", "426")
async def version(arena: Arena) -> str:
    status, headers, _ = await answer(arena.port, request(arena.token(), version="12"))
    assert (status, headers["sec-websocket-version"]) == (426, "13")
    return str(status)


@attack("handshake", "129 headers; a line of 8 KiB", "431 within 1 s")
async def large(arena: Arena) -> str:
    slowest = 0.0
    for more in ([f"X-{number}: 1" for number in range(129)], ["X-Long: " + "x" * 8192]):
        began = time.monotonic()
        status, _, _ = await answer(arena.port, request(arena.token(), more=more))
        slowest = max(slowest, time.monotonic() - began)
        assert status == 431
    assert slowest < 1
    return f"431 in {slowest * 1e3:.0f} ms"


async def _cut(wire: Wire, drip: bytes) -> float:
    """Seconds until it is cut; a byte of `drip` goes out every so often."""
    began = time.monotonic()
    ended = asyncio.create_task(wire.reader.read(1))
    for byte in drip:
        done, _ = await asyncio.wait((ended,), timeout=0.5)
        if done:
            break
        wire.send(bytes((byte,)))
    await asyncio.wait((ended,), timeout=30)
    assert ended.done(), "it was never cut"
    ended.exception()
    return time.monotonic() - began


@attack("handshake", "slowloris, silent sockets, half requests, 1,000 in all", "cut <= 10 s, others connect")
async def slow(arena: Arena) -> str:
    count = 200 if arena.quick else 1000
    half = request(arena.token())[:-30]
    wires = [await Wire.connect(arena.port) for _ in range(count)]
    for wire in wires[::3]:
        wire.send(half)
    cutting = [
        asyncio.create_task(_cut(wire, b"GET /ws HTTP/1.1\r\nX-Drip: " + b"x" * 80 if index % 3 == 1 else b""))
        for index, wire in enumerate(wires)
    ]
    began = time.monotonic()
    await (await arena.enter()).__aexit__()
    entered = time.monotonic() - began
    slowest = max(await asyncio.gather(*cutting))
    for wire in wires:
        await wire.__aexit__()
    assert slowest <= arena.handshake_s + 1.5
    assert entered < 2
    return (
        f"{count} cut after {slowest:.1f} s (limit {arena.handshake_s:g} s); another in within {entered * 1e3:.0f} ms"
    )


@attack("handshake", "no or two Host", "400")
async def host(arena: Arena) -> str:
    for hosts in ((), ("game.test", "game.test")):
        assert (await answer(arena.port, request(arena.token(), hosts=hosts)))[0] == 400
    return "2 x 400"


@attack("handshake", "Content-Length and Transfer-Encoding", "400")
async def smuggling(arena: Arena) -> str:
    more = ["Content-Length: 5", "Transfer-Encoding: chunked"]
    assert (await answer(arena.port, request(arena.token(), more=more)))[0] == 400
    return "400"


@attack("handshake", "CRLF and ANSI in the path", "escaped in logs")
async def path(arena: Arena) -> str:
    for evil in ("/ws%0d%0aINFO:forged", "/ws%1b[31mred", "/ws\x1b[31mred"):
        await answer(arena.port, request(arena.token(), path=evil))
    written = arena.fleet[0].output(1 << 24)
    assert "\x1b[31m" not in written
    assert not any(line.startswith("INFO:forged") for line in written.splitlines())
    return "no raw escape, no forged line"


@attack("handshake", "a flood from one address", "429 with Retry-After, before any crypto")
async def address_flood(arena: Arena) -> str:
    address, refused, count = anywhere(), 0, HANDSHAKES_PER_ADDRESS * 15
    for _ in range(count // 50):
        answers = await asyncio.gather(*(answer(arena.port, request("x", address=address)) for _ in range(50)))
        for status, headers, _ in answers:
            assert status in (401, 429)
            refused += status == 429
            assert status != 429 or int(headers["retry-after"]) >= 1
    assert refused
    return f"{refused} of {count} were 429"


@attack("handshake", "a flood of one player", "429 with Retry-After")
async def player_flood(arena: Arena) -> str:
    token, statuses = arena.token(), []
    for _ in range(60):
        status, headers, _ = await answer(arena.port, request(token))
        assert status in (101, 429)
        assert status != 429 or int(headers["retry-after"]) >= 1
        statuses.append(status)
    assert 429 in statuses
    return f"{statuses.count(429)} of {len(statuses)} were 429"
