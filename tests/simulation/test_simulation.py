"""A few of the seeds that `make simulate` tries by the thousand, and what they are worth."""

from __future__ import annotations

import pytest

from tests.simulation.breaks import BREAKS
from tests.simulation.jobs import run_seeds

NOTICED_WITHIN = 50
"""Seeds after which a mechanism's absence must have shown."""


@pytest.mark.timeout(180)
def test_nothing_is_lost_doubled_or_different() -> None:
    """Workers, store and lines fail; what is promised holds."""
    outcomes = list(run_seeds(range(1, 13), jobs=2))
    assert len(outcomes) == 12
    assert not [outcome.report() for outcome in outcomes if outcome.violations]
    assert all(outcome.faults and outcome.applied > 400 for outcome in outcomes)


@pytest.mark.timeout(120)
def test_the_same_seed_is_the_same_run() -> None:
    """To the last callback of the loop."""
    first, second = (next(iter(run_seeds([7]))) for _ in range(2))
    assert first.digest
    assert (first.digest, first.callbacks, first.virtual) == (second.digest, second.callbacks, second.virtual)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("mechanism", ["version", "dedupe"])
def test_without_a_mechanism_it_shows(mechanism: str) -> None:
    """A commit that is not compared, a command that is not remembered: some seed soon says so."""
    assert mechanism in BREAKS
    outcomes = run_seeds(range(1, NOTICED_WITHIN + 1), jobs=2, broken=mechanism, until_first=True)
    assert any(outcome.violations for outcome in outcomes)
