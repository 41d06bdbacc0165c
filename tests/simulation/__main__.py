"""`python -m tests.simulation --seeds 1000 --jobs 2`: try many seeds and say what they met."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

from tests.simulation.breaks import BREAKS
from tests.simulation.jobs import run_seeds
from tests.simulation.simulation import Outcome

REPORTED = 3
"""Failures that are told in full."""


class Tally:
    """Sums over all seeds."""

    def __init__(self) -> None:
        self.seeds = 0
        self.virtual = 0.0
        self.took = 0.0
        self.applied = 0
        self.slowest_agreement = 0.0
        self.counts: Counter[str] = Counter()
        self.failed: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.virtual += outcome.virtual
        self.took += outcome.took
        self.applied += outcome.applied
        self.slowest_agreement = max(self.slowest_agreement, outcome.agreed_after)
        self.counts.update(outcome.counts)
        if outcome.violations:
            self.failed.append(outcome)

    def print(self, wall: float) -> None:
        counts = self.counts
        print(f"seeds           {self.seeds} in {wall:.0f} s: {self.seeds / wall * 60:.0f} a minute")
        print(f"virtual time    {self.virtual / 3600:.2f} h; {self.took / self.seeds:.2f} s of a core for each seed")
        print(f"commands        {counts['command']} sent, {self.applied} applied, {counts['refused']} refused")
        answers = ("batch answered again", "group answered", "group conflict", "group fenced")
        print("store           " + ", ".join(f"{counts[each]} {each}" for each in answers))
        proofs = ("client Verified", "client RoomLoaded", "client ResyncNeeded", "client LostEvents")
        print("clients         " + ", ".join(f"{counts[each]} {each[7:]}" for each in proofs))
        print(f"agreement       after {self.slowest_agreement:.1f} s at the latest")
        print("faults")
        for kind, times in sorted(counts.items()):
            if kind.startswith("fault "):
                print(f"  {kind[6:]:24} {times}")
        letters = Counter(outcome.first for outcome in self.failed)
        print(f"violations      {len(self.failed)} seeds {dict(letters) if letters else ''}".rstrip())


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Simulate worlds from seeds.")
    parser.add_argument("--seeds", type=int, default=1000, metavar="COUNT", help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=1, metavar="SEED", help="the first of them (default: 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="COUNT", help="processes")
    parser.add_argument("--break", dest="broken", choices=("", *BREAKS), default="", help="switch a mechanism off")
    parser.add_argument("--lines", type=int, default=40, metavar="COUNT", help="of the trace before a violation")
    return parser.parse_args()


def main() -> int:
    """1 when an invariant was violated; with --break, when none was."""
    arguments = read_arguments()
    tally = Tally()
    started = time.monotonic()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    for outcome in run_seeds(seeds, arguments.jobs, arguments.broken, until_first=bool(arguments.broken)):
        tally.add(outcome)
        if outcome.violations and len(tally.failed) <= REPORTED:
            print(outcome.report(arguments.lines), flush=True)
    tally.print(time.monotonic() - started)
    if arguments.broken:
        caught = bool(tally.failed)
        print(f"BREAK={arguments.broken} was {'noticed' if caught else 'NOT noticed'}")
        return 0 if caught else 1
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
