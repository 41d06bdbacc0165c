"""`python -m e2e_tests.chaos [--quick] [--only 4,9,kills] [--no-twins] [--page FILE]`: the faults and the table."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from e2e_tests.chaos.catalogue import Row
from e2e_tests.chaos.rows import ABSENT, ROWS
from e2e_tests.chaos.scene import try_row, try_twin

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
HEAD = ["| # | fault | how | must hold | measured | fails without |", "|---|---|---|---|---|---|"]


@dataclass
class Outcome:
    """`twins` are mechanisms without which the row failed, as it has to."""

    row: Row
    measured: str
    twins: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        row = self.row
        return f"| {row.number} | {row.fault} | {row.how} | {row.holds} | {self.measured} | {', '.join(self.twins)} |"


def table(outcomes: list[Outcome]) -> str:
    absent = [f"| {each.number} | {each.fault} | | | not shown: {each.why} | |" for each in ABSENT]
    lines = [(outcome.row.number, outcome.line) for outcome in outcomes]
    lines += [(each.number, line) for each, line in zip(ABSENT, absent, strict=True)]
    return "\n".join([*HEAD, *(line for _, line in sorted(lines, key=lambda numbered: numbered[0]))])


def write(page: Path, text: str) -> None:
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def chosen(only: str, quick: bool) -> list[Row]:
    words = [word for word in only.split(",") if word]
    return [
        row
        for row in ROWS
        if (not words or str(row.number) in words or (row.word and row.word in words))
        and (row.quick or not quick or words)
    ]


async def run(rows: list[Row], quick: bool, twins: bool) -> tuple[list[Outcome], list[str]]:
    """What was measured, and what did not hold."""
    outcomes, faults = [], []
    for row in rows:
        with tempfile.TemporaryDirectory() as directory:
            began = time.monotonic()
            try:
                outcome = Outcome(row, await try_row(row, Path(directory), quick=quick))
            except Exception as error:
                faults.append(f"{row.number} {row.fault}: {type(error).__name__} {error}")
                print(f"FAILED {faults[-1]}", flush=True)
                continue
        for twin in row.twins if twins else ():
            with tempfile.TemporaryDirectory() as directory:
                try:
                    told = await try_twin(row, twin, Path(directory))
                    outcome.twins.append(twin.mechanism)
                    print(f"    without {twin.mechanism}: {told}", flush=True)
                except Exception as error:
                    faults.append(f"{row.number} {row.fault}, twin: {type(error).__name__} {error}")
                    print(f"FAILED {faults[-1]}", flush=True)
        outcomes.append(outcome)
        print(f"{outcome.line}  ({time.monotonic() - began:.0f} s)", flush=True)
    return outcomes, faults


def main() -> None:
    parser = argparse.ArgumentParser(description="Do the service every harm of the catalogue.")
    parser.add_argument("--quick", action="store_true", help="lower counts and times, and quick rows alone")
    parser.add_argument("--only", default="", help="numbers and words of rows, comma-separated")
    parser.add_argument("--no-twins", action="store_true", help="do not show that rows fail without their guards")
    parser.add_argument("--page", type=Path, help="a page whose table between the markers is to be replaced")
    given = parser.parse_args()
    rows = chosen(given.only, given.quick)
    outcomes, faults = asyncio.run(run(rows, given.quick, not given.no_twins))
    print(f"\n{table(outcomes)}\n\n{len(outcomes)} held, {len(faults)} did not")
    if given.page and not given.only and not faults:
        write(given.page, table(outcomes))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
