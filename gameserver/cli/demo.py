"""`gameserver demo`: a living frontier on this machine, with nothing to configure and nothing to install."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

from gameserver.cli import logs
from gameserver.cli.lifeline import COMMAND, child_options
from gameserver.cli.options import Subparsers, add_command, count_or_none, positive
from gameserver.cli.run import serve_one
from gameserver.cli.sockets import bind, web_address
from gameserver.game import Game
from gameserver.settings import Settings, variable_name
from gameserver.worlds.loading import load_world

WORLD = "gameserver.worlds.frontier:game"
BOTS = 40
HOST = "127.0.0.1"
PORT = 8000
ENDS_WITHIN = 10.0
"""Seconds the bots have to say how it went."""


def add_to(commands: Subparsers) -> None:
    parser = add_command(commands, "demo", "run the frontier with bots on this machine, without Redis", demo)
    parser.add_argument("--bots", type=count_or_none, default=BOTS, help="how many players (default: %(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="default: %(default)s; 0 takes a free one")
    parser.add_argument("--rate", type=positive, default=1.0, help="commands per second of each bot (default: 1)")
    parser.add_argument("--seconds", type=positive, help="how long (default: until Ctrl-C)")
    parser.add_argument("--log-level", default="warning", help="default: %(default)s")


def demo(arguments: argparse.Namespace) -> int:
    # Nothing of the environment: a demonstration shall not write into somebody's Redis.
    settings = Settings.load(
        {},
        {
            "world": WORLD,
            "host": HOST,
            "port": arguments.port,
            "dev": 1,
            "log_level": arguments.log_level,
            "handshakes_per_address": max(100, arguments.bots),
            "drain_s": 5,
        },
    )
    sockets = bind(settings.host, settings.port)
    logs.configure(settings.log_level)
    stage = Stage(arguments.bots, arguments.rate, arguments.seconds)
    try:
        return serve_one(settings, load_world(WORLD), sockets, stage.open)
    finally:
        stage.close()


class Stage:
    """The bots in a process of their own, so that they take no time from the server, and the end of the show."""

    def __init__(self, bots: int, rate: float, seconds: float | None) -> None:
        self._bots = bots
        self._rate = rate
        self._seconds = seconds
        self._crowd: subprocess.Popen[bytes] | None = None
        self._timer: threading.Timer | None = None

    def open(self, settings: Settings, game: Game, port: int) -> None:
        """The server serves: say where, send the bots in, and set the time."""
        address = web_address(settings.host, port)
        print(guide(address, game.name, self._bots, port), flush=True)
        if self._bots:
            arguments = ("bots", "--url", f"ws://{address}/ws", "--count", str(self._bots), "--rate", str(self._rate))
            self._crowd = subprocess.Popen([*COMMAND, *arguments, "--with-parent"], **child_options(_own_environment()))
        if self._seconds is not None:
            self._timer = threading.Timer(self._seconds, self._end)
            self._timer.daemon = True
            self._timer.start()

    def _end(self) -> None:
        # First the bots, who then tell of a server that was there to the last.
        self._dismiss()
        os.kill(os.getpid(), signal.SIGTERM)

    def _dismiss(self) -> None:
        if self._crowd is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._crowd.terminate()
        try:
            self._crowd.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._crowd.kill()
            self._crowd.wait()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._dismiss()


def _own_environment() -> dict[str, str]:
    """Without our variables: a token or a secret of another server would keep the bots out of this one."""
    return {name: text for name, text in os.environ.items() if not name.startswith(variable_name(""))}


def guide(address: str, world: str, bots: int, port: int) -> str:
    """Where to look, with commands that can be copied."""
    url = f"ws://{address}/ws"
    here = "" if port == PORT else f" --url {url}"
    body = '{"player": "you"}'
    return f"""\
The world {world} is alive with {bots} bots at {url}

  watch a sector   {invocation()} watch sector:1{here}
  get a token      curl -s -H 'Content-Type: application/json' -d '{body}' http://{address}/dev/token
  connect          offer the subprotocols gameserver.v1.json and bearer.<token> at {url}
  figures          http://{address}/metrics

Ctrl-C ends it."""


def invocation() -> str:
    """How this program can be called from the same place."""
    called = Path(sys.argv[0])
    if called.name == "gameserver":
        return _short(called)
    return f"{_short(Path(sys.executable))} -m gameserver"


def _short(program: Path) -> str:
    """As one would type it: by name when the path finds it, else from here."""
    program = program.absolute()
    if shutil.which(program.name) == str(program):
        return program.name
    with contextlib.suppress(ValueError):
        program = program.relative_to(Path.cwd())
    return shlex.quote(str(program))
