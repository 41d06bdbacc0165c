"""The catalogue, with counts and times that every run of the tests can bear."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e_tests.attacks.arena import Arena, arena
from e2e_tests.attacks.rows import ROWS, Row


@contextmanager
def arena_on(loop: asyncio.AbstractEventLoop, directory: Path) -> Iterator[Arena]:
    """The bystanders play on the loop that the attacks run on."""
    entering = arena(directory, quick=True)
    yield loop.run_until_complete(entering.__aenter__())
    loop.run_until_complete(entering.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One for all rows."""
    with asyncio.Runner() as runner:
        yield runner.get_loop()


@pytest.fixture(scope="module")
def attacked(loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Two workers and two bystanders."""
    with arena_on(loop, tmp_path_factory.mktemp("arena")) as built:
        yield built


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row.family}: {row.name}") for row in ROWS if not row.thorough])
def test_attack(row: Row, attacked: Arena, loop: asyncio.AbstractEventLoop) -> None:
    """What the row says must hold holds, and nobody else notices."""
    assert loop.run_until_complete(attacked.run(row)).measured
