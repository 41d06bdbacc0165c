"""Signed messages: what was signed is read, and nothing else, once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameserver.errors import BadMessage
from gameserver.protocol.signing import SignatureCheck, Signer, signing_key

payloads = st.binary(max_size=64)


def pair(token: str = "token", welcome: str = "welcome") -> tuple[Signer, SignatureCheck]:
    """Both ends of one connection."""
    check = SignatureCheck(token)
    check.begin(welcome)
    return Signer(signing_key(token, welcome)), check


@given(st.lists(payloads), st.booleans())
def test_what_was_signed_is_read(said: list[bytes], text: bool) -> None:
    """In order; text stays text ([SIGN2])."""
    signer, check = pair()
    frames = [signer.sign(payload, text) for payload in said]
    assert not text or all(frame[:32].isascii() for frame in frames)
    assert [check.open(frame, text) for frame in frames] == said


@given(payloads, st.booleans(), st.data())
def test_whatever_was_changed_is_refused(payload: bytes, text: bool, data: st.DataObject) -> None:
    """Any other byte anywhere, and anything cut off ([SIGN3])."""
    signer, check = pair()
    frame = signer.sign(payload, text)
    place = data.draw(st.integers(0, len(frame) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != frame[place]))
    for forged in (frame[:place] + bytes((other,)) + frame[place + 1 :], frame[:place], frame + b"\0"):
        with pytest.raises(BadMessage, match="not signed"):
            check.open(forged, text)
    assert check.open(frame, text) == payload


def test_nothing_is_read_twice() -> None:
    """Nor what was signed before it; what was never sent is not missed ([SIGN3])."""
    signer, check = pair()
    first, _, third = (signer.sign(b"m", False) for _ in range(3))
    assert check.open(first, False) == b"m"
    assert check.open(third, False) == b"m"
    for old in (first, third):
        with pytest.raises(BadMessage, match="sent before"):
            check.open(old, False)


@pytest.mark.parametrize(("token", "welcome"), [("other", "welcome"), ("token", "other")])
def test_another_connection_has_another_key(token: str, welcome: str) -> None:
    """One of another token, and another of the same ([SIGN1])."""
    signer, _ = pair(token, welcome)
    _, check = pair()
    with pytest.raises(BadMessage):
        check.open(signer.sign(b"m", False), False)


def test_there_is_no_key_before_the_welcome() -> None:
    """Not even an empty one."""
    with pytest.raises(BadMessage):
        SignatureCheck("token").open(Signer(b"").sign(b"m", False), False)


def test_the_example_of_the_protocol() -> None:
    """What docs/protocol.md shows, for clients in other languages."""
    signer = Signer(signing_key("a.b.c", "0123456789abcdef"))
    assert signer.sign(b'{"type":"ping","at":1}', True) == b'f3EFdhBCbnkDDEoVgrfNkgAAAAAAAAAB{"type":"ping","at":1}'
