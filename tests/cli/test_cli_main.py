"""The command line as a whole: usage, exit codes, and failures told in sentences."""

from __future__ import annotations

import argparse
import os
import subprocess
from importlib.metadata import entry_points

import pytest

from gameserver.cli import main as command_line
from gameserver.cli import options
from gameserver.cli.main import main
from gameserver.errors import GameserverError, SettingsError
from gameserver.settings import flag_name, flags
from tests.cli.processes import ROOT, command, environment, run

COMMANDS = ("run", "demo", "token", "bots", "watch", "doctor")


class FailingCommand:
    """A command that ends as told."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def add_to(self, commands: options.Subparsers) -> None:
        options.add_command(commands, "fail", "fail", self.carry_out)

    def carry_out(self, arguments: argparse.Namespace) -> int:
        raise self.error


def outcome_of(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    monkeypatch.setattr(command_line, "COMMANDS", (FailingCommand(error),))
    code = main(["fail"])
    return code, capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--help is an answer, not an error."""
    assert main([name, "--help"]) == 0
    assert f"usage: gameserver {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["run", "--nothing"],
        ["token"],
        ["watch"],
        ["bots", "--count", "0"],
        ["bots", "--rate", "nan"],
        ["bots", "--seconds", "-1"],
        ["bots", "--encoding", "xml"],
        ["demo", "--port", "x"],
        # Half a flag is no flag: what it means would change with the next setting.
        ["run", "--redis-u", "redis://127.0.0.1"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The usage is shown, and nothing is done."""
    assert main(arguments) == 2
    assert "usage: gameserver" in capsys.readouterr().err


def test_every_setting_is_a_flag_of_run() -> None:
    """Flags of the same names as the variables, and --redis besides."""
    parser = command_line.build_parser()
    for name, _, is_switch in flags():
        given = parser.parse_args(["run", flag_name(name), *([] if is_switch else ["7"])])
        assert options.overrides(given) == {name: True if is_switch else "7"}
    assert options.overrides(parser.parse_args(["run", "--redis", "redis://here"])) == {"redis_url": "redis://here"}
    assert options.overrides(parser.parse_args(["run", "--no-dev"])) == {"dev": False}


def test_settings_faults_are_one_line_each(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong configuration: every fault is named, exit code 2."""
    code, told = outcome_of(SettingsError(["This is wrong.", "So is that."]), monkeypatch, capsys)
    assert (code, told.splitlines()) == (2, ["gameserver: This is wrong.", "gameserver: So is that."])


def test_failures_are_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, and never a traceback, even for what nobody expected."""
    code, told = outcome_of(GameserverError("It is not there."), monkeypatch, capsys)
    assert (code, told) == (1, "gameserver: It is not there.\n")
    code, told = outcome_of(ZeroDivisionError("division by zero"), monkeypatch, capsys)
    assert code == 1
    assert told == "gameserver: This should not have happened: ZeroDivisionError: division by zero.\n"


def test_an_interrupt_is_no_failure_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends quietly with what shells expect."""
    assert outcome_of(KeyboardInterrupt(), monkeypatch, capsys) == (130, "")


def test_both_ways_to_call_it_are_one() -> None:
    """The console script and `python -m gameserver` are the same function."""
    (script,) = entry_points(group="console_scripts", name="gameserver")
    assert script.load() is main
    assert run("--version").stdout.startswith("gameserver ")


def test_a_reader_who_has_seen_enough_is_no_failure() -> None:
    """`gameserver ... | head` ends quietly."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            command("token", "ana"),
            env=environment({"GAMESERVER_JWT_SECRET": "x" * 64}),
            cwd=ROOT,
            stdout=writing,
            stderr=subprocess.PIPE,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
