"""`python -m e2e_tests.restarts [--only kills]`: both scenarios in turn; the exit code is 1 when one does not hold."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from e2e_tests.restarts import kills, rolling
from gameserver.bench.machine import allow_many_connections

SCENARIOS = ("kills", "rolling")
CONNECTIONS = 500
"""As many as two cores can carry the players of, too, who are Python here."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e_tests.restarts")
    parser.add_argument("--only", action="append", choices=SCENARIOS)
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="of `rolling` (default: %(default)s)")
    arguments = parser.parse_args()
    allow_many_connections()
    held = True
    for name in arguments.only or SCENARIOS:
        began = time.monotonic()
        verdict = asyncio.run(kills.run() if name == "kills" else rolling.run(arguments.connections))
        held = held and verdict.holds
        print(f"{name}: {'holds' if verdict.holds else 'DOES NOT HOLD'}, {time.monotonic() - began:.0f} s\n{verdict}\n")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
