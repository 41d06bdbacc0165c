"""The compact encoding: what a server says comes out as it went in, in Python and elsewhere."""

from __future__ import annotations

import contextlib
import copy
import gc
import shutil
import subprocess
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.client.codec import codec_of, offers
from gameserver.errors import BadMessage
from gameserver.protocol import outgoing
from gameserver.protocol.codec import MSGPACK
from gameserver.protocol.codes import LANES
from gameserver.protocol.compact import compact_codec
from gameserver.protocol.compact_columns import MOST_ENTITIES, MOST_SHAPES, MOST_STRANGERS
from gameserver.protocol.compact_reader import CompactReader
from gameserver.protocol.compact_schema import COMPACT, FIRST_HANDLE
from gameserver.protocol.handles import Handles
from gameserver.state.entities import is_entity
from gameserver.state.values import MAX_INTEGER
from tests.protocol.compact_vectors import BASE, HERE, PATH, SCHEMA, THERE, connections, welcome

VECTORS = orjson.loads(PATH.read_bytes())


class Line:
    """A worker's codec and one client's."""

    def __init__(self, *rooms: str) -> None:
        self.codec = compact_codec(SCHEMA, BASE)
        assert self.codec.handles is not None
        self.held = {room: self.codec.handles.hold(room) for room in rooms}
        self.client = codec_of(COMPACT)

    def told(self, message: Any) -> Any:
        return self.client.decode(self.codec.encode(message))

    def parts(self, message: Any) -> list[Any]:
        parts: list[Any] = msgspec.msgpack.decode(self.codec.encode(message))
        return parts


def line(*rooms: str, seq: int = 0) -> Line:
    """One that was welcomed and knows the rooms."""
    opened = Line(*rooms)
    opened.told(welcome())
    for room in rooms:
        opened.told(outgoing.snapshot(room, 1, seq, {}, 0))
    return opened


def comparable(message: Any) -> Any:
    """What tells 1 from True, and does not tell the orders of entities and of deletions apart."""
    return exact(message | {"del": sorted(message["del"])} if "del" in message else message)


def exact(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    return isinstance(value, bool), value


# -- the vectors --------------------------------------------------------------------------------------------


def test_the_vectors_are_those_of_the_code() -> None:
    """What is published for other languages is what the server sends; see compact_vectors."""
    assert connections() == VECTORS


@pytest.mark.parametrize("connection", VECTORS, ids=[connection["name"] for connection in VECTORS])
def test_vectors_read(connection: dict[str, Any]) -> None:
    """[CMP1] to [CMP9] The client reads every vector."""
    client = codec_of(COMPACT)
    client.encode({"type": "hello", "rooms": connection["hello"]})
    for each in connection["messages"]:
        read = client.decode(bytes.fromhex(each["encoded"]))
        assert comparable(orjson.loads(orjson.dumps(read, default=base64_of))) == comparable(each["message"])


def base64_of(value: bytes) -> dict[str, str]:
    return {"$bin": orjson.loads(msgspec.json.encode(value))}


def test_an_independent_decoder_agrees() -> None:
    """[CMP1] to [CMP9] The decoder in plain JavaScript, written from the document, reads every vector."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on PATH to run tests/vectors/compact.mjs with")
    run = subprocess.run([node, str(PATH.with_suffix(".mjs"))], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"{sum(len(connection['messages']) for connection in VECTORS)} messages\n"


# -- properties ---------------------------------------------------------------------------------------------

values = st.recursive(
    st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(width=32, allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
ids = st.integers(-2, 2**32 + 1).map(str) | st.integers(0, 12).map(str) | st.text(max_size=4) | st.just("01")
kinds = st.sampled_from([*SCHEMA, "player", "undeclared"])
entities = (st.builds("{}:{}".format, kinds, ids) | kinds | st.text(min_size=1, max_size=6)).filter(is_entity)
fields = st.sampled_from(["x", "y", "hull", "name", "boost", "price", "tax", "f00", "f30", "f31", "ø"])
contents = st.dictionaries(fields | st.text(max_size=3), values | st.none(), max_size=4)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
moves = st.fixed_dictionaries({"x": floats, "y": floats}) | st.fixed_dictionaries({"y": floats, "x": floats})
states = st.dictionaries(entities, contents, max_size=6) | st.dictionaries(
    st.integers(0, 300).map("ship:{}".format), moves, max_size=8
)
seqs = st.integers(0, MAX_INTEGER)


@given(st.lists(states, min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_state_comes_out_as_it_went_in(shown: list[Any]) -> None:
    """[CMP6] [CMP7] Whatever entities and fields there are, declared or not, removed or set."""
    opened = line(HERE)
    for seq, sets in enumerate(shown, 1):
        message = outgoing.delta(HERE, seq - 1, seq, list(sets)[:2], sets)
        assert comparable(opened.told(message)) == comparable(message)
        snapshot = outgoing.snapshot(HERE, 1, seq, sets, 7)
        assert comparable(opened.told(snapshot)) == comparable(snapshot)


events = st.builds(
    outgoing.event,
    st.text(max_size=5),
    st.dictionaries(st.text(max_size=3), values | st.none(), max_size=3),
    st.none() | st.text(max_size=5),
    st.integers(0, 400),
    st.integers(0, 3),
    st.integers(BASE - 10**9, BASE + 10**12),
    st.sampled_from(LANES),
)


@given(
    latest=st.integers(0, 300),
    steps=st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 300), st.lists(events, max_size=3), st.booleans()), max_size=6
    ),
    watermark=st.none() | seqs,
)
@settings(max_examples=100, deadline=None)
def test_positions_and_events_come_out_as_they_went_in(latest: int, steps: list[Any], watermark: int | None) -> None:
    """[CMP8] [CMP9] [DEL8] [DEL10] However far a delta goes, from where the client is or below, to there or above."""
    opened = line(HERE, seq=latest)
    for forward, back, said, partial in steps:
        seq = latest + forward
        message = outgoing.delta(
            HERE, max(0, latest - back), seq, events=said, partial=partial, watermark=watermark if partial else None
        )
        assert opened.told(message) == message
        latest = seq


@given(values | st.binary(max_size=5) | st.none(), st.none() | st.text(max_size=3), st.booleans(), seqs, seqs)
@settings(max_examples=100, deadline=None)
def test_the_rest_comes_out_as_it_went_in(data: Any, sender: str | None, held: bool, seq: int, sum: int) -> None:
    """[CMP3] [CMP4] [SIG4] With a handle and without."""
    opened = line(HERE) if held else line()
    for message in (outgoing.signal(HERE, "key", data, sender), outgoing.verify(HERE, 2, seq, sum)):
        assert comparable(opened.told(message)) == comparable(message)


noise = st.recursive(
    st.none() | st.integers(-2, 2**40) | st.text(max_size=3) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@given(
    st.binary(max_size=30)
    | st.builds(lambda first, rest: MSGPACK.encode([first, *rest]), st.integers(0, 34), st.lists(noise, max_size=8))
)
@settings(max_examples=100, deadline=None)
def test_garbage_is_refused_in_one_way(payload: bytes) -> None:
    """Whatever a server sends, a client reads a message or has a BadMessage."""
    opened = line(HERE)
    with contextlib.suppress(BadMessage):
        assert "type" in opened.client.decode(payload)


# -- the forms ----------------------------------------------------------------------------------------------


def test_a_small_change_is_small() -> None:
    """[CMP9] Handle, seq, kind, fields, id, and the values."""
    opened = line(HERE, seq=1000)
    message = outgoing.delta(HERE, 1000, 1001, sets={"port:12": {"stock": 77, "price": 12}})
    assert opened.codec.encode(message) == bytes([0x97, FIRST_HANDLE, 1001 % 128, 2, 0b11000, 12, 12, 77])


def test_floats_are_packed_only_when_they_come_out_the_same() -> None:
    """[CMP7] [ST4] A number that is no float32, or none at all, is written with names."""
    opened = line(HERE)
    for seq, (value, form) in enumerate([(0.5, 8), (0.1, ["x"]), (1e300, ["x"]), (True, ["x"]), (None, ["x"])]):
        message = outgoing.delta(HERE, seq, seq + 1, sets={"ship:1": {"x": value}})
        assert opened.parts(message)[3] == form
        assert comparable(opened.told(message)) == comparable(message)


def test_what_is_remembered_is_bounded() -> None:
    """More entities, kinds and combinations of fields than are remembered are written all the same."""
    opened = line(HERE)
    many = {f"ship:n{number}": {"hull": number} for number in range(MOST_ENTITIES + 10)}
    strangers = {f"kind{number}:1": {"x": number} for number in range(MOST_STRANGERS + 10)}
    shapes = {f"ship:{number}": {f"field{number}": number} for number in range(MOST_SHAPES + 10)}
    for seq, sets in enumerate((many, strangers, shapes), 1):
        message = outgoing.snapshot(HERE, 1, seq, sets, 0)
        assert opened.told(message) == message
        assert opened.told(message) == message


def test_encoding_changes_no_message() -> None:
    """The same message is encoded for others too."""
    opened = line(HERE)
    for message in (
        welcome({HERE: True}),
        outgoing.delta(HERE, 0, 1, ["a:1"], {"b:1": {"x": 1}}),
        outgoing.left(HERE, ""),
    ):
        before = copy.deepcopy(message)
        opened.codec.encode(message)
        assert message == before


# -- handles ------------------------------------------------------------------------------------------------


def test_a_handle_is_used_only_while_it_is_held() -> None:
    """[CMP4] A room nobody holds is named, and so is what was never announced."""
    opened = line(HERE)
    message = outgoing.verify(HERE, 1, 0, 0)
    assert opened.parts(message)[1] == FIRST_HANDLE
    opened.held.clear()
    assert opened.parts(message)[1] == HERE
    assert opened.told(message) == message
    assert opened.parts(outgoing.snapshot(HERE, 1, 0, {}, 0))[1] is None


def test_compressed_frames_speak_of_the_same_rooms() -> None:
    """A member whose frames are deflated holds the same handles, or it would be told numbers it never had."""
    codec = compact_codec(SCHEMA, BASE)
    assert codec.deflated.handles is codec.handles is not None


def test_handles_are_shared_and_given_back() -> None:
    """Whoever holds a room has the same handle; the smallest free number comes first."""
    handles = Handles()
    first, second = handles.hold(HERE), handles.hold(THERE)
    assert handles.hold(HERE) is first
    assert handles.numbers == {HERE: FIRST_HANDLE, THERE: FIRST_HANDLE + 1}
    del first
    assert handles.numbers == {THERE: FIRST_HANDLE + 1}
    again = handles.hold("private:ada")
    assert (again.number, second.number) == (FIRST_HANDLE, FIRST_HANDLE + 1)
    del again, second
    assert not handles.numbers


def test_a_handle_that_died_in_a_cycle_takes_nothing_from_its_successor() -> None:
    """What is collected late was perhaps followed by another handle of the room."""
    handles = Handles()
    cycle: list[Any] = [handles.hold(HERE)]
    cycle.append(cycle)
    del cycle
    handle = handles.hold(HERE)
    gc.collect()
    assert handles.numbers == {HERE: handle.number}


def test_the_welcome_of_a_resumed_session_has_the_handles_of_what_it_goes_on_with() -> None:
    """[CMP4] [RES5] Of the recovered rooms, and no others; the client's own positions are where their deltas start."""
    opened = Line(HERE, THERE)
    opened.client.encode({"type": "hello", "rooms": {HERE: [1, 500], THERE: [1, 5]}})
    message = welcome({HERE: True, THERE: False})
    assert opened.parts(message)[1]["handles"] == {HERE: FIRST_HANDLE}
    assert opened.told(message) == message
    delta = outgoing.delta(HERE, 500, 600, sets={"ship:1": {"hull": 1}})
    assert opened.told(delta) == delta


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [FIRST_HANDLE + 9, 1],
        [-1, {}],
        [99],
        [31, {}],
        [3, 1],
        [1, None, HERE],
        [2, 77, 1, 0, None, None],
        [FIRST_HANDLE, 1, 99, 0, 1],
        [FIRST_HANDLE, 1, -1, 0, 1],
        [FIRST_HANDLE, 1, 0, 1, 1],
        [FIRST_HANDLE, 1, 1, 1, [1, 2], [1]],
        [FIRST_HANDLE, 1, 3, 0b1000, 1, b"123"],
        [FIRST_HANDLE, 1, ["name"]],
        [FIRST_HANDLE, 1, None],
        {"type": "pong"},
        7,
    ],
    ids=repr,
)
def test_what_cannot_be_resolved_is_refused(parts: Any) -> None:
    """A client does not guess."""
    with pytest.raises(BadMessage):
        line(HERE).client.decode(MSGPACK.encode(parts))


def test_a_client_says_what_it_says_in_messagepack() -> None:
    """[CMP1] Only the server's direction is compact, and a server without it is offered the others too."""
    message = {"type": "move", "id": 7, "to": THERE}
    assert MSGPACK.decode(codec_of(COMPACT).encode(message)) == message
    assert offers("compact") == [COMPACT, "gameserver.v1.msgpack", "gameserver.v1.json"]
    assert codec_of(COMPACT) is not codec_of(COMPACT)
    assert isinstance(CompactReader().read(Line().codec.encode(welcome())), dict)
