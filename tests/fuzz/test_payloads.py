"""A short run over payloads of the bus, the same every time."""

from __future__ import annotations

from tests.fuzz import payloads


def test_spoilt_payloads_are_read_or_refused() -> None:
    """Nothing raised but the one refusal, and there are all three ends."""
    ended = payloads.run(seed=20_261_127, count=3000)
    assert min(ended[kind] for kind in ("commit", "signal", "refused")) > 50
