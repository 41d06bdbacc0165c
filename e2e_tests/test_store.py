"""The judge itself: its checksum is that of the published vectors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from e2e_tests.store import checksum
from e2e_tests.workers import ROOT

VECTORS = json.loads((ROOT / "tests" / "vectors" / "checksum.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["case"])
def test_the_checksum_is_that_of_the_vectors(vector: dict[str, Any]) -> None:
    """[SUM1] to [SUM5], computed by the tests' own code."""
    assert checksum(vector["state"]) == vector["sum"]
