"""`gameserver watch` against the demonstration, and the demonstration itself."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import random
import re
import signal
import socket
import subprocess
import urllib.request
from typing import Any

import pytest

from gameserver.cli.access import Access
from gameserver.cli.botting import Bot
from gameserver.cli.screen import ENTER, LEAVE
from tests.cli.processes import DEADLINE, ROOT, command, environment, run, running
from tests.redis_server import HOST, free_port, wait_until


def test_once_prints_the_room_as_it_is(demo: str) -> None:
    """Position and checksum, then a line for each entity; nothing had to be configured."""
    done = run("watch", "sector:1", "--url", demo, "--once")
    assert (done.returncode, done.stderr) == (0, "")
    head, *entities = done.stdout.splitlines()
    found = re.fullmatch(r"sector:1 epoch \d+ seq \d+ sum \d+, (\d+) entities, not verified yet", head)
    assert found is not None
    assert int(found[1]) == len(entities)
    assert any(line.startswith("sector links=[") for line in entities)


def steer(player: str, rooms: object, dice: random.Random) -> tuple[str, dict[str, Any]]:
    """Stay in the sector, and never hold still."""
    return "steer", {"vx": dice.uniform(1, 9), "vy": dice.uniform(-9, 9)}


async def test_plain_lines_show_it_moving_and_proven(demo: str) -> None:
    """Without a terminal: a line for each change and event, and the checksum compared."""
    pilot = Bot(demo, await Access(demo).token("pilot"), brain=steer, rate=5)
    stop = asyncio.Event()
    flying = asyncio.create_task(pilot.play(stop))
    with running("watch", "sector:1", "--url", demo, "--encoding", "json") as watch:
        await asyncio.to_thread(watch.line, r"^\+ ship:pilot .*x=")
        await asyncio.to_thread(watch.line, r"^verified at seq \d+")
        code, rest = await asyncio.to_thread(watch.end, signal.SIGINT)
    stop.set()
    await flying
    await pilot.close()
    assert code == 0
    assert re.search(r"sector:1 epoch \d+ seq \d+ sum \d+, \d+ verified, drift 0, resyncs 0", rest.splitlines()[-1])


def test_on_a_terminal_it_is_a_picture(demo: str) -> None:
    """On the terminal's other page, which is left again at the end."""
    ours, theirs = pty.openpty()
    watch = subprocess.Popen(
        command("watch", "sector:1", "--url", demo, "--seconds", "1"),
        env=environment({"COLUMNS": "100", "LINES": "40"}),
        cwd=ROOT,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    shown = b""
    try:
        while more := os.read(ours, 65536):
            shown += more
    except OSError:
        # Linux's way to say that nobody holds the other end any more.
        pass
    os.close(ours)
    _, errors = watch.communicate(timeout=DEADLINE)
    assert (watch.returncode, errors) == (0, b"")
    text = shown.decode()
    assert text.startswith(ENTER)
    assert text.endswith(LEAVE)
    assert text.count("port:1") > 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-room"], "The server does not show 'no-room': forbidden"),
        (["sector:1", "--token", "not.a.token"], "The server does not let us in: "),
        (["private:bot-1", "--role", "player"], "The server does not show 'private:bot-1': forbidden"),
        (["global", "--player", "not an id"], "gives no token: HTTP 400"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_what_may_not_be_watched(arguments: list[str], sentence: str, demo: str) -> None:
    """One sentence with the server's reason, and exit code 1."""
    done = run("watch", *arguments, "--url", demo, "--once")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert sentence in line


def test_what_answers_must_be_a_gameserver() -> None:
    """Nobody there, and somebody else."""
    nobody = run("watch", "global", "--url", f"ws://{HOST}:{free_port()}/ws", "--once")
    assert nobody.returncode == 1
    assert "No server answers at" in nobody.stderr


def test_the_demonstration_hands_out_tokens(demo: str) -> None:
    """As its guide says, with nothing but an HTTP client."""
    request = urllib.request.Request(
        demo.replace("ws://", "http://").replace("/ws", "/dev/token"),
        b'{"player": "you"}',
        {"Content-Type": "application/json"},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=DEADLINE) as answer:
        assert json.load(answer)["token"].count(".") == 2


def test_the_demonstration_ends_by_itself() -> None:
    """With what its bots have seen, and exit code 0; whatever else is configured does not touch it."""
    done = run(
        "demo", "--port", "0", "--bots", "3", "--rate", "10", "--seconds", "2", GAMESERVER_REDIS_URL="redis://nowhere"
    )
    assert done.returncode == 0
    assert "watch sector:1 --url ws://127.0.0.1:" in done.stdout
    assert re.search(r"^3 bots in .* commands accepted, .* 0 mismatches", done.stdout, re.MULTILINE)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demonstration_ends_cleanly(number: signal.Signals) -> None:
    """On Ctrl-C and when it is told to; the bots go with it and say how it was."""
    with running("demo", "--port", "0", "--bots", "2") as server:
        url = server.line(r"at (ws://\S+)")[1]
        wait_until(lambda: "gameserver_connections 2.0" in metrics(url), "two bots")
        code, rest = server.end(number)
        assert code == 0
        assert "2 bots in" in rest


def metrics(url: str) -> str:
    address = url.replace("ws://", "http://").removesuffix("/ws")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{address}/metrics") as answer:
        text: str = answer.read().decode()
        return text


def test_a_taken_port_is_a_sentence() -> None:
    """With what to do about it."""
    with socket.create_server((HOST, 0)) as other:
        port = str(other.getsockname()[1])
        done = run("demo", "--port", port)
    assert done.returncode == 2
    assert done.stderr.startswith(f"gameserver: Port {port} of 127.0.0.1 is taken by another program")
