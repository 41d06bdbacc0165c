"""The hash of a command's body: what tells a retry from another command under the same id."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import msgpack
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.protocol.incoming import Argument, CommandMessage, CommandSpec, build_decoder


class Stance(Enum):
    CALM = "calm"
    ANGRY = "angry"


ARGUMENTS = (
    Argument("text", str),
    Argument("amount", int, 1),
    Argument("speed", float, 0.5),
    Argument("loud", bool, False),
    Argument("good", Literal["ore", "fuel"], "ore"),
    Argument("stance", Stance, Stance.CALM),
    Argument("plan", dict, {}),
    Argument("parts", list, []),
    Argument("either", int | str | float, 0),
)
DECODER = build_decoder([CommandSpec("act", ARGUMENTS), CommandSpec("other", ARGUMENTS)])

numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e15, 1e15)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    numbers | texts | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
bodies = st.fixed_dictionaries(
    {"text": texts},
    optional={
        "amount": st.integers(-9, 9),
        "speed": numbers,
        "loud": st.booleans(),
        "good": st.sampled_from(["ore", "fuel"]),
        "stance": st.sampled_from(["calm", "angry"]),
        "plan": st.dictionaries(texts.filter(lambda key: key != "__proto__"), values, max_size=3),
        "parts": st.lists(values, max_size=3),
        "either": numbers | texts,
    },
)


def command(message: dict[str, Any], text: bool) -> CommandMessage:
    payload = orjson.dumps(message) if text else msgpack.packb(message)
    decoded = DECODER.decode(payload, text)
    assert isinstance(decoded, CommandMessage)
    return decoded


def body_hash(message: dict[str, Any], text: bool = True) -> bytes:
    return command({"type": "act", **message}, text).body_hash()


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def as_written_elsewhere(value: Any) -> Any:
    """Integral floats as integers: JavaScript has one kind of number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: as_written_elsewhere(item) for key, item in value.items()}
    return [as_written_elsewhere(item) for item in value] if isinstance(value, list) else value


@given(bodies)
@settings(max_examples=150, deadline=None)
def test_equal_over_encodings_and_order(body: dict[str, Any]) -> None:
    """[CMD6] The same command is the same, however it was written."""
    first = body_hash(body)
    assert len(first) == 8
    assert body_hash(body, text=False) == first
    assert body_hash(reordered(body), text=False) == first
    assert body_hash(as_written_elsewhere(body)) == first
    assert body_hash({**body, "id": 7}) == first


@given(bodies, bodies)
@settings(max_examples=150, deadline=None)
def test_other_arguments_give_another_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    """[CMD7] Different arguments are told apart."""
    first, second = command({"type": "act", **one}, True), command({"type": "act", **other}, True)
    if first.arguments != second.arguments:
        assert first.body_hash() != second.body_hash()


def test_negative_zero_is_zero() -> None:
    """[SUM4] JavaScript writes -0 as 0 in one encoding and not in the other."""
    assert body_hash({"text": "a", "speed": -0.0}) == body_hash({"text": "a", "speed": 0}, text=False)


def test_defaults_and_names() -> None:
    """[CMD6] [CMD7] A default spelled out changes nothing; another command, or an argument in another's place, does."""
    assert body_hash({"text": "a"}) == body_hash({"text": "a", "amount": 1, "stance": "calm", "plan": {}})
    assert body_hash({"text": "a"}) != command({"type": "other", "text": "a"}, True).body_hash()
    assert body_hash({"text": "a", "amount": 0}) != body_hash({"text": "a", "either": 5})
    assert body_hash({"text": "a", "either": 7}) != body_hash({"text": "a", "either": "7"})


def test_defaults_that_nest() -> None:
    """[CMD6] [CMD7] A list or map equal to the default is the default, in the sense of the checksum."""
    decoder = build_decoder([CommandSpec("act", (Argument("parts", list, [1]),))])

    def hashed(parts: bytes) -> bytes:
        command = decoder.decode(b'{"type":"act"%s}' % parts, True)
        assert isinstance(command, CommandMessage)
        return command.body_hash()

    assert hashed(b"") == hashed(b',"parts":[1]') == hashed(b',"parts":[1.0]')
    assert hashed(b"") != hashed(b',"parts":[true]')


def test_stable() -> None:
    """Workers of different versions, started at different times, compute the same."""
    assert body_hash({"text": "hello", "amount": 3}).hex() == "47201f71262510a9"
