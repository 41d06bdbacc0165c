"""`python -m e2e_tests.restarts [--only kills]`: every scenario in turn; the exit code is 1 when one does not hold."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from e2e_tests.restarts import kills, rolling
from gameserver.bench.machine import allow_many_connections

SCENARIOS = {"kills": kills.run, "rolling": rolling.run}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e_tests.restarts")
    parser.add_argument("--only", action="append", choices=list(SCENARIOS))
    arguments = parser.parse_args()
    allow_many_connections()
    held = True
    for name in arguments.only or SCENARIOS:
        began = time.monotonic()
        verdict = asyncio.run(SCENARIOS[name]())
        held = held and verdict.holds
        print(f"{name}: {'holds' if verdict.holds else 'DOES NOT HOLD'}, {time.monotonic() - began:.0f} s\n{verdict}\n")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
