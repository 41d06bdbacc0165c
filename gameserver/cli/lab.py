"""`gameserver lab`: a cluster on this machine that one can hurt, to see what players notice of it."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator

from gameserver.bench.store import NoRedis
from gameserver.cli.demo import WORLD
from gameserver.cli.exits import DONE, FAILED, complain
from gameserver.cli.options import Subparsers, add_command, count, count_or_none
from gameserver.lab.cluster import Cluster, cluster
from gameserver.lab.orders import BadOrder, carry_out
from gameserver.settings import Settings, variable_name

WORKERS = 3
BOTS = 30
PORT = 8000
PROMPT = "lab> "


def add_to(commands: Subparsers) -> None:
    parser = add_command(commands, "lab", "run a cluster on this machine and make things go wrong in it", lab)
    parser.add_argument("--workers", type=count, default=WORKERS, help="default: %(default)s")
    parser.add_argument("--bots", type=count_or_none, default=BOTS, help="how many players (default: %(default)s)")
    parser.add_argument("--world", default=WORLD, help="default: %(default)s")
    parser.add_argument("--port", type=int, default=PORT, help="the balancer's (default: %(default)s; 0: a free one)")


def lab(arguments: argparse.Namespace) -> int:
    settings = Settings.load(
        {},
        {
            "world": arguments.world,
            "port": arguments.port,
            "dev": 1,
            "log_level": "warning",
            # Everybody comes by the balancer.
            "handshakes_per_address": 10_000,
            "drain_s": 5,
        },
    )
    environ = {name: text for name, text in os.environ.items() if not name.startswith(variable_name(""))}
    try:
        return asyncio.run(_run(settings, arguments.workers, arguments.bots, environ))
    except (NoRedis, OSError, TimeoutError) as error:
        complain(str(error) or "The lab did not start in time.")
        return FAILED


async def _run(settings: Settings, workers: int, bots: int, environ: dict[str, str]) -> int:
    async with cluster(settings, workers, bots, environ) as running:
        print(_guide(running, bots), flush=True)
        async for line in _lines():
            if line == "quit":
                break
            await _answer(running, line)
    return DONE


async def _answer(running: Cluster, line: str) -> None:
    try:
        print(await carry_out(running, line), flush=True)
    except BadOrder as wrong:
        print(wrong, flush=True)
    except TimeoutError:
        print("It did not come about in time.", flush=True)


async def _lines() -> AsyncIterator[str]:
    """What is typed, or comes from a script, until there is no more."""
    asked = sys.stdin.isatty()
    while True:
        if asked:
            print(PROMPT, end="", flush=True)
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            return
        words = line.partition("#")[0].strip()
        if words:
            yield words


def _guide(running: Cluster, bots: int) -> str:
    address = f"127.0.0.1:{running.balancer.port}"
    here = "" if running.balancer.port == PORT else f" --url ws://{address}/ws"
    return f"""\
{len(running.workers)} workers on one Redis behind ws://{address}/ws, with {bots} bots; logs are in {running.directory}

  gameserver watch sector:1{here}   in another terminal shows what a player sees
  help                               says what can go wrong; quit ends it"""
