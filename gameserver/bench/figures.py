"""Figures: what each round measured, summed up as median and extremes, printed as tables and written as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

MISSING = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """`head` is what stands above it, the unit included; `digits` come after the decimal point."""

    name: str
    head: str
    digits: int = 0


@dataclass(slots=True)
class Table:
    """Rows of figures under the same columns; `note` says what one must know to read them."""

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rounds: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, row: str, **values: float | None) -> None:
        """What one round measured; None is what could not be measured."""
        columns = self.rounds.setdefault(row, {column.name: [] for column in self.columns})
        for name, value in values.items():
            if value is not None:
                columns[name].append(value)

    def page(self) -> str:
        """The table as text."""
        return show_table(self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "note": self.note,
            "columns": [asdict(column) for column in self.columns],
            "rows": {
                row: {name: summary(values) for name, values in measured.items() if values}
                for row, measured in self.rounds.items()
            },
        }


def summary(values: list[float]) -> dict[str, Any]:
    return {"median": median(values), "min": min(values), "max": max(values), "rounds": values}


def show(found: dict[str, Any] | None, digits: int) -> str:
    """`median (min..max)`, or one number where all rounds agree; `found` is a summary."""
    if found is None:
        return MISSING
    middle, least, most = (f"{found[name]:,.{digits}f}" for name in ("median", "min", "max"))
    return middle if least == most else f"{middle} ({least}..{most})"


def show_table(table: dict[str, Any]) -> str:
    """What `Table.to_json` gives, as text."""
    columns = table["columns"]
    lines = [["", *(column["head"] for column in columns)]]
    for row, measured in table["rows"].items():
        lines.append([row, *(show(measured.get(column["name"]), column["digits"]) for column in columns)])
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    text = [f"{table['title']}", *(f"  {line}" for line in table["note"].splitlines()), ""]
    for row, *cells in lines:
        ranged = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        text.append("  " + "  ".join((row.ljust(widths[0]), *ranged)))
    return "\n".join(text)


def facts_page(facts: dict[str, str]) -> str:
    """What a machine is, a line each."""
    width = max(map(len, facts))
    return "\n".join(f"{name.ljust(width)}  {fact}" for name, fact in facts.items())


def quantile(ordered: list[float], share: float) -> float | None:
    """The least of the values that a `share` (0 to 1) of all do not exceed; `ordered` is sorted. None without any."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def per(amount: float, spent: float) -> float | None:
    """`amount / spent`, or None where nothing was spent that the clock could see."""
    return amount / spent if spent > 0 else None
