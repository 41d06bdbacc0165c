"""A room as lines of a terminal, and the terminal itself."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from gameserver.cli import words
from gameserver.cli.sight import Sight
from gameserver.client.room import RoomReplica

BOLD, FRESH, DIM, ALARM, PLAIN = "\x1b[1m", "\x1b[7m", "\x1b[2m", "\x1b[1;31m", "\x1b[0m"
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
HOME, TO_LINE_END, TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"

WIDEST = 24
"""Letters of a cell; the rest of longer ones is cut."""
MOST_EVENTS = 8
TITLE = 2
"""Lines before a table's first entity."""

Piece = tuple[str, str]
"""A text and the code it is shown with."""
Line = Sequence[Piece]
Schema = Mapping[str, Mapping[str, Any]]


def render(sight: Sight, room: RoomReplica | None, schema: Schema, width: int, height: int, now: float) -> list[str]:
    """At most `height` lines of at most `width` letters, escape codes not counted.

    Entities stand in a table per kind, with the fields in the order of `schema`; small tables come first and
    whole, large ones share the space that is left, and what does not fit is counted.
    """
    head = _head(sight, room, now)
    events = _events(sight, min(MOST_EVENTS, height // 5))
    tables = list(_tables(sight, room, schema, now)) if room is not None else []
    lines = list(head)
    limits = share([len(table) for table in tables], height - len(head) - len(events))
    for table, limit in zip(tables, limits, strict=True):
        lines += table if len(table) <= limit else _shortened(table, limit)
    return [_cut(line, width) for line in (lines + events)[:height]]


def share(wanted: Sequence[int], space: int) -> list[int]:
    """How much of `space` each gets: no more than it wants, and those that cannot have it all get the same."""
    given = [0] * len(wanted)
    left = max(0, space)
    for place, index in enumerate(sorted(range(len(wanted)), key=lambda index: wanted[index])):
        given[index] = min(wanted[index], left // (len(wanted) - place))
        left -= given[index]
    return given


def _shortened(table: list[Line], limit: int) -> list[Line]:
    """With its title, where there is space for that and for the count of what is hidden."""
    if limit < TITLE + 2:
        return []
    shown = table[: limit - 1]
    return [*shown, [(f"... and {len(table) - len(shown)} more", DIM)]]


def _head(sight: Sight, room: RoomReplica | None, now: float) -> list[Line]:
    name: Piece = (words.printable(sight.room), BOLD)
    if room is None:
        why = f"left ({words.printable(sight.left)})" if sight.left is not None else "no snapshot yet"
        return [[name, (f"  {why}", PLAIN)], [(words.printable(sight.line), DIM)]]
    failed = sight.proof is not None and not sight.proof[0]
    doubt: list[Piece] = [(f"  in doubt: {room.doubt}", ALARM)] if room.doubt else []
    return [
        [name, (f"  {words.position(room)}  ", PLAIN), (sight.proven(now), ALARM if failed else BOLD), *doubt],
        [(f"{len(room.state)} entities, {sight.counts()}; {words.printable(sight.line)}", DIM)],
    ]


def _tables(sight: Sight, room: RoomReplica, schema: Schema, now: float) -> Iterator[list[Line]]:
    """Those with the fewest entities first."""
    entities = sorted(room.state, key=lambda entity: (_kind(entity), words.natural(entity)))
    kinds = [(kind, list(members)) for kind, members in groupby(entities, _kind)]
    for kind, members in sorted(kinds, key=lambda each: len(each[1])):
        yield _table(sight, room, kind, members, schema, now)


def _table(sight: Sight, room: RoomReplica, kind: str, members: list[str], schema: Schema, now: float) -> list[Line]:
    present = {name for entity in members for name in room.state[entity]}
    declared = [name for name in schema.get(kind, {}) if name in present]
    columns = declared + sorted(present - set(declared))
    rows = [[words.value(room.state[entity].get(name, "")) for name in columns] for entity in members]
    widths = [min(WIDEST, max(len(name), *(len(row[index]) for row in rows))) for index, name in enumerate(columns)]
    first = min(WIDEST, max(len(kind), *map(len, members)))
    sized = list(zip(columns, widths, strict=True))
    title: Line = [
        (_cell(kind, first), BOLD),
        *((" " + _cell(words.printable(name), size), DIM) for name, size in sized),
    ]
    table: list[Line] = [[], title]
    for entity, row in zip(members, rows, strict=True):
        line: list[Piece] = [(_cell(words.printable(entity), first), PLAIN)]
        for (name, size), text in zip(sized, row, strict=True):
            line += [(" ", PLAIN), (_cell(text, size), FRESH if sight.is_fresh(entity, name, now) else PLAIN)]
        table.append(line)
    return table


def _events(sight: Sight, most: int) -> list[Line]:
    latest = list(sight.events)[-most:] if most else []
    return [[], [("events", BOLD)], *([(words.event(event), PLAIN)] for event in latest)] if latest else []


def _kind(entity: str) -> str:
    return entity.partition(":")[0]


def _cell(text: str, size: int) -> str:
    return text.ljust(size) if len(text) <= size else text[: size - 1] + "~"


def _cut(line: Line, width: int) -> str:
    """The line's first `width` letters, with their codes."""
    shown = ""
    for text, code in line:
        text = text[:width]
        width -= len(text)
        if text:
            shown += text if code == PLAIN else f"{code}{text}{PLAIN}"
    return shown


@contextlib.contextmanager
def whole_screen() -> Iterator[None]:
    """The terminal's other page, without a cursor; the former one comes back as it was."""
    sys.stdout.write(ENTER)
    try:
        yield
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()


def show(lines: Sequence[str]) -> None:
    """Over what was shown before, without a flicker."""
    sys.stdout.write(HOME + "".join(line + TO_LINE_END + "\r\n" for line in lines[:-1]))
    sys.stdout.write("".join(lines[-1:]) + TO_LINE_END + TO_SCREEN_END)
    sys.stdout.flush()


def page() -> tuple[int, int]:
    """Columns and lines."""
    columns, lines = shutil.get_terminal_size()
    return columns, lines
