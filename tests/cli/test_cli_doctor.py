"""`gameserver doctor`: a line for each check, and an exit code for scripts."""

from __future__ import annotations

import socket

from tests.cli.processes import SECRET, run
from tests.redis_server import HOST, RedisServer, free_port


def levels(output: str) -> dict[str, str]:
    """Subject to level; of several lines about one subject the last."""
    return {line.split()[1]: line.split()[0] for line in output.splitlines()}


def test_all_is_well(store: RedisServer) -> None:
    """Everything is looked at; that Redis keeps no file is advice."""
    done = run("doctor", "--redis", store.url, "--port", "0", GAMESERVER_JWT_SECRET=SECRET)
    assert (done.returncode, done.stderr) == (0, "")
    assert levels(done.stdout) == {
        "settings": "ok",
        "world": "ok",
        "port": "ok",
        "redis": "ok",
        "version": "ok",
        "policy": "ok",
        "persistence": "warn",
        "writing": "ok",
    }


def test_what_does_not_serve_at_the_moment_is_1() -> None:
    """The configuration may be right: Redis is not up, and something else has the port."""
    with socket.create_server((HOST, 0)) as other:
        port = str(other.getsockname()[1])
        url = f"redis://{HOST}:{free_port()}"
        done = run("doctor", "--redis", url, "--port", port, GAMESERVER_JWT_SECRET=SECRET)
    assert done.returncode == 1
    assert levels(done.stdout) == {"settings": "ok", "world": "ok", "port": "FAIL", "redis": "FAIL"}


def test_what_cannot_work_is_2(evicting: RedisServer) -> None:
    """A store that evicts will not do so less tomorrow."""
    done = run("doctor", "--redis", evicting.url, "--port", "0")
    assert done.returncode == 2
    found = levels(done.stdout)
    assert (found["settings"], found["policy"], found["world"]) == ("FAIL", "FAIL", "ok")
