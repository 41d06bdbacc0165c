"""`python -m benchmarks`: every workload, several rounds of all of them in turn, one page of figures."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.figures import Table
from benchmarks.machine import facts
from benchmarks.processes import BenchmarkFailed, Settings
from benchmarks.workloads import TABLES, WORKLOADS, Plan

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 when something could not be measured."""
    arguments = build_parser().parse_args(argv)
    plan = Plan.quick() if arguments.quick else Plan()
    if arguments.rounds is not None:
        plan = replace(plan, rounds=arguments.rounds)
    # Whoever is told to end still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
    machine = facts()
    try:
        run(plan, arguments.only or list(WORKLOADS))
    except BenchmarkFailed as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    print(page(machine, plan))
    if arguments.json is not None:
        result = {"machine": machine, "rounds": plan.rounds, "tables": [table.to_json() for table in measured()]}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="One page of figures of this machine.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every round there as well")
    parser.add_argument("--quick", action="store_true", help="one short, small round: to see that everything runs")
    parser.add_argument("--rounds", type=_count, help="how many rounds (3)")
    parser.add_argument("--only", action="append", choices=list(WORKLOADS), help="leave the other workloads out")
    return parser


def run(plan: Plan, names: Sequence[str]) -> None:
    """All rounds. Every second one goes the other way round, so that what changes meanwhile hits all alike."""
    settings = Settings.new()
    for number in range(plan.rounds):
        for name in names if number % 2 == 0 else reversed(names):
            started = time.monotonic()
            print(f"round {number + 1} of {plan.rounds}: {name} ", end="", file=sys.stderr, flush=True)
            WORKLOADS[name](settings, plan)
            print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)


def page(machine: dict[str, str], plan: Plan) -> str:
    width = max(map(len, machine))
    facts_of_it = "\n".join(f"{name.ljust(width)}  {fact}" for name, fact in machine.items())
    how = f"{plan.rounds} interleaved rounds: median (min..max)" if plan.rounds > 1 else "one round"
    return "\n\n".join((facts_of_it, how, *(table.page() for table in measured())))


def measured() -> list[Table]:
    return [table for table in TABLES if table.rounds]


def _count(raw: str) -> int:
    if not raw.isascii() or not raw.isdigit() or int(raw) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {raw!r}")
    return int(raw)


if __name__ == "__main__":
    sys.exit(main())
