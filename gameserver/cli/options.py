"""Settings as flags, arguments that must be numbers, and how one adds a command."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Mapping
from typing import TypeAlias

from gameserver.settings import flag_name, flags

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

SHORTER = {"redis_url": ("--redis",)}
"""Flags that are accepted besides those that are called like the variables."""


def add_command(
    commands: Subparsers, name: str, help: str, carry_out: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".", allow_abbrev=False)
    parser.set_defaults(carry_out=carry_out)
    return parser


def add_settings(parser: argparse.ArgumentParser) -> None:
    """All settings. Their values are read where the variables are, so that all faults are found together."""
    group = parser.add_argument_group(
        "settings", "Each can be given as a variable too: --redis-url is GAMESERVER_REDIS_URL. The flag wins."
    )
    for name, meaning, is_switch in flags():
        help = meaning.replace("%", "%%")
        if is_switch:
            group.add_argument(flag_name(name), dest=name, action=argparse.BooleanOptionalAction, help=help)
        else:
            group.add_argument(flag_name(name), *SHORTER.get(name, ()), dest=name, metavar="VALUE", help=help)


def overrides(arguments: argparse.Namespace) -> dict[str, object]:
    """The settings given as flags."""
    given = vars(arguments)
    return {name: given[name] for name, _, _ in flags() if given.get(name) is not None}


def environment(*names: str) -> Mapping[str, str]:
    """The process's variables, or those alone whose names begin with one of `names`."""
    return {name: text for name, text in os.environ.items() if not names or name.startswith(names)}


def positive(raw: str) -> float:
    """For argparse: a number above 0."""
    number = _number(raw)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {raw!r}")
    return number


def count(raw: str) -> int:
    """For argparse: a whole number from 1."""
    if not raw.isascii() or not raw.isdigit() or int(raw) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {raw!r}")
    return int(raw)


def count_or_none(raw: str) -> int:
    """For argparse: a whole number from 0."""
    return 0 if raw == "0" else count(raw)


def _number(raw: str) -> float:
    try:
        number = float(raw)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
