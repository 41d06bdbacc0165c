"""`python -m tests.fuzz [--messages N] [--payloads N] [--seed S]`: at volume, with figures; memory must stay flat."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter
from collections.abc import Callable

import psutil

from tests.fuzz import client_messages, payloads

BLOCK = 5000
GROWTH = 8 << 20
"""Bytes that may be resident at the end beyond what was after the first block."""


def run_blocks(what: str, run: Callable[[int, int], Counter[str]], seed: int, wanted: int, kinds: list[str]) -> bool:
    """Run until `wanted` inputs of these kinds have come to an end, and say what became of them."""
    ended: Counter[str] = Counter()
    began, first, resident = time.monotonic(), 0, psutil.Process().memory_info
    while (done := sum(ended[kind] for kind in kinds)) < wanted:
        ended += run(seed, min(BLOCK, wanted - done))
        seed += 1
        gc.collect()
        first = first or resident().rss
    grown, share = resident().rss - first, 1 - sum(ended[kind] for kind in kinds[1:]) / done
    flat = grown < GROWTH
    print(f"{done} {what} in {time.monotonic() - began:.0f} s: no crash, {share:.0%} {kinds[0]}")
    print(f"  memory: {grown / 1024:+.0f} KiB{'' if flat else ', NOT FLAT'}; ended: {dict(sorted(ended.items()))}")
    return flat


def main() -> None:
    parser = argparse.ArgumentParser(description="Feed what is spoilt to all that reads what others wrote.")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--payloads", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    refusals = [refusal.__name__ for refusal in client_messages.REFUSALS]
    flat = [
        run_blocks("spoilt messages", client_messages.run, given.seed, given.messages, ["decoded", *refusals]),
        run_blocks("spoilt payloads", payloads.run, given.seed, given.payloads, ["commit", "signal", "refused"]),
    ]
    sys.exit(not all(flat))


if __name__ == "__main__":
    main()
