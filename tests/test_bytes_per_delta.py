"""Bytes on the wire are a property of the encodings, not of the machine: here some are held to what they should be."""

from __future__ import annotations

import pytest

from benchmarks import bytes_per_delta


def test_the_compact_form_is_a_fraction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each kind of change there is a row; the compact form takes a third of MessagePack's bytes at most."""
    monkeypatch.setattr(bytes_per_delta, "theirs", lambda changes: {})
    rows = bytes_per_delta.rows()
    assert [row["change"] for row in rows] == ["movement (40 ships)", "trade", "combat"]
    for row in rows:
        assert 0 < 3 * row["compact"] < row["MessagePack"] < row["JSON"]
        assert row["Colyseus"] is None
        assert row["socket.io"] is None


def test_what_colyseus_sends_is_counted_with_frames() -> None:
    """A patch is one message; an event is another, with its type and its data."""
    change = bytes_per_delta.Change({}, ("hit", {"by": 1}), "7")
    said = 2 + 1 + len(b"\xa3hit") + len(b"\x82\xa4from\xa17\xa2by\x01")
    assert bytes_per_delta.colyseus_bytes(b"12345", change) == 2 + 1 + 5 + said
    assert bytes_per_delta.colyseus_bytes(b"12345", bytes_per_delta.Change({})) == 2 + 1 + 5
