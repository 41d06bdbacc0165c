"""`gameserver bench`: what this machine does in a minute, as a table and as JSON."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import orjson

from gameserver.cli.exits import DONE, FAILED, INTERRUPTED, complain
from gameserver.cli.options import Subparsers, add_command, count


def add_to(commands: Subparsers) -> None:
    parser = add_command(commands, "bench", "measure this machine, in about a minute", bench)
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write them there as JSON besides")
    parser.add_argument("--rounds", type=count, default=1, help="how often everything is measured (default: 1)")
    parser.epilog = (
        "It starts servers of its own on free ports of 127.0.0.1 and ends them. With a redis-server on PATH it "
        "measures on Redis too. When the machine has other work, look at the figures per CPU second."
    )


def bench(arguments: argparse.Namespace) -> int:
    # Needs the server, which other commands do without.
    from gameserver.bench.processes import BenchmarkFailed
    from gameserver.bench.suite import Suite

    # Whoever is told to end still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
    suite = Suite(rounds=arguments.rounds)
    try:
        suite.run(lambda line: print(line, file=sys.stderr, flush=True))
    except BenchmarkFailed as failure:
        complain(str(failure))
        return FAILED
    figures = orjson.dumps(suite.to_json(), option=orjson.OPT_INDENT_2)
    if arguments.output is not None:
        arguments.output.write_bytes(figures + b"\n")
    print(figures.decode() if arguments.json else suite.page(), flush=True)
    return DONE
