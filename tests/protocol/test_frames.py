"""Server frames: what a WebSocket peer reads from them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from gameserver.protocol.frames import encode_frame, join_frames, payload_of, split_frames

EDGES = [0, 1, 125, 126, 127, 255, 256, 65535, 65536, 70000]


def read_by_websockets(frame: bytes) -> Frame:
    """What an independent implementation makes of the bytes; it must consume them all."""
    reader = StreamReader()
    reader.feed_data(frame)
    reader.feed_eof()
    parsing = Frame.parse(reader.read_exact, mask=False)
    try:
        while True:
            next(parsing)
    except StopIteration as done:
        frame_read: Frame = done.value
    assert not reader.buffer
    return frame_read


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("size", EDGES)
def test_frames_at_the_edges_of_their_length(size: int, text: bool) -> None:
    """[MSG1] Text for JSON, binary for MessagePack, whole, unmasked, uncompressed, in the shortest form."""
    payload = b"x" * size
    frame = encode_frame(payload, text)
    assert payload_of(frame) == (payload, text)
    read = read_by_websockets(frame)
    assert read.data == payload
    assert read.opcode is (Opcode.TEXT if text else Opcode.BINARY)
    assert (read.fin, read.rsv1, read.rsv2, read.rsv3) == (True, False, False, False)
    assert len(frame) - size == (2 if size < 126 else 4 if size < 65536 else 10)


@given(st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=6))
@settings(max_examples=60, deadline=None)
def test_joined_frames_come_apart(messages: list[tuple[bytes, bool]]) -> None:
    """Frames written as one are read as several."""
    assert split_frames(join_frames(encode_frame(*message) for message in messages)) == messages


@given(st.binary(max_size=20))
@settings(max_examples=100, deadline=None)
def test_anything_else_is_refused(stream: bytes) -> None:
    """Bytes that are not such frames give ValueError and nothing else; what is read is what was written."""
    try:
        messages = split_frames(stream)
    except ValueError:
        return
    assert [payload for payload, _ in messages] == [payload_of(encode_frame(*each))[0] for each in messages]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x81",
        b"\x81\x02a",
        b"\x81\x01ab",
        b"\x01\x01a",
        b"\x88\x00",
        b"\xc1\x01a",
        b"\x81\x81abcda",
        b"\x81\x7e\x00",
    ],
)
def test_not_one_frame_of_ours(frame: bytes) -> None:
    """Cut, continued, fragmented, control, compressed and masked frames are none of ours."""
    with pytest.raises(ValueError):
        payload_of(frame)
