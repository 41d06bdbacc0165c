"""Autobahn's fuzzing client against an echo application, served as `gameserver run` serves.

The suite is a program of its own, for Python 2: where `wstest` is not on PATH, `AUTOBAHN_WSTEST` names it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from gameserver.asgi.http import server_config
from gameserver.settings import Settings

WSTEST = os.environ.get("AUTOBAHN_WSTEST") or shutil.which("wstest")
LARGEST = 16 * 1024 * 1024
"""Bytes of the largest message that the suite sends."""

MANY_FRAGMENTS = "a message of more than 64 frames is refused with 1008"
EXCLUDED = {
    **dict.fromkeys((f"9.{part}.{case}" for part in (3, 4) for case in range(1, 7)), MANY_FRAGMENTS),
    **dict.fromkeys((f"12.{part}.{case}" for part in (2, 5) for case in range(13, 17)), MANY_FRAGMENTS),
    **dict.fromkeys(("12.3.14", "12.3.15"), MANY_FRAGMENTS),
}
"""Cases in which our own policy is stricter than RFC 6455, and why."""
CLASSES = (
    [[f"{number}.*"] for number in (1, 2, 3, 4, 5, 6, 7, 9, 10)]
    + [[f"12.{part}.*"] for part in range(1, 6)]
    + [[f"13.{part}.*"] for part in range(1, 8)]
)
SECONDS = 300

PASSED = {"OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"}
"""UNIMPLEMENTED are offers of compression that may be declined, as we decline a smaller window of ours."""
DECLINED = {"13.3", "13.5"}
"""Parts whose only offer asks for a smaller window."""

pytestmark = [
    pytest.mark.skipif(WSTEST is None, reason="wstest is neither on PATH nor named by AUTOBAHN_WSTEST"),
    pytest.mark.timeout(SECONDS + 30),
]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


class Server(uvicorn.Server):
    """In a thread, telling when it has started."""

    def __init__(self) -> None:
        settings = Settings.load(
            {"GAMESERVER_DEV": "1", "GAMESERVER_PORT": "0"}, {"compression": True, "max_message": LARGEST}
        )
        super().__init__(server_config(echo, settings, log_config=None, lifespan="off"))
        self.ready = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @property
    def port(self) -> int:
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    serving = Server()
    thread = threading.Thread(target=serving.run)
    thread.start()
    try:
        assert serving.ready.wait(10)
        yield serving
    finally:
        serving.should_exit = serving.force_exit = True
        thread.join(10)


@pytest.mark.parametrize("cases", CLASSES, ids=lambda cases: cases[0].removesuffix(".*"))
def test_conformance(server: Server, cases: list[str], tmp_path: Path) -> None:
    """No case of the suite fails, neither in what is answered nor in how the connection is closed."""
    assert WSTEST is not None
    specification = {
        "outdir": str(tmp_path / "reports"),
        "servers": [{"agent": "gameserver", "url": f"ws://127.0.0.1:{server.port}"}],
        "cases": cases,
        "exclude-cases": list(EXCLUDED),
        "exclude-agent-cases": {},
    }
    (tmp_path / "specification.json").write_text(json.dumps(specification))
    command = [WSTEST, "-m", "fuzzingclient", "-s", "specification.json"]
    ran = subprocess.run(command, cwd=tmp_path, timeout=SECONDS, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    results = json.loads((tmp_path / "reports" / "index.json").read_text())["gameserver"]
    assert results
    failed = {
        case: (result["behavior"], result["behaviorClose"])
        for case, result in results.items()
        if not {result["behavior"], result["behaviorClose"]} <= PASSED
    }
    assert not failed
    declined = {case for case, result in results.items() if result["behavior"] == "UNIMPLEMENTED"}
    assert {case.rpartition(".")[0] for case in declined} <= DECLINED
