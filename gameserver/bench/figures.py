"""Figures: what each round measured, summed up as median and extremes, printed as tables and written as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
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
        lines = [["", *(column.head for column in self.columns)]]
        for row, measured in self.rounds.items():
            lines.append([row, *(show(measured[column.name], column) for column in self.columns)])
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        text = [f"{self.title}", *(f"  {line}" for line in self.note.splitlines()), ""]
        for row, *cells in lines:
            ranged = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
            text.append("  " + "  ".join((row.ljust(widths[0]), *ranged)))
        return "\n".join(text)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "note": self.note,
            "columns": {column.name: column.head for column in self.columns},
            "rows": {
                row: {name: summary(values) for name, values in measured.items() if values}
                for row, measured in self.rounds.items()
            },
        }


def summary(values: list[float]) -> dict[str, Any]:
    return {"median": median(values), "min": min(values), "max": max(values), "rounds": values}


def show(values: list[float], column: Column) -> str:
    """`median (min..max)`, or one number where all rounds agree."""
    if not values:
        return MISSING
    middle, least, most = (f"{value:,.{column.digits}f}" for value in (median(values), min(values), max(values)))
    return middle if least == most else f"{middle} ({least}..{most})"


def quantile(ordered: list[float], share: float) -> float | None:
    """The least of the values that a `share` (0 to 1) of all do not exceed; `ordered` is sorted. None without any."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def per(amount: float, spent: float) -> float | None:
    """`amount / spent`, or None where nothing was spent that the clock could see."""
    return amount / spent if spent > 0 else None
