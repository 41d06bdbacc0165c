"""`gameserver lab`: a cluster on this machine that one can hurt, to see what players notice of it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator

from gameserver.bench.store import NoRedis
from gameserver.cli.checks import load_world_here
from gameserver.cli.demo import WORLD
from gameserver.cli.exits import DONE, FAILED, INTERRUPTED, complain
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
    load_world_here(settings.world)
    environ = {name: text for name, text in os.environ.items() if not name.startswith(variable_name(""))}
    try:
        return asyncio.run(_run(settings, arguments.workers, arguments.bots, environ))
    except (NoRedis, OSError, TimeoutError) as error:
        complain(str(error) or "The lab did not start in time.")
        return FAILED


async def _run(settings: Settings, workers: int, bots: int, environ: dict[str, str]) -> int:
    # However it is told to end, it first ends what it has started.
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        async with cluster(settings, workers, bots, environ) as running:
            print(_guide(running, bots), flush=True)
            async for line in _lines():
                if line == "quit":
                    break
                await _answer(running, line)
    except asyncio.CancelledError:
        return INTERRUPTED
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
    loop = asyncio.get_running_loop()
    while True:
        if asked:
            print(PROMPT, end="", flush=True)
        typed: asyncio.Future[str] = loop.create_future()
        # A thread of the loop's own would be waited for at the end, and this one waits for somebody to type.
        threading.Thread(target=_read_line, args=(loop, typed), daemon=True).start()
        line = await typed
        if not line:
            return
        words = line.partition("#")[0].strip()
        if words:
            yield words


def _read_line(loop: asyncio.AbstractEventLoop, typed: asyncio.Future[str]) -> None:
    line = sys.stdin.readline()

    def tell() -> None:
        if not typed.done():
            typed.set_result(line)

    # The loop may have ended meanwhile.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(tell)


def _guide(running: Cluster, bots: int) -> str:
    address = f"127.0.0.1:{running.balancer.port}"
    here = "" if running.balancer.port == PORT else f" --url ws://{address}/ws"
    return f"""\
{len(running.workers)} workers on one Redis behind ws://{address}/ws, with {bots} bots; logs are in {running.directory}

  gameserver watch sector:1{here}   in another terminal shows what a player sees
  help                               says what can go wrong; quit ends it"""
