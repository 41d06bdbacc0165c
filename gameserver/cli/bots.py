"""`gameserver bots`: scripted players against any server, and one line about how it went."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Literal

import orjson
import uvloop

from gameserver.cli.access import DEFAULT_URL, TOKEN_VARIABLE, Access
from gameserver.cli.botting import BRAINS, Bot
from gameserver.cli.crowd import Summary, play
from gameserver.cli.exits import DONE, FAILED, complain
from gameserver.cli.lifeline import end_with_parent
from gameserver.cli.options import Subparsers, add_command, count, positive
from gameserver.client import Tuning

Encodings = Literal["json", "msgpack", "compact", "mixed"]

TEAMS = ("red", "blue", "green", None)
"""Every fourth bot is on its own."""
FEWEST_DIALS = 5.0
"""Seconds; a crowd that arrives at once may have to wait for its turn."""


def add_to(commands: Subparsers) -> None:
    parser = add_command(commands, "bots", "let scripted players play on a server", bots)
    parser.add_argument("--url", default=DEFAULT_URL, help="default: %(default)s")
    parser.add_argument("--count", type=count, default=10, help="how many (default: %(default)s)")
    parser.add_argument(
        "--rate", type=positive, default=1.0, help="commands per second that each would like to send (default: 1)"
    )
    parser.add_argument("--seconds", type=positive, help="how long (default: until Ctrl-C)")
    parser.add_argument(
        "--encoding", choices=("json", "msgpack", "compact", "mixed"), default="mixed", help="default: mixed"
    )
    parser.add_argument("--world", choices=sorted(BRAINS), default="frontier", help="the game they know")
    parser.add_argument("--prefix", default="bot", help="what their ids begin with (default: bot)")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    parser.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
    parser.epilog = (
        "Tokens are signed with GAMESERVER_JWT_SECRET when it is set; otherwise a server in dev mode is asked. "
        f"{TOKEN_VARIABLE} makes all of them one player. Exit code 1 when a bot was turned away or saw another world."
    )


def bots(arguments: argparse.Namespace) -> int:
    if arguments.with_parent:
        end_with_parent()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        summary = runner.run(_bots(arguments))
    print(orjson.dumps(summary.figures()).decode() if arguments.json else summary.line(), flush=True)
    for reason, many in summary.gone.most_common():
        complain(f"{many} of {summary.bots} bots stopped early: {reason}.")
    return DONE if summary.good else FAILED


async def _bots(arguments: argparse.Namespace) -> Summary:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    access = Access(arguments.url)
    # One token is asked for first, so that a server that gives none is told once and not by every bot.
    await access.token(f"{arguments.prefix}-1")
    crowd = make_crowd(
        access,
        arguments.count,
        rate=arguments.rate,
        encoding=arguments.encoding,
        prefix=arguments.prefix,
        world=arguments.world,
    )
    try:
        return await play(crowd, stop, arguments.seconds)
    finally:
        await asyncio.gather(*(bot.close() for bot in crowd))


def make_crowd(
    access: Access, many: int, *, rate: float, encoding: Encodings, prefix: str = "bot", world: str = "frontier"
) -> list[Bot]:
    """Bots `<prefix>-1` and so on, in teams, the encodings mixed one by one."""
    encodings = ("json", "msgpack", "compact") if encoding == "mixed" else (encoding,)
    return [
        Bot(
            access.url_for("player"),
            token_source(access, f"{prefix}-{number}", TEAMS[number % len(TEAMS)]),
            brain=BRAINS[world],
            rate=rate,
            seed=f"{prefix}-{number}",
            encoding=encodings[number % len(encodings)],
            tuning=Tuning(dial_timeout=max(FEWEST_DIALS, many / 50)),
        )
        for number in range(1, many + 1)
    ]


def token_source(access: Access, player: str, team: str | None) -> Callable[[], Awaitable[str]]:
    """For a client, which asks anew for every connection."""
    return lambda: access.token(player, team=team)
