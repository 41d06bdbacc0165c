"""Plots as SVG, of what every browser draws: a line for each row, a bar or a dot with the range of the rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LABELS, VALUES = 760, 230, 110
ROW, TOP, BOTTOM = 24, 44, 12
OURS, OTHERS, FLOOR, RANGE, TEXT, GRID = "#c2410c", "#64748b", "#a8a29e", "#1f2937", "#1f2937", "#e5e7eb"
FONT = "system-ui, -apple-system, Segoe UI, sans-serif"


@dataclass(frozen=True, slots=True)
class Row:
    """`value` is the median of the rounds, `least` and `most` their range."""

    label: str
    value: float
    least: float
    most: float

    @property
    def colour(self) -> str:
        if self.label.startswith("gameserver"):
            return OURS
        return FLOOR if self.label.startswith("floor") else OTHERS


def plot(title: str, unit: str, rows: Sequence[Row], *, digits: int = 0, logarithmic: bool = False) -> str:
    """Bars from 0, or dots on a logarithmic axis where the rows lie too far apart for bars."""
    axis = _Logarithmic(rows) if logarithmic else _Linear(rows)
    height = TOP + ROW * len(rows) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" font-family="{FONT}" font-size="13" fill="{TEXT}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="10" y="20" font-weight="600">{escape(title)} ({escape(unit)})</text>',
    ]
    for at, label in axis.ticks():
        parts.append(f'<path d="M{at:.1f} {TOP - 6}V{height - BOTTOM}" stroke="{GRID}"/>')
        parts.append(f'<text x="{at:.1f}" y="{TOP - 9}" font-size="10" text-anchor="middle">{label}</text>')
    for number, row in enumerate(rows):
        parts += _line(row, TOP + ROW * number, axis, digits)
    return "\n".join((*parts, "</svg>", ""))


def _line(row: Row, top: float, axis: _Linear | _Logarithmic, digits: int) -> list[str]:
    middle, at, low, high = top + ROW / 2, axis.place(row.value), axis.place(row.least), axis.place(row.most)
    if isinstance(axis, _Logarithmic):
        shape = f'<circle cx="{at:.1f}" cy="{middle}" r="5" fill="{row.colour}"/>'
    else:
        shape = f'<rect x="{LABELS}" y="{top + 4}" width="{at - LABELS:.1f}" height="{ROW - 8}" fill="{row.colour}"/>'
    spread = f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="{RANGE}" stroke-width="1.5"/>' if high > low else ""
    return [
        f'<text x="{LABELS - 8}" y="{middle + 4}" text-anchor="end">{escape(row.label)}</text>',
        shape,
        spread,
        f'<text x="{WIDTH - 10}" y="{middle + 4}" text-anchor="end">{row.value:,.{digits}f}</text>',
    ]


class _Linear:
    def __init__(self, rows: Sequence[Row]) -> None:
        self._most = max(row.most for row in rows) or 1.0

    def place(self, value: float) -> float:
        return LABELS + (WIDTH - LABELS - VALUES) * value / self._most

    def ticks(self) -> list[tuple[float, str]]:
        step = 10 ** math.floor(math.log10(self._most))
        step = next(step * share for share in (1, 0.5, 0.2, 0.1) if self._most / (step * share) >= 3)
        return [(self.place(number * step), f"{number * step:,g}") for number in range(int(self._most / step) + 1)]


class _Logarithmic:
    def __init__(self, rows: Sequence[Row]) -> None:
        positive = [row.least for row in rows if row.least > 0]
        self._least = math.floor(math.log10(min(positive)))
        self._most = math.ceil(math.log10(max(row.most for row in rows)))
        self._most = max(self._most, self._least + 1)

    def place(self, value: float) -> float:
        share = (math.log10(max(value, 10**self._least)) - self._least) / (self._most - self._least)
        return LABELS + (WIDTH - LABELS - VALUES) * share

    def ticks(self) -> list[tuple[float, str]]:
        return [(self.place(10**power), f"{10**power:,g}") for power in range(self._least, self._most + 1)]
