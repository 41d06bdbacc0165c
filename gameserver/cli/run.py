"""`gameserver run`: everything is checked, every fault named, and then one worker or several serve."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator

from gameserver.cli import logs
from gameserver.cli.checks import examine, load_world_here
from gameserver.cli.exits import DONE, FAILED, WRONG, complain
from gameserver.cli.fleet import Fleet
from gameserver.cli.lifeline import end_with_parent
from gameserver.cli.options import Subparsers, add_command, add_settings, environment, overrides
from gameserver.cli.sockets import bind, port_of, web_address
from gameserver.game import Game
from gameserver.settings import Settings


def add_to(commands: Subparsers) -> None:
    parser = add_command(commands, "run", "serve a world", run)
    add_settings(parser)
    parser.add_argument("--member", type=int, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    given = overrides(arguments)
    if arguments.member is not None:
        return _run_member(arguments.member, Settings.load(environment(), given))
    found = examine(environment(), given)
    if found.faults or found.settings is None or found.game is None:
        complain(*found.faults)
        return WRONG
    complain(*(f"warning: {warning}" for warning in found.warnings))
    logs.configure(found.settings.log_level)
    if found.settings.workers > 1:
        return _run_fleet(found.settings)
    return serve_one(found.settings, found.game, bind(found.settings.host, found.settings.port), announce(1))


def _run_fleet(settings: Settings) -> int:
    # Held without listening: the port stays the fleet's while workers come and go, and 0 has become one for all.
    held = bind(settings.host, settings.port, shared=True)
    try:
        return asyncio.run(Fleet(settings, port_of(held)).run())
    finally:
        for each in held:
            each.close()


def _run_member(number: int, settings: Settings) -> int:
    """One worker of a fleet. The parent has checked everything, and only the store can have gone since."""
    end_with_parent()
    logs.configure(settings.log_level)
    game = load_world_here(settings.world)
    return serve_one(settings, game, bind(settings.host, settings.port, shared=True), announce(number))


Announcement = Callable[[Settings, Game, int], None]


def announce(number: int) -> Announcement:
    """A line on stdout when a worker serves: for people, and for programs that wait for it or need its port."""

    def say(settings: Settings, game: Game, port: int) -> None:
        address = web_address(settings.host, port)
        print(f"worker {number} (process {os.getpid()}) serves {game.name} at http://{address}", flush=True)

    return say


def serve_one(settings: Settings, game: Game, sockets: list[socket.socket], started: Announcement) -> int:
    """Serve on bound sockets until a signal comes; the exit code."""
    # Needs uvicorn and the rest of the server, which other commands do without.
    from gameserver.asgi.server import serve

    port = port_of(sockets)
    with signals_are_requests():
        try:
            code = serve(settings, game, sockets=sockets, on_started=lambda: started(settings, game, port))
        except SystemExit:
            # uvicorn's way to say that the application did not start; it has logged why.
            code = FAILED
    if code != DONE:
        complain("The worker could not start; the log says why.")
    return code


@contextlib.contextmanager
def signals_are_requests() -> Iterator[None]:
    """uvicorn raises a signal again after it has stopped because of it: stopping when asked to is no failure."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
