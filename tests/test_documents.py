"""What the documents say about the code is what the code says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gameserver.errors import GameserverError, SettingsError
from gameserver.protocol.arguments import REQUIRED
from gameserver.protocol.codes import RESERVED_TYPES, Close, Priority
from gameserver.settings import Settings, flags, variable_name
from gameserver.testing import World
from gameserver.worlds.frontier import game as frontier

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
AUTHORS = (ROOT / "docs" / "game-authors.md").read_text()
FRONTIER = (ROOT / "docs" / "frontier.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

HOME = GameserverError.__module__
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)")


def rows(text: str, cells: int) -> list[tuple[str, ...]]:
    """The rows of all tables with so many columns, without their markup of code."""
    lines = (line for line in text.splitlines() if line.startswith("|"))
    found = [tuple(cell.strip().strip("`") for cell in line.strip("|").split("|")) for line in lines]
    return [row for row in found if len(row) == cells]


def anchor(heading: str) -> str:
    """What a heading is linked by, as GitHub makes it."""
    return "#" + re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


def plain(value: object) -> str:
    """A default as the table shows it."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value in ("", ()) else str(value)


def test_every_setting_is_documented_with_its_default() -> None:
    """An operator finds each variable and what it is when left out."""
    defaults = {field.name: field.default for field in Settings.__dataclass_fields__.values()}
    expected = {(variable_name(name), meaning, plain(defaults[name])) for name, meaning, _ in flags()}
    assert {row for row in rows(OPERATIONS, 3) if row[0].startswith("GAMESERVER_")} == expected


def test_close_codes_are_those_of_the_code() -> None:
    """[CLOSE1] The document and the code agree on each code and on whether to come back."""
    documented = {int(code): after.startswith("yes") for code, _, after in rows(PROTOCOL, 3) if code.isdecimal()}
    assert documented == {int(close): close.reconnect for close in Close}


def test_priorities_are_in_order() -> None:
    """[EVT2] Highest first, in the document as in the code."""
    rule = next(line for line in PROTOCOL.splitlines() if "**[EVT2]**" in line)
    assert [word for word in re.findall(r"`(\w+)`", rule) if word != "priority"] == [lane.word for lane in Priority]


def test_reserved_types_are_the_messages_of_a_client() -> None:
    """[CMD2] What a command may not be called is what the client's table lists."""
    table = PROTOCOL.partition("From the client:")[2].partition("From the server:")[0]
    listed = {row[0] for row in rows(table, 3) if row[0].isalpha()} - {"type"}
    assert listed == RESERVED_TYPES


def test_error_codes_are_those_of_the_wire() -> None:
    """[ERR1] The table has each code that the service itself can answer with, and no other."""
    _, _, *table = rows(PROTOCOL.partition("**[ERR1]**")[2], 2)
    listed = {code for code, _ in table}
    kinds: list[type[GameserverError]] = [GameserverError, *GameserverError.__subclasses__()]
    told = {kind.code for kind in kinds if kind.__module__ == HOME}
    assert told - {SettingsError.code} == listed


def test_the_frontier_has_the_commands_it_is_said_to_have() -> None:
    """Names and arguments; a `?` stands behind those that may be left out."""
    _, _, *table = rows(FRONTIER.partition("## Entities")[0], 3)
    documented = {name: arguments.replace("`", "").split(", ") for name, arguments, _ in table}
    declared = {
        command.name: [field.name + "?" * (field.default is not REQUIRED) for field in command.spec.fields]
        for command in frontier.commands.values()
    }
    assert declared == documented


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """No link inside the repository is broken, neither the file nor the heading."""
    broken = []
    for target, heading in LINK.findall(path.read_text()):
        file = (path.parent / target).resolve() if target else path
        if not file.exists():
            broken.append(target)
        elif heading and heading not in {
            anchor(line.lstrip("#")) for line in file.read_text().splitlines() if line[:1] == "#"
        }:
            broken.append(target + heading)
    assert not broken


def test_metrics_named_are_metrics_there_are() -> None:
    """What an operator is told to watch is exported under that name."""
    code = (ROOT / "gameserver" / "asgi" / "metrics.py").read_text()
    exported = {f"gameserver_{name}" for name in re.findall(r'_gauge\("(\w+)"', code)}
    exported |= {f"gameserver_{name}_total" for name in re.findall(r'_counter\("(\w+)"', code)}
    assert exported
    assert set(re.findall(r"`(gameserver_\w+)`", OPERATIONS)) - {"gameserver_"} <= exported


def test_ci_runs_what_the_readme_says() -> None:
    """One command for everybody."""
    command = (ROOT / ".ci" / "run").read_text().splitlines()[-1].removeprefix("exec ")
    assert command == "make test"
    assert command in README


def python_in(document: str) -> list[str]:
    """The blocks of Python, in order."""
    return re.findall(r"^```python\n(.*?)^```", document, re.MULTILINE | re.DOTALL)


def module_of(name: str, code: str) -> ModuleType:
    module = ModuleType(name)
    exec(compile(code, f"<{name}>", "exec"), vars(module))
    return module


@pytest.mark.parametrize("document", [README, AUTHORS], ids=["README.md", "docs/game-authors.md"])
def test_the_game_in_the_document_is_one(document: str) -> None:
    """The first Python in the document is a whole module, and can be played."""
    game = module_of("market", python_in(document)[0]).game
    ana = World(game).join("ana")
    ana.buy(port="port:1", amount=3)
    assert (ana.me.cargo, ana.me.credits) == (3, 70)
    assert ana.heard("trade")[0].data == {"by": "ana", "amount": 3}


def test_the_test_in_the_guide_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last Python is a test of its first."""
    first, *_, last = python_in(AUTHORS)
    monkeypatch.setitem(sys.modules, "market", module_of("market", first))
    module_of("test_market", last).test_the_last_unit_is_sold_once()
