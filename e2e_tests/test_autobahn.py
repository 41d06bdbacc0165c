"""What Autobahn's test suite, which others hold their WebSocket servers to, says of ours.

The suite runs under Python 2.7 only. `AUTOBAHN_WSTEST` names its `wstest`, if that is not on the PATH.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.asgi.serving import Serving

WSTEST = os.environ.get("AUTOBAHN_WSTEST") or shutil.which("wstest")
LARGEST = 1 << 24
"""Bytes of the suite's largest message."""
ENOUGH = 900
"""Seconds within which the whole suite has come to an end on any machine."""

TOO_MANY_FRAGMENTS = [
    *(f"9.{kind}.{case}" for kind in (3, 4) for case in range(1, 6)),
]
"""Messages of more than 64 frames, which we refuse with 1008: a stricter rule than RFC 6455 has."""

PASSED = {"OK", "INFORMATIONAL"}
LATER_THAN_COULD_BE = {"6.4.3", "6.4.4"}
"""Not UTF-8, in the middle of a frame: we look at a frame when it is whole, as RFC 6455, 8.1 lets us."""

pytestmark = [
    pytest.mark.skipif(
        WSTEST is None, reason="no Autobahn test suite here: neither AUTOBAHN_WSTEST nor wstest on PATH"
    ),
    pytest.mark.timeout(ENOUGH + 60),
]


class Echoing(Serving):
    """Sends every message back, as any ASGI application may."""

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the suite found, by case: `behavior`, `behaviorClose`, `remoteCloseCode` and more."""
    directory: Path = tmp_path_factory.mktemp("autobahn")
    with Echoing(max_message=LARGEST, compression=True) as serving:
        specification = {
            "outdir": str(directory / "reports"),
            "servers": [{"agent": "gameserver", "url": f"ws://127.0.0.1:{serving.port}"}],
            "cases": ["*"],
            "exclude-cases": TOO_MANY_FRAGMENTS,
            "exclude-agent-cases": {},
        }
        (directory / "specification.json").write_text(json.dumps(specification))
        command = [str(WSTEST), "--mode", "fuzzingclient", "--spec", str(directory / "specification.json")]
        with (directory / "output").open("wb") as output:
            subprocess.run(command, cwd=directory, stdout=output, stderr=output, check=True, timeout=ENOUGH)
    found: dict[str, dict[str, Any]] = json.loads((directory / "reports" / "index.json").read_text())["gameserver"]
    return found
