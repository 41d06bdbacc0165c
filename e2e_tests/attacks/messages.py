"""Messages that are well framed and mean harm."""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from typing import Any

import msgpack
import redis

from e2e_tests.attacks.arena import Arena
from e2e_tests.attacks.catalogue import attack
from e2e_tests.attacks.wire import BINARY, TEXT, Wire, answer, frame, request

PACKED = ("gameserver.v1.msgpack",)


async def each_refused(arena: Arena, payloads: Sequence[bytes], codes: Sequence[str], binary: bool = False) -> str:
    """Each is refused with one of these codes, and the connection is kept; two at most are said on one."""
    said = set()
    for start in range(0, len(payloads), 2):
        async with await arena.enter(words=PACKED if binary else ("gameserver.v1.json",)) as wire:
            for payload in payloads[start : start + 2]:
                wire.send(frame(BINARY if binary else TEXT, payload))
                refusal = await wire.next("error", "command_ack")
                code = refusal.get("code") or refusal["error"]["code"]
                assert code in codes, (payload[:60], refusal)
                said.add(code)
            await wire.alive()
    return f"{len(payloads)} x {', '.join(sorted(said))}; connections kept"


def nested(depth: int) -> bytes:
    opening = b'{"type":"move","id":1,"to":'
    return opening + b"[" * depth + b"]" * depth + b"}"


@attack("messages", "depth 300 to 100,000", "`bad_message`, or 1009; no crash")
async def depth(arena: Arena) -> str:
    measured = await each_refused(arena, [nested(300), nested(1025), nested(8000)], ("bad_message", "too_large"))
    async with await arena.enter() as wire:
        wire.send(frame(TEXT, nested(50_000)))
        assert await wire.ending() == 1009
    deep = b"\x82" + msgpack.packb({"type": "move"})[1:] + b"\xa2to" + b"\x91" * 16_000 + b"\xc0"
    await each_refused(arena, [deep], ("bad_message",), binary=True)
    return measured + "; 100,000: 1009"


@attack("messages", "15 KiB of empty maps", "element cap: `bad_message`")
async def maps(arena: Arena) -> str:
    text = b'{"type":"move","id":1,"to":[' + b"{}," * 5000 + b"{}]}"
    await each_refused(arena, [text], ("bad_message", "too_large"))
    packed = b"\x82" + msgpack.packb({"type": "move"})[1:] + b"\xa2to\xdc\x3a\x98" + b"\x80" * 15_000
    return await each_refused(arena, [packed], ("bad_message", "too_large"), binary=True)


@attack("messages", "MessagePack ext, bin, int keys, 0xc1, huge array32", "an error")
async def packed(arena: Arena) -> str:
    start = b"\x82" + msgpack.packb({"type": "move"})[1:] + b"\xa2to"
    values = [
        msgpack.packb(msgpack.ExtType(5, b"x")), msgpack.packb(b"bin"), msgpack.packb({1: 2}), b"\xc1",
        b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xd6\xff\0\0\0\0",
    ]  # fmt: skip
    return await each_refused(
        arena, [start + value for value in values], ("bad_message", "invalid_argument"), binary=True
    )


@attack("messages", "NaN, 1e400, 2^64", "an error")
async def numbers(arena: Arena) -> str:
    payloads = [
        f'{{"type":"steer","id":1,"vx":{value},"vy":0}}'.encode()
        for value in ("NaN", "Infinity", "-Infinity", "1e400", str(1 << 64), "1" * 400)
    ]
    # 2^64 is a float's value like any other; the game's own bounds refuse it.
    return await each_refused(arena, payloads, ("bad_message", "invalid_argument", "too_fast", "out_of_range"))


@attack("messages", "`__proto__`, NUL, lone surrogates", "an error")
async def keys(arena: Arena) -> str:
    payloads = [
        b'{"type":"move","id":1,"to":"sector:2","__proto__":{"admin":true}}',
        b'{"type":"__proto__","id":1}', b'{"type":"constructor"}',
        b'{"type":"move","id":1,"to":"sector:2\\u0000"}', b'{"type":"move\\u0000","id":1}',
        b'{"type":"move","id":1,"to":"\\ud800"}', b'{"type":"ping","at":1,"type":"logout"}',
    ]  # fmt: skip
    codes = ("bad_message", "invalid_argument", "unknown_command", "not_found", "no_such_sector", "no_link")
    return await each_refused(arena, payloads, codes)


@attack("messages", "unknown type, wrong types, nulls", "an error, connection kept")
async def types(arena: Arena) -> str:
    payloads = [
        b'{"type":"fly","id":1}', b'{"type":"move","id":1,"to":5}', b'{"type":"move","id":1,"to":null}',
        b'{"type":"move","id":1}', b'{"type":null}', b'{"type":"move","id":{},"to":"sector:2"}', b"[]", b"null",
        b'{"type":"resync","room":7}', b'{"type":"subscribe","room":null}',
    ]  # fmt: skip
    return await each_refused(arena, payloads, ("bad_message", "invalid_argument", "unknown_command"))


@attack("messages", "unreadable three times in 10 s", "1008")
async def unreadable(arena: Arena) -> str:
    async with await arena.enter() as wire:
        for _ in range(3):
            wire.send(frame(TEXT, b"{"))
        assert await wire.ending() == 1008
    return "1008"


@attack("messages", "a flood of commands", "`rate_limited`, then 4429")
async def flood(arena: Arena) -> str:
    async with await arena.enter() as wire:
        for number in range(60):
            wire.say({"type": "steer", "id": number, "vx": 0, "vy": 0})
        refused = 0
        for _ in range(60):
            answered = await wire.next("command_ack")
            if not answered["ok"]:
                assert answered["error"]["code"] == "rate_limited"
                assert answered["error"]["retry_after"] > 0
                refused += 1
        assert refused
        for number in range(1000):
            wire.say({"type": "steer", "id": f"b{number}", "vx": 0, "vy": 0})
        assert await wire.ending() == 4429
    return f"{refused} of 60 `rate_limited`, then 4429"


@attack("messages", "another's private or team room", "`forbidden`, as for one that does not exist")
async def rooms(arena: Arena) -> str:
    victim = arena.name()
    async with await arena.enter(token=arena.token(sub=victim, team="victims")), await arena.enter() as wire:
        answers = set()
        for room in (f"private:{victim}", "team:victims", "private:nobody", "team:none", "control"):
            wire.say({"type": "subscribe", "room": room})
            refusal = await wire.next("error", "snapshot")
            while refusal.get("room", room) != room:
                # Of its own rooms.
                refusal = await wire.next("error", "snapshot")
            answers.add((refusal["type"], refusal.get("code"), refusal.get("message")))
        assert len(answers) == 1, answers
        assert answers.pop()[1] == "forbidden"
    return "5 x forbidden, in the same words"


@attack("messages", "rooms `*`, `../`, CRLF, `worker:`", "`bad_message`, `invalid_argument` or `forbidden`")
async def names(arena: Arena) -> str:
    wrong = ("*", "sector:*", "../control", "sector:../x", "sector:1\\r\\n", "worker:1", "", "control")
    payloads = [f'{{"type":"{kind}","room":"{room}"}}'.encode() for room in wrong for kind in ("subscribe", "resync")]
    return await each_refused(arena, payloads, ("bad_message", "invalid_argument", "forbidden", "not_found"))


@attack("messages", "a forged sender; the server's own types; `publish` by a player", "refused")
async def forged(arena: Arena) -> str:
    payloads = [
        b'{"type":"chat","id":1,"channel":"sector","text":"hi","from":"admin"}', b'{"type":"welcome"}',
        b'{"type":"delta","room":"sector:1","prev":0,"seq":1}', b'{"type":"snapshot","room":"sector:1"}',
        b'{"type":"goodbye","code":1000}', b'{"type":"publish","room":"sector:1","key":"k","data":1}',
        b'{"type":"command_ack","id":1,"ok":true}',
    ]  # fmt: skip
    return await each_refused(arena, payloads, ("bad_message", "invalid_argument", "unknown_command", "forbidden"))


@attack("messages", "the same id with another body", "`key_conflict`, the original stands")
async def conflict(arena: Arena) -> str:
    name = arena.name()
    async with await arena.enter(token=arena.token(sub=name)) as wire:
        await _command(wire, id="k", type="steer", vx=1.0, vy=0.0)
    async with await arena.enter(token=arena.token(sub=name), port=arena.other_port) as wire:
        wire.say({"type": "steer", "id": "k", "vx": 2.0, "vy": 0.0})
        assert (await wire.next("command_ack"))["error"]["code"] == "key_conflict"
        await _command(wire, id="k", type="steer", vx=1.0, vy=0.0)
    return "key_conflict on the other worker; the original is answered again"


async def _command(wire: Wire, **message: Any) -> dict[str, Any]:
    wire.say(message)
    answered = await wire.next("command_ack")
    assert answered["ok"], answered
    return answered


@attack("messages", "another's resume token or session id", "refused, and the victim still resumes")
async def stolen(arena: Arena) -> str:
    name = arena.name()
    victim = await arena.enter(token=arena.token(sub=name))
    welcome = victim.messages[0]
    snapshot = await victim.next("snapshot")
    await victim.__aexit__()
    seen = {snapshot["room"]: [snapshot["epoch"], snapshot["seq"]]}
    for secret in (welcome["resume_token"], welcome["session"], name):
        thief = await _resume(arena, arena.token(), secret, seen)
        assert not any(thief.messages[-1]["recovered"].values())
        assert thief.messages[-1]["session"] != welcome["session"]
        await thief.__aexit__()
    again = await _resume(arena, arena.token(sub=name), welcome["resume_token"], seen)
    assert again.messages[-1]["session"] == welcome["session"]
    assert again.messages[-1]["recovered"][snapshot["room"]]
    await again.__aexit__()
    return "3 strangers with nothing; the victim resumed on the other worker"


async def _resume(arena: Arena, token: str, secret: str, seen: dict[str, Any]) -> Wire:
    wire = await Wire.connect(arena.other_port)
    wire.send(request(token, words=("gameserver.v1.json", f"resume.{secret}")))
    assert (await wire.status())[0] == 101
    wire.say({"type": "hello", "rooms": seen})
    await wire.next("welcome")
    return wire


@attack("messages", "positions in the future, negative, huge", "a snapshot or an error, no long scan")
async def positions(arena: Arena) -> str:
    slowest = 0.0
    for seq in (10**9, -1, 2**53 - 1, 2**63):
        name = arena.name()
        first = await arena.enter(token=arena.token(sub=name))
        snapshot = await first.next("snapshot")
        await first.__aexit__()
        began = time.monotonic()
        seen = {snapshot["room"]: [snapshot["epoch"], seq]}
        wire = await _resume(arena, arena.token(sub=name), first.messages[0]["resume_token"], seen)
        assert not wire.messages[-1]["recovered"].get(snapshot["room"]), seq
        while (await wire.next("snapshot"))["room"] != snapshot["room"]:
            pass
        slowest = max(slowest, time.monotonic() - began)
        await wire.__aexit__()
    assert slowest < 7
    return f"snapshots; the slowest {slowest:.2f} s"


@attack("messages", "a player's token at the admin's and the service's endpoint", "403")
async def roles(arena: Arena) -> str:
    for path in ("/ws/admin", "/ws/service"):
        assert (await answer(arena.port, request(arena.token(), path=path)))[0] == 403
    return "2 x 403"


@attack("messages", "HTML and bidi in chat", "carried as plain data, or refused")
async def html(arena: Arena) -> str:
    async with await arena.enter() as wire:
        text = "<script>alert(1)</script>\u202e"
        wire.say({"type": "chat", "id": 1, "channel": "sector", "text": text})
        answered = await wire.next("command_ack")
    return "carried as data" if answered["ok"] else f"refused: {answered['error']['code']}"


@attack("messages", "a team changed at refresh", "the rooms move at once")
async def refresh(arena: Arena) -> str:
    name = arena.name()
    async with await arena.enter(token=arena.token(sub=name, team="red")) as wire:
        while (await wire.next("snapshot"))["room"] != "team:red":
            pass
        began = time.monotonic()
        wire.say({"type": "refresh", "token": arena.token(sub=name, team="blue")})
        while (await wire.next("left"))["room"] != "team:red":
            pass
        while (await wire.next("snapshot"))["room"] != "team:blue":
            pass
        took = time.monotonic() - began
        wire.say({"type": "subscribe", "room": "team:red"})
        assert (await wire.next("error"))["code"] == "forbidden"
        wire.say({"type": "refresh", "token": arena.token()})
        assert (await wire.next("error"))["code"] == "forbidden"
        await wire.alive()
    return f"moved within {took * 1e3:.0f} ms; another's token forbidden"


@attack("messages", "pickle and other formats on the bus", "refused by the format tag, counted")
async def poison(arena: Arena) -> str:
    with redis.Redis.from_url(arena.fleet.redis_url) as store:
        channels = [name for name in store.execute_command("PUBSUB", "SHARDCHANNELS") if b"sector" in name]
        channels = channels or store.execute_command("PUBSUB", "SHARDCHANNELS")
        for payload in (pickle.dumps({"room": "sector:1"}), b"{}", b"\x80\x04", b"\x91" * 100_000, bytes(1 << 20), b""):
            for channel in channels:
                store.execute_command("SPUBLISH", channel, payload)
    async with await arena.enter() as wire:
        await wire.alive()
    assert all(worker.running for worker in arena.fleet.workers)
    return f"6 payloads on each of {len(channels)} channels; nobody noticed"
