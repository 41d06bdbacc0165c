"""Bad input, attack by attack, and whatever chance makes of good input: nothing but the three refusals comes out."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.errors import BadMessage, GameserverError, InvalidArgument, UnknownCommand
from gameserver.protocol.incoming import (
    Argument,
    CommandMessage,
    CommandSpec,
    Hello,
    Limits,
    Publish,
    build_decoder,
)

SPECS = (
    CommandSpec("move", (Argument("to", str),)),
    CommandSpec("steer", (Argument("vx", float), Argument("vy", float))),
    CommandSpec("build", (Argument("plan", dict), Argument("parts", list, []), Argument("count", int | float, 0))),
)
DECODER = build_decoder(SPECS)
REFUSALS = (BadMessage, UnknownCommand, InvalidArgument)
NAN, INFINITE = float("nan"), float("inf")


def refused(payload: bytes, text: bool) -> GameserverError:
    with pytest.raises(GameserverError) as caught:
        DECODER.decode(payload, text)
    assert type(caught.value) in REFUSALS
    return caught.value


def packed(message: Any) -> bytes:
    return bytes(msgpack.packb(message))


@pytest.mark.parametrize("depth", [17, 300, 5_000, 100_000])
@pytest.mark.parametrize("start", [b'{"type":"build","plan":{"a":', b'{"type":"fly","a":', b'{"a":', b""])
@pytest.mark.parametrize("closed", [True, False])
def test_deep_json(start: bytes, depth: int, closed: bool) -> None:
    """[MSG2] [MSG5] Depth beyond the limit is a bad message, however deep and wherever it stands."""
    decoder = build_decoder(SPECS, Limits(message=10**6))
    payload = start + b"[" * depth + (b"]" * depth + b"}" * start.count(b"{") if closed else b"")
    with pytest.raises(BadMessage):
        decoder.decode(payload, True)


@pytest.mark.parametrize("depth", [17, 300, 5_000, 100_000])
@pytest.mark.parametrize("level", [b"\x91", b"\x81\xa1a", b"\xdc\x00\x01", b"\xde\x00\x01\xa1a"])
@pytest.mark.parametrize(
    "start", [b"\x82\xa4type\xa5build\xa4plan\x81\xa1a", b"\x82\xa4type\xa3fly\xa1a", b"\x81\xa1a", b""]
)
def test_deep_messagepack(start: bytes, level: bytes, depth: int) -> None:
    """[MSG2] [MSG5] The same in MessagePack."""
    decoder = build_decoder(SPECS, Limits(message=10**6))
    with pytest.raises(BadMessage):
        decoder.decode(start + level * depth + b"\x01", False)


def test_depth_at_its_limit() -> None:
    """[MSG5] Sixteen levels, the message itself being the first, and brackets in strings are none."""
    plan: Any = {"a": "[" * 100 + '"\\' + "{" * 100}
    for _ in range(14):
        plan = {"a": plan}
    for payload, text in (
        (orjson.dumps({"type": "build", "plan": plan}), True),
        (packed({"type": "build", "plan": plan}), False),
    ):
        assert isinstance(DECODER.decode(payload, text), CommandMessage)
    for payload, text in (
        (orjson.dumps({"type": "build", "plan": {"a": plan}}), True),
        (packed({"type": "build", "plan": {"a": plan}}), False),
    ):
        assert isinstance(refused(payload, text), BadMessage)
    # Where the typed reading fails, the second one counts the same levels.
    assert isinstance(refused(orjson.dumps({"type": "fly", "plan": plan}), True), UnknownCommand)
    assert isinstance(refused(orjson.dumps({"type": "fly", "plan": {"a": plan}}), True), BadMessage)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "build", "plan": {"a": [{}] * 3000}},
        {"type": "build", "plan": {}, "parts": [[]] * 3000},
        {"type": "publish", "room": "a", "key": "k", "data": [{}] * 3000},
        {"type": "fly", "plan": [{}] * 3000},
        {"type": "build", "plan": {str(key): key for key in range(257)}},
        {"type": "publish", "room": "a", "key": "k", "data": {str(key): key for key in range(257)}},
        {"type": "hello", "rooms": {str(key): [1, 2] for key in range(257)}},
        {"type": "fly", **{str(key): key for key in range(257)}},
    ],
    ids=range(8),
)
@pytest.mark.parametrize("text", [True, False], ids=["json", "msgpack"])
def test_too_many(message: dict[str, Any], text: bool) -> None:
    """[MSG5] Elements and keys have caps."""
    payload = orjson.dumps(message) if text else packed(message)
    assert len(payload) < Limits().message
    assert isinstance(refused(payload, text), BadMessage)


@pytest.mark.parametrize("text", [True, False], ids=["json", "msgpack"])
def test_too_large(text: bool) -> None:
    """[MSG5] 16 KiB are a message, one byte more is none."""
    at_limit = b'{"type":"logout"}'.ljust(16 * 1024)
    DECODER.decode(at_limit, True)
    assert isinstance(refused(at_limit + b" ", text), BadMessage)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "steer", "vx": NAN, "vy": 0},
        {"type": "steer", "vx": 0, "vy": INFINITE},
        {"type": "steer", "vx": 0, "vy": 2**64 - 1},
        {"type": "steer", "vx": b"\x01", "vy": 0},
        {"type": "move", "to": b"sector:1"},
        {"type": "move", "to": msgpack.ExtType(5, b"a")},
        {"type": "move", "to": msgpack.Timestamp(1, 2)},
        {"type": "move", "to": "a", 1: 2},
        {1: 2, "type": "move", "to": "a"},
        {"type": "build", "plan": {1: 2}},
        {"type": "build", "plan": {"a": b"bin"}},
        {"type": "build", "plan": {"a": NAN}},
        {"type": "build", "plan": {"a": msgpack.ExtType(5, b"a")}},
        {"type": "build", "plan": {}, "count": NAN},
        {"type": "ping", "at": NAN},
        {"type": "ping", "at": INFINITE},
        {"type": "hello", "rooms": {"a": [NAN, 1]}},
        {"type": "hello", "rooms": {1: [1, 1]}},
        {"type": "publish", "room": "a", "key": b"k", "data": 1},
        {"type": "publish", "room": "a", "key": "k", "data": {1: 2}},
        {"type": "publish", "room": "a", "key": "k", "data": [NAN]},
        {"type": "publish", "room": "a", "key": "k", "data": msgpack.ExtType(5, b"a")},
        {"type": "publish", "room": "a", "key": "k", "data": msgpack.Timestamp(1, 2)},
        {"type": "publish", "room": "a", "key": "k", "data": {"$bin": "AAEC"}},
        {b"type": "logout"},
        {"type": b"logout"},
    ],
    ids=str,
)
def test_what_only_messagepack_can_say(message: dict[Any, Any]) -> None:
    """[MSG2] [MSG3] NaN, infinities, bin, ext and keys that are no strings have no place outside `publish.data`."""
    refused(packed(message), False)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x81\xa4type\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xffabc",
        b"\x82\xa4type\xa5build\xa4plan\xdf\x7f\xff\xff\xff",
        b"\x83\xa4type\xa5build\xa4plan\x80\xa5parts\xdd\x7f\xff\xff\xff\x01",
        b"\x82\xa4type\xa5hello\xa5rooms\x81\xa1a\xdd\x7f\xff\xff\xff\x01\x02",
        b"\x84\xa4type\xa7publish\xa4room\xa1a\xa3key\xa1k\xa4data\xdd\x7f\xff\xff\xff",
        b"\x82\xa4type\xa4move\xa2to\xa2\xff\xfe",
        b"\x82\xa4type\xa4move\xa2to\xa3\xed\xa0\x80",
        b"\x81\xa4type\xa6logoutmore",
        b"\x81\x91\x01\x02",
    ],
)
def test_broken_messagepack(payload: bytes) -> None:
    """[MSG2] Wrong bytes and lengths that promise gigabytes: refused, and nothing like that is allocated."""
    tracemalloc.start()
    try:
        assert isinstance(refused(payload, False), BadMessage)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b'{"type":"logout"} more',
        b'{"type":"logout",}',
        b"{'type':'logout'}",
        b'\xef\xbb\xbf{"type":"logout"}',
        b'{"type":"steer","vx":NaN,"vy":0}',
        b'{"type":"steer","vx":Infinity,"vy":0}',
        b'{"type":"steer","vx":1e400,"vy":0}',
        b'{"type":"build","plan":{"a":1e400}}',
        b'{"type":"build","plan":{"a":' + b"9" * 5000 + b"}}",
        b'{"type":"move","to":"\\ud800"}',
        b'{"type":"move","to":"\\udc00\\ud800"}',
        b'{"type":"move","to":"\xed\xa0\x80"}',
        b'{"type":"move","to":"\xff"}',
        b'{"type":"move","to":"a\nb"}',
        b'{"type":"build","plan":{"\\ud800":1}}',
        b'"' + b'\\"' * 8000,
        b"[" * 20 + b'"' + b'\\"' * 8000,
        b"\x81\xa4type\xa6logout",
    ],
)
def test_broken_json(payload: bytes) -> None:
    """[MSG2] Not JSON, numbers no double holds, text that is no Unicode."""
    assert isinstance(refused(payload, True), BadMessage)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"steer","vx":18446744073709551616,"vy":0}',
        b'{"type":"build","plan":{"a":18446744073709551616}}',
        b'{"type":"build","plan":{"\\u005f_proto__":1}}',
        b'{"type":"move","to":"\\u0000"}',
        b'{"type":"build","plan":{"\\u0000":1}}',
        b'{"type":"publish","room":"a","key":"k","data":{"$bin":"A"}}',
        b'{"type":"publish","room":"a","key":"k","data":{"$bin":"AA==","b":1}}',
        b'{"type":"publish","room":"a","key":"k","data":{"$bin":[1]}}',
        b'{"type":"publish","room":"a","key":"k\\u0000","data":1}',
        b'{"type":"move","type":"steer","to":"a"}',
    ],
)
def test_json_that_hides_something(payload: bytes) -> None:
    """[MSG3] Readable, but with a number, a key, a NUL or binary that may not be there."""
    assert isinstance(refused(payload, True), InvalidArgument)


def test_binary_is_carried() -> None:
    """[SIG4] Both spellings of binary are the same bytes, at any depth."""
    data = [b"\x00\xff", {"a": b""}, None, 1.5]
    in_json = DECODER.decode(
        b'{"type":"publish","room":"a","key":"k","data":[{"$bin":"AP8="},{"a":{"$bin":""}},null,1.5]}', True
    )
    assert in_json == DECODER.decode(packed({"type": "publish", "room": "a", "key": "k", "data": data}), False)
    assert in_json == Publish("a", "k", data)


words = st.sampled_from(
    [
        "type",
        "id",
        "to",
        "plan",
        "vx",
        "rooms",
        "room",
        "move",
        "build",
        "publish",
        "hello",
        "data",
        "__proto__",
        "$bin",
    ]
)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | words
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
GOOD = (
    {"type": "build", "id": "q1", "plan": {"a": [1, {"b": "é\\u0000"}]}, "parts": [2.5], "count": 7},
    {"type": "steer", "id": 7, "vx": 1.5, "vy": -3},
    {"type": "hello", "rooms": {"global": [5, 7, 9]}, "quality": "low"},
    {"type": "subscribe", "room": "global", "entities": ["ship:*"], "fields": ["x"]},
    {"type": "publish", "room": "control", "key": "pose", "data": {"a": [1, None, "x"]}},
)


def survives(payload: bytes, text: bool) -> None:
    """A message or one of the refusals; what a message gives can be asked for."""
    try:
        message = DECODER.decode(payload, text)
    except REFUSALS as refusal:
        orjson.dumps([refusal.message, refusal.message_id])
        return
    if isinstance(message, CommandMessage):
        assert len(message.body_hash()) == 8
        orjson.dumps(message.arguments)
    elif isinstance(message, Hello):
        message.positions()


@given(st.binary(max_size=80), st.booleans())
@settings(max_examples=200, deadline=None)
def test_random_bytes(payload: bytes, text: bool) -> None:
    """[MSG2] Noise never gets past the refusals."""
    survives(payload, text)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_messages(data: st.DataObject) -> None:
    """[MSG2] [MSG3] Good messages with bytes changed, cut or doubled."""
    text = data.draw(st.booleans())
    good = data.draw(st.sampled_from(GOOD))
    payload = bytearray(orjson.dumps(good) if text else packed(good))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, max(0, len(payload) - 1)))
        match data.draw(st.sampled_from(["change", "cut", "double"])):
            case "change":
                payload[place : place + 1] = data.draw(st.binary(min_size=1, max_size=2))
            case "cut":
                del payload[place : place + data.draw(st.integers(1, 4))]
            case _:
                payload[place:place] = payload[place : place + data.draw(st.integers(1, 8))]
    survives(bytes(payload), text)


@given(st.dictionaries(words | st.text(max_size=3), anything, max_size=5), st.sampled_from(GOOD))
@settings(max_examples=200, deadline=None)
def test_odd_values_in_messages(odd: dict[str, Any], good: dict[str, Any]) -> None:
    """[MSG3] Well-formed maps with anything in any place."""
    survives(packed({**good, **odd}), False)
    survives(packed(odd), False)
    survives(orjson.dumps({**good, **odd}, default=lambda value: {"$bin": value.hex()}), True)
