"""Redis, workers and what they wrote, for all tests of whole systems."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast, get_args

import pytest

from e2e_tests.store import Store
from e2e_tests.workers import Fleet, Server
from gameserver.lab.faulty_redis import FaultyRedis
from tests.redis_server import RedisServer, redis_server

running: list[Fleet] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the workers wrote is part of a failure."""
    report = yield
    if report.failed:
        report.sections += [("workers", fleet.output()) for fleet in running]
    return report


@pytest.fixture(scope="module", params=get_args(Server))
def server(request: pytest.FixtureRequest) -> Server:
    """What holds for a fleet holds however it is served."""
    return cast(Server, request.param)


@pytest.fixture(scope="module")
def redis(server: Server) -> Iterator[RedisServer]:
    """A new one for each kind of server: command ids are remembered."""
    with redis_server() as running:
        yield running


@pytest.fixture(scope="module")
def proxy(redis: RedisServer) -> Iterator[FaultyRedis]:
    """A way to Redis that can go wrong; it stands until the workers have stopped."""
    with FaultyRedis(redis.port, seed=7) as running:
        yield running


StartFleet = Callable[..., Fleet]


@pytest.fixture(scope="module")
def start_fleet(
    server: Server, redis: RedisServer, proxy: FaultyRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartFleet]:
    """Called with what `Fleet` takes; the workers are stopped, and held to how they end, when the module is done."""
    with ExitStack() as stack:

        def start(count: int, **options: object) -> Fleet:
            directory: Path = tmp_path_factory.mktemp("workers")
            fleet = Fleet(directory, redis.url, count, server=server, **options)  # type: ignore[arg-type]
            running.append(fleet)
            stack.callback(running.remove, fleet)
            stack.callback(fleet.kill)
            stack.callback(fleet.stop)
            fleet.start()
            return fleet

        yield start


@pytest.fixture(scope="module")
def store(redis: RedisServer) -> Iterator[Store]:
    """The frontier as the store has it."""
    with redis.client() as client:
        yield Store(client, "frontier")
