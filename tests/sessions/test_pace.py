"""What counts as waiting."""

from __future__ import annotations

from gameserver.sessions.pace import CREDIT, Pace


def paced(*moments: float) -> Pace:
    pace = Pace()
    for moment in moments:
        pace.note(moment)
    return pace


def test_a_line_that_moves_ages_everything() -> None:
    """While messages go out, waiting is just time."""
    assert paced(0.0, 1.0, 2.5, 4.0).waited(0.5, 4.0) == 3.5


def test_a_line_that_stands_still_ages_nothing() -> None:
    """Of a stall of 20 s only the usual distance between two messages counts, for old and new alike."""
    pace = paced(0.0, 20.0)
    assert pace.waited(0.0, 20.0) == CREDIT
    assert pace.waited(15.0, 20.0) == 0.0
    assert pace.waited(15.0, 21.0) == 1.0


def test_a_very_slow_line_still_ages() -> None:
    """Eight seconds a message: each of them lets what waits come nearer."""
    moments = [8.0 * number for number in range(6)]
    assert paced(*moments).waited(0.0, moments[-1]) == 5 * CREDIT
