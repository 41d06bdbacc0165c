"""The encodings: the same message in both, binary included."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.errors import BadMessage
from gameserver.protocol.codec import CODECS, JSON, MSGPACK, Codec
from gameserver.protocol.frames import payload_of
from gameserver.protocol.outgoing import signal

both = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
)
keys = st.text(max_size=6).filter(lambda key: key != "$bin")
data = st.recursive(
    scalars | st.binary(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=10,
)


@both
@given(data)
@settings(max_examples=100, deadline=None)
def test_round_trip(codec: Codec, value: Any) -> None:
    """[SIG4] What goes in comes out, bytes at any depth included."""
    message = signal("control", "pose", value)
    assert codec.decode(codec.encode(message)) == message


@both
def test_frame_is_the_payload_framed(codec: Codec) -> None:
    """[MSG1] JSON travels in text frames, MessagePack in binary ones."""
    assert payload_of(codec.frame({"type": "pong"})) == (codec.encode({"type": "pong"}), codec.text)
    assert CODECS[codec.subprotocol] is codec
    assert codec.text == (codec is JSON)


def test_binary_on_the_wire() -> None:
    """[SIG4] bin in MessagePack, `{"$bin": base64}` in JSON."""
    message = {"data": b"\x00\xff"}
    assert json.loads(JSON.encode(message)) == {"data": {"$bin": "AP8="}}
    assert msgpack.unpackb(MSGPACK.encode(message)) == message


@given(scalars | st.floats())
@settings(max_examples=60, deadline=None)
def test_json_has_no_nan(value: Any) -> None:
    """Strict parsers read whatever is sent."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    json.loads(JSON.encode([value]), parse_constant=refuse)
    assert b"NaN" not in JSON.encode([math.nan])


@both
@given(payload=st.binary(max_size=40))
@settings(max_examples=100, deadline=None)
def test_a_client_reads_or_refuses(codec: Codec, payload: bytes) -> None:
    """Anything that is not a map is BadMessage, never another error."""
    with contextlib.suppress(BadMessage):
        assert isinstance(codec.decode(payload), dict)


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"",
        b"{",
        b"[" * 100_000,
        b'{"type":"signal","data":{"$bin":"*"}}',
        b'{"type":"signal","data":[{"$bin":"AA==","more":1}]}',
        b'{"type":"signal","data":{"$bin":1}}',
    ],
)
def test_not_a_message(payload: bytes) -> None:
    """No map, too deep, or binary that is none."""
    with pytest.raises(BadMessage):
        JSON.decode(payload)
