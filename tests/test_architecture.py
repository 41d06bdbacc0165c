"""The shape of the code, read from its source: which way imports go, what stays pure, how things are named."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gameserver import errors

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gameserver"

FOUNDATION = {"errors", "state", "protocol"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "settings": {"errors"},
    "state": {"errors"},
    "protocol": {"errors", "state"},
    "sessions": FOUNDATION,
    "rooms": FOUNDATION,
    "buses": FOUNDATION,
    "client": FOUNDATION,
    "game": FOUNDATION | {"sessions", "rooms"},
    "runtime": FOUNDATION | {"sessions", "rooms", "buses", "game"},
    "asgi": FOUNDATION | {"settings", "sessions", "rooms", "buses", "game", "runtime"},
    # Worlds and an author's tests stand where every game author stands: outside, on the public interface.
    "": FOUNDATION | {"game"},
    "worlds": FOUNDATION | {"sessions", "rooms", "game", ""},
    "testing": FOUNDATION | {"sessions", "rooms", "buses", "game", "runtime", ""},
}
"""Each part of the package and the parts it may import besides itself.

The empty name is `gameserver/__init__.py`, what game authors import.
"""
SPREAD_OVER = {"attendance": "game", "context": "game", "issuers": "settings"}
"""Modules that belong to a part of another name."""

ABOVE_ALL = {"application", "bench", "cli", "lab", "__main__"}
"""What may import anything."""
PURE = ("state", "protocol", "sessions", "rooms")
IMPURE = {"asyncio", "redis", "starlette", "time", "random", "os", "logging", "socket", "threading"}

MOST_LINES = 600
SAYS_NOTHING = re.compile(r"manager|helper|util", re.IGNORECASE)

MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = sorted(
    path for folder in ("gameserver", "tests", "e2e_tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def part_of(path: Path) -> str:
    """The first name below the package: `state` for gameserver/state/delta.py, empty for gameserver/__init__.py."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else SPREAD_OVER.get(first, first)


def imported(path: Path) -> Iterator[str]:
    """Dotted names of all modules a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{named(path)}:{node.lineno}: a relative import"
            module = node.module or ""
            if module == "gameserver":
                yield from (f"gameserver.{alias.name}" for alias in node.names)
            else:
                yield module


def parts_imported(path: Path) -> set[str]:
    """The parts of the package that a file imports; a name of gameserver/__init__.py counts as the empty part."""
    found = set()
    for name in imported(path):
        first, _, rest = name.partition(".")
        if first == "gameserver":
            part = rest.partition(".")[0]
            is_part = (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file()
            found.add(SPREAD_OVER.get(part, part) if is_part else "")
    return found


def test_every_part_has_its_place() -> None:
    """A new part of the package has to be given its place in the order before anything can be built on it."""
    assert {part_of(path) for path in MODULES} <= MAY_IMPORT.keys() | ABOVE_ALL


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_imports_go_one_way(path: Path) -> None:
    """Each part imports only what stands before it, also inside functions and for types."""
    part = part_of(path)
    if part not in ABOVE_ALL:
        assert parts_imported(path) - {part} <= MAY_IMPORT[part]


@pytest.mark.parametrize("path", [path for path in MODULES if part_of(path) in PURE], ids=named)
def test_pure_parts_know_no_io_clock_or_chance(path: Path) -> None:
    """Bytes and `now` in, events out: what is pure can be tested by properties and simulated by a seed."""
    assert not IMPURE & {name.partition(".")[0] for name in imported(path)}


def test_the_order_has_no_circle() -> None:
    """The table itself goes one way: following it never comes back to where it began."""
    reached = {part: set(after) for part, after in MAY_IMPORT.items()}
    for _ in reached:
        for after in reached.values():
            after.update(*(reached[part] for part in tuple(after)))
    assert not [part for part, after in reached.items() if part in after]


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_modules_stay_small(path: Path) -> None:
    """A module one can hold in the head."""
    assert len(path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_names_say_what_things_are(path: Path) -> None:
    """Modules and classes are named for what they are, not for being useful."""
    names = [*path.relative_to(ROOT).with_suffix("").parts]
    names += [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    assert not [name for name in names if SAYS_NOTHING.search(name)]


def compiled() -> list[Path]:
    """The modules that a wheel has compiled."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    hook = wheel["hooks"]["custom"]
    interpreted = {ROOT / path for path in hook["interpreted"]}
    assert all(path.exists() for path in interpreted)
    return sorted({path for pattern in hook["modules"] for path in ROOT.glob(pattern)} - interpreted)


def test_what_libraries_make_classes_of_is_not_compiled() -> None:
    """mypyc would make classes of its own: structures without their options, dictionaries without their types."""
    made = re.compile(r"^class \w+\((?:msgspec\.Struct|Struct|TypedDict)\b", re.MULTILINE)
    assert [named(path) for path in compiled() if made.search(path.read_text())] == []


def test_compiled_errors_have_their_codes() -> None:
    """What a class of ours assigns in its body is forgotten when it is compiled and derived from one that is not."""
    found = [
        f"{named(path)}: {node.name}"
        for path in compiled()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id in dir(errors) for base in node.bases)
        and any(isinstance(statement, ast.Assign | ast.AnnAssign) for statement in node.body)
    ]
    assert found == []
