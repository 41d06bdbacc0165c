"""Client messages: what is accepted, what is refused, and how."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import msgpack
import orjson
import pytest
from msgspec import UNSET, Meta

from gameserver.errors import BadMessage, GameserverError, InvalidArgument, UnknownCommand
from gameserver.protocol.incoming import (
    Argument,
    CommandMessage,
    CommandSpec,
    Hello,
    Incoming,
    Limits,
    Logout,
    Ping,
    Publish,
    Quality,
    Refresh,
    Resync,
    Seen,
    Subscribe,
    Unsubscribe,
    build_decoder,
    id_key,
)


class Stance(Enum):
    CALM = "calm"
    ANGRY = "angry"


SPECS = (
    CommandSpec("move", (Argument("to", str),)),
    CommandSpec("steer", (Argument("vx", float), Argument("vy", float))),
    CommandSpec("buy", (Argument("good", Literal["ore", "fuel"]), Argument("amount", int, 1))),
    CommandSpec("stand", (Argument("stance", Stance), Argument("loud", bool, False))),
    CommandSpec("chat", (Argument("text", str), Argument("to", str | None, None))),
    CommandSpec("build", (Argument("plan", dict), Argument("parts", list, [1]))),
    CommandSpec("paint", (Argument("names", list[str]), Argument("by", dict[str, int] | None, None))),
    CommandSpec("range", (Argument("at", Annotated[int, Meta(ge=1, le=6)]), Argument("or_name", int | str, 0))),
    CommandSpec("self", (Argument("name", str), Argument("spec", int, 0), Argument("arguments", int, 0))),
)
DECODER = build_decoder(SPECS)
NAN, INFINITE = float("nan"), float("inf")

both = pytest.mark.parametrize("text", [True, False], ids=["json", "msgpack"])


def packed(message: Any, text: bool) -> bytes:
    return orjson.dumps(message) if text else bytes(msgpack.packb(message))


def decoded(message: Any, text: bool = True) -> Incoming:
    return DECODER.decode(packed(message, text), text)


def refused(payload: bytes, text: bool) -> GameserverError:
    with pytest.raises(GameserverError) as caught:
        DECODER.decode(payload, text)
    return caught.value


@both
@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"type": "resync", "room": "global"}, Resync("global")),
        ({"type": "publish", "room": "a", "key": "k", "data": None}, Publish("a", "k", None)),
        ({"type": "logout"}, Logout()),
        ({"type": "subscribe", "room": "a"}, Subscribe("a", UNSET, UNSET)),
        (
            {"type": "subscribe", "room": "a", "entities": ["ship:*"], "fields": []},
            Subscribe("a", ["ship:*"], []),
        ),
        ({"type": "unsubscribe", "room": "a"}, Unsubscribe("a")),
        ({"type": "quality", "tier": "low", "reason": "battery"}, Quality("low", "battery")),
        ({"type": "refresh", "token": "a.b.c"}, Refresh("a.b.c")),
        ({"type": "ping", "at": 12}, Ping(12)),
        ({"type": "ping", "at": 12.5}, Ping(12.5)),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_messages_of_the_protocol(message: dict[str, Any], expected: Incoming, text: bool) -> None:
    """[MSG1] Each type of the client's table, in both encodings."""
    assert decoded(message, text) == expected


@both
@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ({"type": "move", "to": "sector:8"}, {"to": "sector:8"}),
        ({"type": "steer", "vx": 1, "vy": -2.5}, {"vx": 1.0, "vy": -2.5}),
        ({"type": "buy", "good": "ore"}, {"good": "ore", "amount": 1}),
        ({"type": "stand", "stance": "angry", "loud": True}, {"stance": Stance.ANGRY, "loud": True}),
        ({"type": "chat", "text": "\x01<b>‮"}, {"text": "\x01<b>‮", "to": None}),
        ({"type": "chat", "text": "\\u0000", "to": ""}, {"text": "\\u0000", "to": ""}),
        ({"type": "build", "plan": {"a": {"b": [1, 2.5]}}}, {"plan": {"a": {"b": [1, 2.5]}}, "parts": [1]}),
        ({"type": "paint", "names": ["a", "b"], "by": {"c": 1}}, {"names": ["a", "b"], "by": {"c": 1}}),
        ({"type": "range", "at": 6, "or_name": "x"}, {"at": 6, "or_name": "x"}),
        ({"type": "self", "name": "n", "spec": 2}, {"name": "n", "spec": 2, "arguments": 0}),
    ],
)
def test_commands(message: dict[str, Any], arguments: dict[str, Any], text: bool) -> None:
    """[CMD1] [CMD10] Arguments arrive typed, defaults filled in, an int for a float as a float."""
    command = decoded({"id": 7, **message}, text)
    assert isinstance(command, CommandMessage)
    assert (command.name, command.id) == (message["type"], 7)
    assert command.arguments == arguments
    assert command.values == tuple(arguments.values())
    assert [type(value) for value in command.values] == [type(value) for value in arguments.values()]


def test_defaults_are_not_shared() -> None:
    """A handler that changes its argument does not change the next command's default."""
    first = decoded({"type": "build", "plan": {}})
    assert isinstance(first, CommandMessage)
    first.arguments["parts"].append(2)
    second = decoded({"type": "build", "plan": {}})
    assert isinstance(second, CommandMessage)
    assert second.arguments["parts"] == [1]


@both
@pytest.mark.parametrize("message_id", [0, 7, -(2**53) + 1, 2**53 - 1, "7", "x" * 64, "é"])
def test_ids(message_id: Any, text: bool) -> None:
    """[CMD3] Integers and strings; what one command is answered by is what it was given."""
    command = decoded({"type": "move", "to": "a", "id": message_id}, text)
    assert isinstance(command, CommandMessage)
    assert command.id == message_id
    assert type(command.id) is type(message_id)


@both
@pytest.mark.parametrize("message_id", [None, True, 1.5, "", "x" * 65, 2**53, [1], {"a": 1}, "a\0"])
def test_bad_ids(message_id: Any, text: bool) -> None:
    """[CMD3] [MSG4] What is no id is refused without one."""
    refusal = refused(packed({"type": "move", "to": "a", "id": message_id}, text), text)
    assert isinstance(refusal, InvalidArgument)
    assert refusal.message_id is None


def test_id_keys_differ() -> None:
    """[CMD3] `7` and `"7"` are remembered apart."""
    assert (id_key(7), id_key("7"), id_key("i7")) == ("i7", "s7", "si7")


@both
@pytest.mark.parametrize(
    ("message", "named"),
    [
        ({"type": "move"}, "to"),
        ({"type": "move", "to": None}, "to"),
        ({"type": "move", "to": 5}, "to"),
        ({"type": "move", "to": "x" * 4097}, "to"),
        ({"type": "move", "to": "a\0b"}, "NUL"),
        ({"type": "move", "to": "a", "from": "forged"}, "from"),
        ({"type": "move", "to": "a", "__proto__": {}}, "__proto__"),
        ({"type": "steer", "vx": 1, "vy": "2"}, "vy"),
        ({"type": "steer", "vx": 1, "vy": True}, "vy"),
        ({"type": "steer", "vx": 1, "vy": 2**63}, "vy"),
        ({"type": "steer", "vx": 1, "vy": -1e300}, "vy"),
        ({"type": "buy", "good": "gold"}, "good"),
        ({"type": "buy", "good": "ore", "amount": 1.5}, "amount"),
        ({"type": "buy", "good": "ore", "amount": True}, "amount"),
        ({"type": "buy", "good": "ore", "amount": 2**53}, "amount"),
        ({"type": "buy", "good": "ore", "amount": None}, "amount"),
        ({"type": "stand", "stance": "mild"}, "stance"),
        ({"type": "stand", "stance": "calm", "loud": 1}, "loud"),
        ({"type": "chat", "text": "a", "to": None}, "to"),
        ({"type": "build", "plan": []}, "plan"),
        ({"type": "build", "plan": {"a": None}}, "plan"),
        ({"type": "build", "plan": {"__proto__": 1}}, "plan"),
        ({"type": "build", "plan": {"a": "\0"}}, "NUL"),
        ({"type": "build", "plan": {"a": 2**53}}, "plan"),
        ({"type": "build", "plan": {}, "parts": [[None]]}, "parts"),
        ({"type": "paint", "names": [1]}, "names"),
        ({"type": "paint", "names": [], "by": {"a": "b"}}, "by"),
        ({"type": "paint", "names": [], "by": {"__proto__": 1}}, "by"),
        ({"type": "range", "at": 7}, "at"),
        ({"type": "resync", "room": ""}, "room"),
        ({"type": "resync", "room": ["global"]}, "room"),
        ({"type": "subscribe", "room": "a", "entities": "ship:*"}, "entities"),
        ({"type": "subscribe", "room": "a", "entities": [None]}, "entities"),
        ({"type": "subscribe", "room": "a", "fields": ["f"] * 65}, "fields"),
        ({"type": "quality", "tier": "best"}, "tier"),
        ({"type": "refresh"}, "token"),
        ({"type": "ping", "at": "now"}, "at"),
        ({"type": "publish", "room": "a", "key": "k"}, "data"),
        ({"type": "publish", "room": "a", "key": "k", "data": 1, "from": "forged"}, "from"),
        ({"type": "publish", "room": "a", "key": "k", "data": {"__proto__": 1}}, "data"),
        ({"type": "publish", "room": "a", "key": "k", "data": 2**53}, "data"),
        ({"type": "logout", "all": True}, "all"),
    ],
    ids=str,
)
def test_invalid_arguments_are_named(message: dict[str, Any], named: str, text: bool) -> None:
    """[MSG3] [MSG4] [CMD10] Missing, extra, null and wrongly typed arguments: refused by name, and under the id."""
    refusal = refused(packed({**message, "id": "q1"}, text), text)
    assert isinstance(refusal, InvalidArgument)
    assert refusal.message_id == "q1"
    without_id = refused(packed(message, text), text)
    assert isinstance(without_id, InvalidArgument)
    assert named in without_id.message
    assert without_id.message_id is None


@both
@pytest.mark.parametrize("kind", ["fly", "welcome", "command_ack", "Move", "x" * 5000, "mo\0ve"])
def test_unknown_types(kind: str, text: bool) -> None:
    """[MSG3] A type there is not, the server's own included, is told apart from what cannot be read."""
    refusal = refused(packed({"type": kind, "id": 7, "a": [1, {"b": None}]}, text), text)
    assert isinstance(refusal, UnknownCommand)
    assert refusal.message_id == 7
    assert len(refusal.message) < 100


@both
@pytest.mark.parametrize("kind", [None, 7, "", ["move"], {}, True])
def test_without_a_type_it_is_no_message(kind: Any, text: bool) -> None:
    """[MSG2] No `type`, or one that is no word; the id is still read."""
    refusal = refused(packed({"type": kind, "id": 7}, text), text)
    assert isinstance(refusal, BadMessage)
    assert refusal.message_id == 7
    assert isinstance(refused(packed({"to": "a"}, text), text), BadMessage)


@both
@pytest.mark.parametrize("value", [[], [{"type": "move"}], "move", 7, None, True], ids=str)
def test_only_maps_are_messages(value: Any, text: bool) -> None:
    """[MSG1] [MSG2] Anything but a map."""
    assert isinstance(refused(packed(value, text), text), BadMessage)


def test_hello() -> None:
    """[RES1] Positions with and without events."""
    message = decoded({"type": "hello", "rooms": {"global": [5, 7], "team:a": [5, 7, 9]}, "quality": "low"})
    assert isinstance(message, Hello)
    assert message.positions() == {"global": Seen(5, 7, 7), "team:a": Seen(5, 7, 9)}
    assert message.quality == "low"


@both
def test_hello_with_odd_numbers(text: bool) -> None:
    """[RES6] Negative and huge positions are read, for the session to judge; beyond 2^53-1 they are cut down."""
    rooms = {"a": [-1, -5, None], "b": [2**63, 1e300], "c": [1.0, -1e30, 2]}
    message = decoded({"type": "hello", "rooms": rooms}, text)
    assert isinstance(message, Hello)
    most = 2**53 - 1
    assert message.positions() == {"a": Seen(-1, -5, -5), "b": Seen(most, most, most), "c": Seen(1, -most, 2)}


@both
@pytest.mark.parametrize(
    "rooms", [{"a": [1]}, {"a": [1, 2, 3, 4]}, {"a": ["1", 2]}, {"a": 5}, {"__proto__": [1, 2]}, {"a\0": [1, 2]}, []]
)
def test_hello_with_what_is_no_position(rooms: Any, text: bool) -> None:
    """[RES1] Other shapes are refused."""
    assert isinstance(refused(packed({"type": "hello", "rooms": rooms}, text), text), InvalidArgument)


def test_a_spec_must_be_sound() -> None:
    """[CMD2] Reserved names, arguments nobody could send, and types nobody could check fail at the start."""
    for name in ("hello", "publish", "", "a\nb", "x" * 65):
        with pytest.raises(ValueError):
            CommandSpec(name)
    for argument in ("id", "type", "_hidden", "a-b"):
        with pytest.raises(ValueError):
            CommandSpec("move", (Argument(argument, str),))
    with pytest.raises(ValueError):
        CommandSpec("move", (Argument("to", str), Argument("to", int)))
    for annotation in (bytes, set, dict[int, str], object, Any, Limits):
        with pytest.raises(TypeError):
            CommandSpec("move", (Argument("to", annotation),))
    with pytest.raises(ValueError):
        build_decoder([CommandSpec("move"), CommandSpec("move")])


def test_limits_are_the_builders() -> None:
    """A world may allow less or more."""
    decoder = build_decoder(SPECS, Limits(message=60, text=3))
    assert isinstance(decoder.decode(b'{"type":"move","to":"abc"}', True), CommandMessage)
    with pytest.raises(InvalidArgument, match="to"):
        decoder.decode(b'{"type":"move","to":"abcd"}', True)
    with pytest.raises(BadMessage, match="60 bytes"):
        decoder.decode(b'{"type":"move","to":"abc"}' + b" " * 40, True)


def test_a_world_without_commands() -> None:
    """The protocol's own messages need no game."""
    assert build_decoder([]).decode(b'{"type":"logout"}', True) == Logout()
