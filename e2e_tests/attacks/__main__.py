"""`python -m e2e_tests.attacks [--quick] [--only WORD] [--page FILE]`: the attacks and the table."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from e2e_tests.attacks.arena import Outcome, arena
from e2e_tests.attacks.rows import ROWS, Row

BEGIN, END = "<!-- attacks: begin -->", "<!-- attacks: end -->"


def line(row: Row, measured: str, ack: str) -> str:
    return f"| {row.family} | {row.name} | {row.holds} | {measured} | {ack} |"


def table(outcomes: list[Outcome]) -> str:
    lines = ["| | attack | must hold | measured | others' acks, p99 |", "|---|---|---|---|---:|"]
    lines += [line(each.row, each.measured, f"{each.ack_p99 * 1e3:.0f} ms") for each in outcomes]
    return "\n".join(lines)


def write(page: Path, text: str) -> None:
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


async def run(rows: list[Row], quick: bool) -> tuple[list[Outcome], list[str]]:
    """What was measured, and what did not hold."""
    outcomes, faults = [], []
    with tempfile.TemporaryDirectory() as directory:
        async with arena(Path(directory), quick) as built:
            for row in rows:
                try:
                    outcome = await built.run(row)
                except Exception as error:
                    faults.append(f"{row.family}, {row.name}: {type(error).__name__} {error}")
                    print(f"FAILED {faults[-1]}", flush=True)
                else:
                    outcomes.append(outcome)
                    print(line(row, outcome.measured, f"{outcome.ack_p99 * 1e3:.0f} ms"), flush=True)
    return outcomes, faults


def main() -> None:
    parser = argparse.ArgumentParser(description="Try the service against every attack of the catalogue.")
    parser.add_argument("--quick", action="store_true", help="lower counts and times, as in the tests")
    parser.add_argument("--only", default="", help="rows whose family or name has this in it")
    parser.add_argument("--page", type=Path, help="a page whose table between the markers is to be replaced")
    given = parser.parse_args()
    rows = [row for row in ROWS if given.only in f"{row.family} {row.name}" and not (given.quick and row.thorough)]
    outcomes, faults = asyncio.run(run(rows, given.quick))
    print(f"\n{table(outcomes)}\n\n{len(outcomes)} held, {len(faults)} did not")
    if given.page and not given.only and not faults:
        write(given.page, table(outcomes))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
