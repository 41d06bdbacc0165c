"""`gameserver run` as a process: every fault named, one worker, and several that are kept alive."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.request

import psutil
import pytest

from tests.cli.processes import DEADLINE, ROOT, SECRET, Running, command, environment, run, running
from tests.redis_server import HOST, RedisServer, free_port

SERVES = r"worker (\d+) \(process (\d+)\) serves frontier at (http://\S+)"


def test_no_secret_an_evicting_store_and_an_unknown_world_at_once(evicting: RedisServer) -> None:
    """Everything that is wrong is named in one go, one sentence each, and the exit code is 2."""
    done = run(
        "run",
        "--redis",
        evicting.url,
        GAMESERVER_WORLD="no.such:world",
        GAMESERVER_PORT="0",
        GAMESERVER_HEARTBEAT_S="x",
    )
    assert done.returncode == 2
    assert done.stdout == ""
    heartbeat, secret, world, policy = done.stderr.splitlines()
    assert "GAMESERVER_HEARTBEAT_S must be a number above 0, not 'x'." in heartbeat
    assert "GAMESERVER_JWT_SECRET" in secret
    assert "there is no module 'no'" in world
    assert "evicts keys (maxmemory-policy allkeys-lru)" in policy


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--redis-url", "http://here"], "--redis-url must be like redis://"),
        (["--redis-url", f"redis://{HOST}:{free_port()}"], "cannot be reached: nothing listens there."),
        (["--world", "gameserver.worlds.frontier:nothing"], "has no 'nothing'"),
        (["--world", "gameserver.errors:Rejected"], "not a gameserver.Game"),
        (["--workers", "2"], "2 workers need a store in common"),
        (["--dev", "--host", "0.0.0.0"], "GAMESERVER_DEV serves loopback alone"),
        (["--jwt-secret", "short"], "32 bytes"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_one_wrong_setting_is_one_line(arguments: list[str], sentence: str) -> None:
    """A plain sentence that says what is wrong, and exit code 2."""
    done = run("run", "--port", "0", *arguments, GAMESERVER_JWT_SECRET=SECRET)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert sentence in line


def get(url: str) -> tuple[int, str]:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=DEADLINE) as answer:
        return answer.status, answer.read().decode()


def test_one_worker_serves_and_ends_when_told(store: RedisServer) -> None:
    """It says where it serves; SIGTERM is a request, not a failure."""
    with running("run", "--port", "0", GAMESERVER_REDIS_URL=store.url, GAMESERVER_JWT_SECRET=SECRET) as server:
        address = server.line(SERVES)[3]
        assert get(f"{address}/ready") == (200, "ready\n")
        assert server.end() == (0, "")


def test_a_port_is_not_taken_twice() -> None:
    """The second server says so and leaves the first alone."""
    with running("run", "--dev", "--port", "0") as server:
        address = server.line(SERVES)[3]
        done = run("run", "--dev", "--port", address.rpartition(":")[2])
        assert done.returncode == 2
        assert "is taken by another program" in done.stderr
        assert get(f"{address}/health")[0] == 200
        assert server.end(signal.SIGINT)[0] == 0


class Fleet:
    """What a running fleet has said so far."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.addresses: set[str] = set()
        self.processes: dict[int, psutil.Process] = {}

    def see_worker(self) -> int:
        """Wait for one more worker; its number."""
        number, process, address = self.server.line(SERVES).groups()
        self.addresses.add(address)
        self.processes[int(number)] = psutil.Process(int(process))
        return int(number)


def test_a_crashed_worker_is_started_again(store: RedisServer) -> None:
    """All workers share one port, a killed one comes back, and the end of the fleet is the end of all."""
    with running("run", "--workers", "2", "--port", "0", "--redis", store.url, GAMESERVER_JWT_SECRET=SECRET) as server:
        fleet = Fleet(server)
        assert {fleet.see_worker(), fleet.see_worker()} == {1, 2}
        assert len(fleet.addresses) == 1
        assert not any(SECRET in " ".join(process.cmdline()) for process in fleet.processes.values())
        crashed = fleet.processes[2]
        crashed.kill()
        assert fleet.see_worker() == 2
        assert fleet.processes[2].pid != crashed.pid
        assert len(fleet.addresses) == 1
        assert get(f"{fleet.addresses.pop()}/health")[0] == 200
        assert server.end()[0] == 0
        assert not [process for process in fleet.processes.values() if process.is_running()]


def test_workers_end_with_the_one_that_started_them(store: RedisServer) -> None:
    """Also when it is killed and can tell nobody."""
    with running("run", "--workers", "2", "--port", "0", "--redis", store.url, GAMESERVER_JWT_SECRET=SECRET) as server:
        fleet = Fleet(server)
        fleet.see_worker()
        fleet.see_worker()
        os.kill(server.process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(list(fleet.processes.values()), timeout=DEADLINE)
        for process in alive:
            process.kill()
        assert not alive


def test_a_worker_whose_store_has_gone_says_so_in_lines() -> None:
    """The fleet starts it again; what it leaves behind is a log for people."""
    variables = {"GAMESERVER_REDIS_URL": f"redis://{HOST}:{free_port()}", "GAMESERVER_JWT_SECRET": SECRET}
    # An input that stays open is a parent that lives.
    with subprocess.Popen(
        command("run", "--member", "1", "--port", "0"),
        env=environment(variables),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.wait(DEADLINE) == 1
        assert worker.stderr is not None
        lines = worker.stderr.read().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z [A-Z]+ +\d+ [\w.]+: ", line) for line in lines[:-1])
    assert any("Unavailable: cannot connect to the store" in line for line in lines)
    assert lines[-1] == "gameserver: The worker could not start; the log says why."
