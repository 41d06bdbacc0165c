"""Many seeds, on several cores, each in an interpreter whose hashes are those of every other run.

The order of a set of strings depends on them, and with it the order in which a message names deleted entities: a seed
would not be quite the same run twice.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from multiprocessing import get_context

from tests.simulation.breaks import BREAKS
from tests.simulation.simulation import Outcome, Scale, simulate

HASHES = "0"
AT_ONCE = 4
"""Seeds handed to a process in one go."""


def run_seeds(
    seeds: Iterable[int], jobs: int = 1, broken: str = "", scale: Scale | None = None, until_first: bool = False
) -> Iterator[Outcome]:
    """What came of each seed, as it is done; with `until_first` the rest is given up after the first violation."""
    before = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = HASHES
    waiting = list(seeds)
    shares = [waiting[first : first + AT_ONCE] for first in range(0, len(waiting), AT_ONCE)]
    try:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            futures = [pool.submit(_run, share, broken, scale) for share in shares]
            for future in as_completed(futures):
                for outcome in future.result():
                    yield outcome
                    if until_first and outcome.violations:
                        pool.shutdown(wait=False, cancel_futures=True)
                        return
    finally:
        if before is None:
            del os.environ["PYTHONHASHSEED"]
        else:
            os.environ["PYTHONHASHSEED"] = before


def _run(seeds: list[int], broken: str, scale: Scale | None) -> list[Outcome]:
    outcomes = []
    # A run leaves much behind at once; what is collected during it only costs time.
    gc.disable()
    for seed in seeds:
        with BREAKS[broken]() if broken else nullcontext():
            outcomes.append(simulate(seed, scale))
        gc.collect()
    return outcomes
