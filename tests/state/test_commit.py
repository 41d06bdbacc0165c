"""Commits as bytes: what is written is read, and what is not a commit is refused."""

from __future__ import annotations

import contextlib
from typing import Any

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gameserver.state.commit import (
    FORMAT,
    Event,
    Header,
    Part,
    PoisonCommit,
    decode_commit,
    encode_commit,
    encode_part,
)

names = st.text(min_size=1, max_size=8)
positive = st.integers(0, 2**53 - 1)
values = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=6)
events = st.builds(
    Event,
    name=names,
    data=st.dictionaries(names, values, max_size=2),
    sender=st.none() | names,
    priority=st.integers(0, 5),
)
parts = st.builds(
    Part,
    dels=st.lists(names, max_size=2),
    sets=st.dictionaries(names, st.dictionaries(names, values, max_size=2), max_size=2),
    events=st.lists(events, max_size=2),
    siblings=st.lists(names, max_size=2),
)
headers = st.builds(
    Header,
    format=st.just(FORMAT),
    epoch=positive,
    seq=positive,
    sum=st.integers(0, 2**32 - 1),
    at=positive,
    worker=names,
    number=positive,
)

HEADER = Header(FORMAT, 1700000000000, 7, 99, 1700000000123, "w1", 3)


@given(headers, st.lists(parts, max_size=3))
@settings(max_examples=80, deadline=None)
def test_round_trip(header: Header, written: list[Part]) -> None:
    """What a worker encodes and the store heads is read back the same."""
    commit = decode_commit(encode_commit(header, [encode_part(part) for part in written]))
    assert commit.header == header
    assert commit.parts == written
    assert commit.id == (header.worker, header.number)
    assert commit.events == [event for part in written for event in part.events]
    assert set(commit.siblings) == {room for part in written for room in part.siblings}


@pytest.mark.parametrize("size", [0, 1, 14, 15, 40])
def test_any_number_of_parts(size: int) -> None:
    """The array's header fits its length."""
    blobs = [encode_part(Part(dels=[f"ship:{number}"])) for number in range(size)]
    assert [part.dels for part in decode_commit(encode_commit(HEADER, blobs)).parts] == [
        [f"ship:{number}"] for number in range(size)
    ]


@given(st.binary(max_size=64))
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xc1")
@settings(max_examples=150, deadline=None)
def test_garbage_is_poison(payload: bytes) -> None:
    """Bytes that happen to arrive are refused by their format, never an error of another kind."""
    with pytest.raises(PoisonCommit):
        decode_commit(payload)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_commits_raise_nothing_else(data: st.DataObject) -> None:
    """A commit with bytes changed, cut or added is read or refused."""
    whole = bytearray(
        encode_commit(
            HEADER, [encode_part(Part(["ship:1"], {"ship:2": {"x": 1.5}}, [Event("chat", {"a": "é"}, None, 4)]))]
        )
    )
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    del whole[data.draw(st.integers(0, len(whole))) :]
    with contextlib.suppress(PoisonCommit):
        decode_commit(bytes(whole))


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"a": 1},
        [[2, 1, 1, 1, 1, "w", 1], []],
        [[FORMAT, 1, 1, 1, 1, "w", 1]],
        [[FORMAT, 1, 1], []],
        [[FORMAT, 1, 1, 1, 1, "w", "1"], []],
        [[FORMAT, 1, 1, 1, 1, "w", 1], [[["a"], {"e": 5}]]],
        [[FORMAT, 1, 1, 1, 1, "w", 1], ["part"]],
        [[FORMAT, 1, 1, 1, 1, b"\xff", 1], []],
    ],
)
def test_other_shapes_are_poison(value: Any) -> None:
    """Another version, a missing header, a field of another type."""
    with pytest.raises(PoisonCommit):
        decode_commit(msgpack.packb(value))


def test_text_that_is_not_utf8_is_poison() -> None:
    """Bytes in the place of text are refused like any other damage."""
    with pytest.raises(PoisonCommit):
        decode_commit(encode_commit(HEADER, [b"\x91\x91\xa1\xff"]))


def test_deep_nesting_is_poison() -> None:
    """Depth without end does not take the reader down."""
    with pytest.raises(PoisonCommit):
        decode_commit(encode_commit(HEADER, [b"\x92\x90\x81\xa1e\x81\xa1f" + b"\x91" * 100_000 + b"\x01"]))
