from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.processes import running
from tests.redis_server import RedisServer, redis_server


@pytest.fixture(scope="session")
def store() -> Iterator[RedisServer]:
    """One Redis for the tests that do not harm it."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def evicting() -> Iterator[RedisServer]:
    """A Redis that nobody should keep a world in."""
    with redis_server("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru") as server:
        yield server


@pytest.fixture(scope="session")
def demo() -> Iterator[str]:
    """The URL of a frontier in dev mode with six players in it."""
    with running("demo", "--port", "0", "--bots", "6", "--rate", "5") as server:
        yield server.line(r"at (ws://\S+)")[1]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set outside does not change what is tested."""
    import os

    for name in [name for name in os.environ if name.startswith("GAMESERVER_")]:
        monkeypatch.delenv(name)
