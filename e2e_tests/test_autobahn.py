"""What Autobahn's test suite, which others hold their WebSocket servers to, says of ours.

The suite runs under Python 2.7 only. `AUTOBAHN_WSTEST` names its `wstest`, if that is not on the PATH. It takes about
ten minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gameserver.asgi import websocket
from gameserver.protocol.deflate import deflate
from gameserver.protocol.frames import encode_frame
from gameserver.protocol.parser import FrameParser
from tests.asgi.serving import Serving

WSTEST = os.environ.get("AUTOBAHN_WSTEST") or shutil.which("wstest")
LARGEST = 1 << 24
"""Bytes of the suite's largest message."""
ENOUGH = 1800
"""Seconds within which the suite has come to an end on any machine."""

MANY_FRAGMENTS = [
    *(f"9.{kind}.{case}" for kind in (3, 4) for case in range(1, 7)),
    *(f"12.{data}.{case}" for data in (2, 5) for case in range(13, 17)),
    *(f"12.3.{case}" for case in (14, 15)),
]
"""Messages of more than 64 frames, which we refuse with 1008, a stricter rule than RFC 6455 has: these cases are left
out of the others, and run with that limit lifted."""
QUICK = [
    *(f"{chapter}.*" for chapter in (1, 2, 3, 4, 5, 6, 7, 10)),
    *(f"12.{data}.{case}" for data in range(1, 6) for case in (1, 5, 11)),
]

Verdicts = dict[str, dict[str, Any]]
"""What the suite found, by case: `behavior`, `behaviorClose`, `remoteCloseCode` and more."""

PASSED = {"OK", "INFORMATIONAL"}
WITHIN_A_FRAME = {"6.4.3", "6.4.4"}
"""Text found wrong before its frame is whole. We look at whole frames, and fail all the same: not strict."""
ANSWERED_TOO_LATE = {"3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"}
"""A good message and then a bad frame, which may come in one read, or not: an ASGI application gets to answer the one
when the connection has failed for the other. Not strict; whoever answers at once, as detached connections do, is.
These are all the cases for which the suite provides that no answer comes."""
SMALL_WINDOW = ("13.3.", "13.5.")
"""Offers of nothing but a small window of ours, which we decline: frames are compressed once, for everybody."""

pytestmark = [
    pytest.mark.skipif(WSTEST is None, reason="no Autobahn test suite: neither AUTOBAHN_WSTEST nor wstest on the PATH"),
    pytest.mark.timeout(ENOUGH + 60),
]


class Echoing(Serving):
    """Sends every message back: as any ASGI application may, or at `/detached` as ours does, compressed if it can."""

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        if scope["path"] == "/detached":
            channel = scope["extensions"][websocket.EXTENSION]
            channel.detach(partial(echo, channel.connection), lambda code, reason: None)
            return
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})


def echo(connection: websocket.Connection, payload: bytes, text: bool) -> None:
    if connection.deflates:
        connection.write(encode_frame(deflate(payload), text, compressed=True))
    else:
        connection.write(encode_frame(payload, text))


def verdicts(directory: Path, path: str, cases: list[str], but: list[str]) -> Verdicts:
    """Run the suite's `cases` against an echo at `path`."""
    with Echoing(max_message=LARGEST, compression=True) as serving:
        specification = {
            "outdir": str(directory / "reports"),
            "servers": [{"agent": "gameserver", "url": f"ws://127.0.0.1:{serving.port}{path}"}],
            "cases": cases,
            "exclude-cases": but,
            "exclude-agent-cases": {},
        }
        (directory / "specification.json").write_text(json.dumps(specification))
        command = [str(WSTEST), "--mode", "fuzzingclient", "--spec", str(directory / "specification.json")]
        with (directory / "output").open("wb") as output:
            subprocess.run(command, cwd=directory, stdout=output, stderr=output, check=True, timeout=ENOUGH)
    found: Verdicts = json.loads((directory / "reports" / "index.json").read_text())["gameserver"]
    return found


def not_passed(found: Verdicts) -> dict[str, str]:
    """The verdict on each case that is not simply passed; of the closing handshake, when the case itself is."""
    both = {case: (verdict["behavior"], verdict["behaviorClose"]) for case, verdict in found.items()}
    return {
        case: closing if behaviour in PASSED else behaviour
        for case, (behaviour, closing) in both.items()
        if not {behaviour, closing} <= PASSED
    }


def test_the_whole_suite_on_plain_asgi(tmp_path: Path) -> None:
    """No case fails; what is not strict, and what we do not offer, is named above."""
    found = verdicts(tmp_path, "/", ["*"], MANY_FRAGMENTS)
    assert len(found) > 450
    rest = not_passed(found)
    declined = {case for case in rest if case.startswith(SMALL_WINDOW)}
    assert {rest[case] for case in declined} <= {"UNIMPLEMENTED"}
    not_strict = {case for case, verdict in rest.items() if verdict == "NON-STRICT"}
    assert not_strict <= WITHIN_A_FRAME | ANSWERED_TOO_LATE
    assert rest.keys() == declined | not_strict


def test_detached_connections(tmp_path: Path) -> None:
    """Whoever answers at once is strict, and what we compress is read by the suite."""
    found = verdicts(tmp_path, "/detached", QUICK, [])
    assert len(found) > 200
    rest = not_passed(found)
    assert rest.keys() <= WITHIN_A_FRAME
    assert set(rest.values()) <= {"NON-STRICT"}


def test_messages_of_many_fragments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With our own limit out of the way, they are read like any other."""
    monkeypatch.setattr(websocket, "FrameParser", partial(FrameParser, max_fragments=1 << 20))
    found = verdicts(tmp_path, "/", MANY_FRAGMENTS, [])
    assert found.keys() == set(MANY_FRAGMENTS)
    assert not_passed(found) == {}
