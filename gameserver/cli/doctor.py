"""`gameserver doctor`: what `run` would check, told line by line, good or bad."""

from __future__ import annotations

import argparse

from gameserver.cli.checks import examine
from gameserver.cli.options import Subparsers, add_command, add_settings, environment, overrides


def add_to(commands: Subparsers) -> None:
    parser = add_command(commands, "doctor", "check the configuration, the world, the port and Redis", doctor)
    add_settings(parser)
    parser.epilog = (
        "Exit codes: 0 nothing failed (warnings are advice), 1 something does not serve at the moment, "
        "2 the configuration cannot work."
    )


def doctor(arguments: argparse.Namespace) -> int:
    found = examine(environment(), overrides(arguments))
    for finding in found.findings:
        print(f"{finding.level:<4}  {finding.subject:<11}  {finding.text}")
    return found.exit_code
