"""Token buckets: how much they let through, and for whom."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameserver.sessions.ratelimit import FEW, KeyedBuckets, Rate, TokenBucket, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [("5/s", Rate(5, 5)), ("30/m", Rate(0.5, 30)), ("36/h", Rate(0.01, 36)), ("0.5/s", Rate(0.5, 1))],
)
def test_rates_as_text(text: str, rate: Rate) -> None:
    """A number and a unit; slower than one a unit still lets one through at once."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "5", "5/d", "/s", "-1/s", "0/s", "5/s ", "1e3/s", "inf/s", "nan/s", "٣/s", "9" * 400 + "/s"]
)
def test_what_is_no_rate(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="no rate"):
        parse_rate(text)


def test_a_burst_then_the_rate() -> None:
    """A full bucket gives its burst at once, then says how long to wait, and a refusal takes nothing."""
    bucket = TokenBucket(2, 3)
    assert [bucket.take(10.0) for _ in range(3)] == [0.0] * 3
    assert bucket.take(10.0) == 0.5
    assert bucket.take(10.25) == 0.25
    assert bucket.take(10.5) == 0.0
    assert bucket.take(100.0, 3) == 0.0
    assert bucket.take(100.0, 4) == math.inf


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (1, 0), (-1, 1), (math.nan, 1)])
def test_a_bucket_must_fill(rate: float, burst: float) -> None:
    """A bucket that never fills or holds nothing is a mistake."""
    with pytest.raises(ValueError, match="above 0"):
        TokenBucket(rate, burst)


def test_a_clock_that_steps_back_takes_nothing() -> None:
    """What was saved up stays when the clock goes back."""
    bucket = TokenBucket(1, 2)
    assert bucket.take(10.0) == 0.0
    assert bucket.take(5.0) == 0.0


@given(st.lists(st.tuples(st.floats(-1, 2), st.integers(1, 4)), max_size=60))
def test_never_more_than_burst_and_rate(steps: list[tuple[float, int]]) -> None:
    """Whatever is asked when (even by a clock that steps back), no span gets more than its burst and rate allow."""
    bucket = TokenBucket(3, 5)
    now, passed, granted = 0.0, 0.0, 0
    for step, n in steps:
        now += step
        passed += max(0.0, step)
        wait = bucket.take(now, n)
        if wait == 0.0:
            granted += n
        assert granted <= 5 + 3 * passed + 1e-6


@given(st.integers(0, 5), st.floats(0.1, 10), st.integers(1, 5))
def test_waiting_as_long_as_told_is_enough(taken: int, rate: float, n: int) -> None:
    """Whoever waits what it was told is let through."""
    bucket = TokenBucket(rate, 5)
    for _ in range(taken):
        bucket.take(0.0)
    assert bucket.take(bucket.take(0.0, n) + 1e-6, n) == 0.0 or taken + n <= 5


def test_full_buckets_are_forgotten() -> None:
    """Many who come once each leave no more behind than a few; who is in debt is remembered."""
    buckets = KeyedBuckets(1, 2)
    for number in range(3 * FEW):
        assert buckets.take(f"once{number}", number / 10) == 0.0
    assert len(buckets) <= FEW
    late = KeyedBuckets(1, 2)
    late.take("a", 0.0, 2)
    late.take("b", 1.0)
    late.take("c", 1.0)
    assert (len(late), late.take("a", 1.0)) == (3, 0.0)
    assert late.take("a", 1.5) == 0.5


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 1)), max_size=80))
def test_forgetting_changes_no_answer(steps: list[tuple[str, float]]) -> None:
    """Each key is answered as by a bucket that is kept for ever."""
    buckets, kept, now = KeyedBuckets(2, 3), {key: TokenBucket(2, 3) for key in "abcdef"}, 0.0
    for key, step in steps:
        now += step
        assert buckets.take(key, now) == pytest.approx(kept[key].take(now))


def test_keys_have_their_own_and_the_unused_is_forgotten() -> None:
    """One key's use does not touch another's; at most `cap` are remembered, the longest unused goes."""
    buckets = KeyedBuckets(1, 1, cap=2)
    assert buckets.take("a", 0.0) == 0.0
    assert buckets.take("b", 0.0) == 0.0
    assert buckets.take("a", 0.0) == 1.0
    assert buckets.take("c", 0.0) == 0.0
    assert len(buckets) == 2
    assert buckets.take("a", 0.0) == 1.0
    assert buckets.take("b", 0.0) == 0.0
    with pytest.raises(ValueError, match="one bucket"):
        KeyedBuckets(1, 1, cap=0)
