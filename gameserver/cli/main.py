"""The command line as a whole: which commands there are, and how a failure of any of them is told."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from gameserver.cli import bench, bots, demo, doctor, lab, run, token, watch
from gameserver.cli.exits import DONE, FAILED, INTERRUPTED, WRONG, complain
from gameserver.errors import GameserverError, SettingsError

log = logging.getLogger("gameserver.cli")

COMMANDS = (run, demo, token, bots, watch, bench, lab, doctor)


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command; the exit code: 0 done, 1 failed while running, 2 wrong usage or configuration.

    Whatever goes wrong is told in sentences on stderr.
    """
    try:
        arguments = build_parser().parse_args(argv)
    except SystemExit as refusal:
        return refusal.code if isinstance(refusal.code, int) else WRONG
    try:
        outcome: int = arguments.carry_out(arguments)
        return outcome
    except SettingsError as error:
        complain(*error.faults)
        return WRONG
    except GameserverError as error:
        complain(str(error))
    except BrokenPipeError:
        # Whoever read our output has seen enough. Nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        log.debug("unexpected", exc_info=True)
        complain(f"This should not have happened: {type(error).__name__}: {error}.")
    return FAILED


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gameserver",
        description="A horizontally scalable realtime game bus.",
        epilog="Exit codes: 0 done, 1 failed while running, 2 wrong usage or configuration.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gameserver {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return parser


def _version() -> str:
    try:
        return version("gameserver")
    except PackageNotFoundError:
        return "(not installed)"
