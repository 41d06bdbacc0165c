"""A short run of the fuzz target, the same every time."""

from __future__ import annotations

from tests.fuzz import frames


def test_spoilt_streams_of_client_frames() -> None:
    """Nothing raised, no rule broken, no memory kept; and the streams come to every end there is."""
    ended = frames.run(seed=20_261_127, count=3000)
    assert sum(ended.values()) == 3000
    assert ended.keys() == {"whole", "unfinished", *map(str, frames.CODES)}
