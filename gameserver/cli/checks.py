"""Everything that can be known to be wrong before serving, found together: settings, world, port and Redis."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gameserver.cli.findings import Finding, doubtful, down, fine, wrong
from gameserver.cli.redis_checks import check_redis
from gameserver.cli.sockets import bind
from gameserver.errors import SettingsError
from gameserver.game import Game
from gameserver.settings import Settings, variable_name
from gameserver.worlds.loading import load_world

Given = Mapping[str, object]
LEAST_DEADLINE = 3.0
"""Seconds a check of the store may take, however short the deadline of the running service is."""


@dataclass(slots=True)
class Examination:
    """`settings` and `game` are None when they cannot be had; `findings` say why, and everything else."""

    settings: Settings | None = None
    game: Game | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        return [finding.text for finding in self.findings if finding.level == "FAIL"]

    @property
    def warnings(self) -> list[str]:
        return [finding.text for finding in self.findings if finding.level == "warn"]

    @property
    def exit_code(self) -> int:
        return max((finding.exit_code for finding in self.findings), default=0)


def examine(environ: Mapping[str, str], overrides: Given) -> Examination:
    """Look at everything, whatever is wrong with the rest."""
    found = Examination()
    _examine_settings(found, environ, overrides)
    _examine_world(found, environ, overrides)
    _examine_port(found, environ, overrides)
    _examine_store(found, environ, overrides)
    return found


def _examine_settings(found: Examination, environ: Mapping[str, str], overrides: Given) -> None:
    try:
        found.settings = Settings.load(environ, overrides)
    except SettingsError as error:
        found.findings += [wrong("settings", fault) for fault in error.faults]
        return
    found.findings.append(fine("settings", "The settings fit together."))
    if found.settings.secret_generated:
        text = "Dev mode made a random secret: tokens end with this process; get them at /dev/token."
        found.findings.append(doubtful("settings", text))


def _examine_world(found: Examination, environ: Mapping[str, str], overrides: Given) -> None:
    world = alone("world", environ, overrides)
    if world is None:
        return
    try:
        found.game = load_world_here(world)
    except SettingsError as error:
        found.findings += [wrong("world", fault) for fault in error.faults]
    else:
        found.findings.append(fine("world", f"The world is {found.game.name!r}, from {world}."))


def load_world_here(world: str) -> Game:
    """The game, also from a module in the current directory, where its author stands. Raises SettingsError."""
    if (here := os.getcwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    return load_world(world)


def _examine_port(found: Examination, environ: Mapping[str, str], overrides: Given) -> None:
    host, port = alone("host", environ, overrides), alone("port", environ, overrides)
    if host is None or port is None:
        return
    try:
        for bound in bind(host, port):
            bound.close()
    except SettingsError as error:
        found.findings += [down("port", fault) for fault in error.faults]
    else:
        found.findings.append(fine("port", f"Port {port} of {host} is free." if port else "Any free port is taken."))


def _examine_store(found: Examination, environ: Mapping[str, str], overrides: Given) -> None:
    url, deadline = alone("redis_url", environ, overrides), alone("redis_deadline_s", environ, overrides)
    if url is None:
        return
    if not url:
        text = "There is no Redis: the world lives in the memory of one process and goes with it."
        found.findings.append(fine("store", text))
        return
    world = found.game.name if found.game else None
    found.findings += asyncio.run(check_redis(url, world, max(deadline or 0.0, LEAST_DEADLINE)))


def alone(name: str, environ: Mapping[str, str], overrides: Given) -> Any:
    """One setting by itself, so that a fault in another one does not hide what can be said of it; None if it is bad."""
    # Some key has to be there, and dev mode would ask something of the host.
    without_others = {name: environ.get(variable_name(name), ""), "jwt_secret": secrets.token_hex(64)}
    given = {name: overrides[name]} if name in overrides else {}
    try:
        return getattr(Settings.load({variable_name(each): text for each, text in without_others.items()}, given), name)
    except SettingsError:
        return None
