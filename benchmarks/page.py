"""`python -m benchmarks.page [FILE]`: docs/performance.md and its plots, out of the figures of a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.__main__ import RESULT
from benchmarks.places import FIGURES, PAGE, PLOTS, SOAK
from benchmarks.plots import Row, plot
from gameserver.bench.figures import show

Json = dict[str, Any]
OURS = "gameserver"


@dataclass(frozen=True, slots=True)
class Plot:
    """One column of a table. `low` is better when it is low."""

    table: str
    column: str
    title: str
    unit: str
    digits: int = 0
    logarithmic: bool = False
    low: bool = True
    compared: bool = True
    """Whether peers stand in the table, so that one can be ahead."""

    @property
    def file(self) -> str:
        return f"{self.table.lower()}-{self.column.replace('_', '-')}.svg"


PLOTTED = (
    Plot("W1", "us", "Server CPU of one delivery, saturated", "us, logarithmic", 2, logarithmic=True),
    Plot("W1", "per_s", "Deliveries, saturated", "per second, logarithmic", logarithmic=True, low=False),
    Plot("W2", "server", "Server CPU for 100,000 deliveries a second", "% of a core", 1),
    Plot("W2", "p99_ms", "From due to read, p99", "ms, logarithmic", 2, logarithmic=True),
    Plot("W3a", "per_cpu_s", "Commands answered", "per server-CPU-second", low=False),
    Plot("W3b", "per_cpu_s", "Commands committed", "per worker-CPU-second", low=False, compared=False),
    Plot("W4", "kib", "Memory of an idle connection", "KiB", 1),
    Plot("W4", "joins", "Joins", "per second", low=False),
    Plot("W7", "us", "Server CPU of one delivery as the world grows", "us", 2, compared=False),
)

INTRODUCTION = """\
# Performance

Made by `python -m benchmarks.page` from the figures of `make bench` (about twenty minutes; `gameserver bench` measures
a machine in one). [benchmarks/README.md](../benchmarks/README.md) says what each workload does and what the figures do
not say. All figures of a table come from the same interleaved rounds on one machine; compare them with each other and
not with those of another machine.
"""

METHOD = """\
## Method

- The server is pinned to one core, the load to another; on two cores Redis shares the load's. The peers pass
  messages on, or change state in memory (Colyseus); on the bus a command is validated, run, committed on Redis,
  published, applied to the replica, and only then delivered. All of that is in its figures, except Redis' own time.
- Each contestant runs in every round, every second round in the opposite order, each time with processes started anew.
  A cell is the median of the rounds with least and most in brackets; ratios are made within a round.
- CPU time is what the kernel charges to the server's processes. *us* and *per CPU-second* depend much less on what
  else the machine does than figures per second.
- The load (`benchmarks/native/load.c`) sends at fixed times and measures from when a message was due, so a server that
  stalls is charged for everybody who waited. *Load's core* near 100 % means that the figure is the load's.
- The floor is a program in C that does nothing but write: once per member what one turn of its loop has brought for
  the room (*joined*), or every message by itself.
"""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else list(argv)
    source = Path(arguments[0]) if arguments else RESULT
    result: Json = json.loads(source.read_text())
    tables = {table["name"]: table for table in result["tables"]}
    PLOTS.mkdir(parents=True, exist_ok=True)
    drawn = {each.file for each in PLOTTED if draw(each, tables)}
    for old in PLOTS.glob("*.svg"):
        if old.name not in drawn:
            old.unlink()
    PAGE.write_text(page(result, tables, drawn))
    if source.resolve() != FIGURES:
        FIGURES.write_text(json.dumps(rounded(result), separators=(",", ":")) + "\n")
    print(f"{PAGE.name} and {len(drawn)} plots")
    return 0


def rounded(value: Any) -> Any:
    """Five digits are more than any of it is worth."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return value


def draw(each: Plot, tables: dict[str, Json]) -> bool:
    """Write the plot, if its column was measured."""
    rows = [
        Row(name, found["median"], found["min"], found["max"])
        for name, measured in tables.get(each.table, {"rows": {}})["rows"].items()
        if (found := measured.get(each.column)) is not None
    ]
    if not rows:
        return False
    svg = plot(each.title, each.unit, rows, digits=each.digits, logarithmic=each.logarithmic)
    (PLOTS / each.file).write_text(svg)
    return True


def page(result: Json, tables: dict[str, Json], drawn: set[str]) -> str:
    parts = [INTRODUCTION, "## Machine\n", *facts(result), METHOD, *standing(tables)]
    for name, table in tables.items():
        parts += [f"## {table['title']}\n", table["note"].replace("\n", " ") + "\n", markdown(table)]
        for each in PLOTTED:
            if each.table == name and each.file in drawn:
                parts.append(f"![{each.title}]({PLOTS.name}/{each.file})\n")
    for title, reasons in (("Peers that were not measured", "missing"), ("Not measured", "failed")):
        if result[reasons]:
            parts += [f"## {title}\n", *(f"- {name}: {one_line(why)}" for name, why in result[reasons].items()), ""]
    if SOAK.exists():
        parts += [
            "## For longer, with people who come, go and read slowly\n",
            f"```\n{SOAK.read_text().strip()}\n```\n",
        ]
    return "\n".join(parts)


def one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def facts(result: Json) -> Iterator[str]:
    known = result["machine"] | {f"{name} (peer)": version for name, version in result["versions"].items()}
    yield "| | |\n|---|---|"
    yield from (f"| {name} | {fact} |" for name, fact in known.items())
    yield f"| rounds | {result['rounds']}, {result['seconds']} s in all |\n"


def markdown(table: Json) -> str:
    columns = table["columns"]
    lines = ["| | " + " | ".join(column["head"] for column in columns) + " |", "|---" + "|---:" * len(columns) + "|"]
    for name, measured in table["rows"].items():
        cells = (show(measured.get(column["name"]), column["digits"]) for column in columns)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join((*lines, ""))


def standing(tables: dict[str, Json]) -> Iterator[str]:
    """Everybody beside our best row, losses first."""
    yield "## Beside the others\n"
    yield "Our best row against each other row, as the median of the rounds' ratios: above 1 the bus is ahead.\n"
    yield "| | " + " | ".join(("of", "gameserver is ahead by a factor of")) + " |\n|---|---|---:|"
    lines: list[tuple[float, str]] = []
    for each in PLOTTED:
        if each.compared and each.table in tables:
            lines += compare(each, tables[each.table])
    yield from (line for _, line in sorted(lines, key=lambda line: line[0]))
    yield ""


def compare(each: Plot, table: Json) -> Iterator[tuple[float, str]]:
    """A ratio and its line for every other row of the column."""
    columns = {name: measured[each.column] for name, measured in table["rows"].items() if each.column in measured}
    for name, found in columns.items():
        ours = [column for row, column in columns.items() if row.startswith(OURS) and same_depth(row, name)]
        if name.startswith(OURS) or not ours:
            continue
        best = (min if each.low else max)(ours, key=lambda column: column["median"])
        pairs = [(a, b) for a, b in zip(found["rounds"], best["rounds"], strict=False) if a > 0 and b > 0]
        if pairs:
            ratio = median(a / b if each.low else b / a for a, b in pairs)
            yield ratio, f"| {each.table}: {each.title} | {name} | {ratio:.2f} |"


def same_depth(ours: str, other: str) -> bool:
    """Rows of commands are compared with as many on the way."""
    return ours.partition(", depth")[2] == other.partition(", depth")[2]


if __name__ == "__main__":
    sys.exit(main())
