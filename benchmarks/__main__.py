"""`python -m benchmarks`: every workload and everybody in it in turn, several rounds, one page of tables."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.peers import PEERS
from benchmarks.places import BUILD
from benchmarks.plan import Plan
from benchmarks.run import Run
from benchmarks.tables import page
from benchmarks.workloads import WORKLOADS
from gameserver.bench.machine import allow_many_connections

INTERRUPTED = 130
RESULT = BUILD / "performance.json"


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 when something of ours could not be measured. A peer that cannot is named on the page."""
    arguments = build_parser().parse_args(argv)
    plan = Plan.quick() if arguments.quick else Plan()
    if arguments.rounds is not None:
        plan = replace(plan, rounds=arguments.rounds)
    # Whoever is told to end still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
    allow_many_connections()
    run = Run(plan, arguments.peers)
    started = time.monotonic()
    try:
        run.all(arguments.only or list(WORKLOADS))
    except KeyboardInterrupt:
        return INTERRUPTED
    result = run.to_json(time.monotonic() - started)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    print(page(result))
    return 1 if run.failed else 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="The hot path beside its peers.")
    parser.add_argument("--json", type=Path, metavar="FILE", default=RESULT, help=f"default: {RESULT.name} in build/")
    parser.add_argument("--quick", action="store_true", help="one short, small round: to see that everything runs")
    parser.add_argument("--rounds", type=_count, help="how many rounds (3)")
    parser.add_argument("--only", action="append", choices=list(WORKLOADS), help="leave the other workloads out")
    parser.add_argument(
        "--peers", type=_peers, default=list(PEERS), help=f"comma-separated: {','.join(PEERS)} (all), or none"
    )
    return parser


def _count(raw: str) -> int:
    if not raw.isascii() or not raw.isdigit() or int(raw) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {raw!r}")
    return int(raw)


def _peers(raw: str) -> list[str]:
    names = [] if raw == "none" else raw.split(",")
    if unknown := [name for name in names if name not in PEERS]:
        raise argparse.ArgumentTypeError(f"there is no peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
