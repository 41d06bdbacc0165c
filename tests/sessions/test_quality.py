"""When a client's tier goes down, when it comes back, and that its own wish is a bound."""

from __future__ import annotations

from gameserver.sessions.quality import Quality, Tier, TierChange


def observed(
    quality: Quality, start: float, stop: float, rtt: float | None, backlog: bool
) -> list[tuple[float, TierChange]]:
    changes = []
    for tenth in range(round(start * 10), round(stop * 10)):
        change = quality.observe(tenth / 10, rtt, backlog)
        if change is not None:
            changes.append((tenth / 10, change))
    return changes


def test_slow_round_trips_lower_it_step_by_step() -> None:
    """Five seconds above 300 ms cost a step, five more another, then it is as low as it gets."""
    quality = Quality(0.0)
    assert observed(quality, 0, 30, 0.31, False) == [
        (5.0, TierChange(Tier.REDUCED, "rtt")),
        (10.0, TierChange(Tier.LOW, "rtt")),
    ]
    assert quality.tier is Tier.LOW


def test_a_standing_backlog_lowers_it() -> None:
    """So does a backlog that stands for five seconds; one that clears in between does not."""
    quality = Quality(0.0)
    assert observed(quality, 0, 4.9, None, True) == []
    assert observed(quality, 4.9, 5, 0.1, False) == []
    assert observed(quality, 5, 9.9, None, True) == []
    assert observed(quality, 9.9, 10.1, None, True) == [(10.0, TierChange(Tier.REDUCED, "backlog"))]


def test_health_raises_it_again() -> None:
    """Ten seconds of health for each step."""
    quality = Quality(0.0)
    observed(quality, 0, 10.1, 0.5, False)
    changes = observed(quality, 10.1, 40, 0.3, False)
    assert [(round(at), change) for at, change in changes] == [
        (20, TierChange(Tier.REDUCED, "recovered")),
        (30, TierChange(Tier.FULL, "recovered")),
    ]


def test_a_relapse_starts_the_wait_anew() -> None:
    """Health must last: one slow round trip in between and the ten seconds begin again."""
    quality = Quality(0.0)
    observed(quality, 0, 5.1, 0.5, False)
    assert observed(quality, 5.1, 14, 0.1, False) == []
    assert observed(quality, 14, 14.1, 0.5, False) == []
    assert [round(at) for at, _ in observed(quality, 14.1, 30, 0.1, False)] == [24]


def test_the_wish_is_an_upper_bound() -> None:
    """Nothing is better than the client wishes, and changes it does not feel are not told."""
    quality = Quality(0.0, Tier.LOW)
    assert observed(quality, 0, 10, 0.5, False) == []
    quality.wish(Tier.FULL)
    assert quality.tier is Tier.REDUCED
    assert observed(quality, 10, 10.1, 0.5, False) == [(10.0, TierChange(Tier.LOW, "rtt"))]


def test_words_and_intervals() -> None:
    """Tiers are named as on the wire; reduced is 5 Hz, low 1 Hz."""
    assert [Tier.of(tier.word) for tier in Tier] == list(Tier)
    assert [tier.interval for tier in Tier] == [0.0, 0.2, 1.0]
