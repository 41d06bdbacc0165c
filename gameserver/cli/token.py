"""`gameserver token`: a JWT for one player, signed with the configured secret."""

from __future__ import annotations

import argparse

from gameserver.asgi.auth import issue_token
from gameserver.cli.exits import DONE, WRONG, complain
from gameserver.cli.options import Subparsers, add_command, environment, positive
from gameserver.errors import InvalidArgument
from gameserver.sessions.claims import ROLES
from gameserver.settings import Settings

LIFETIME = 3600.0
SIGNING = "GAMESERVER_JWT_"
"""What the names of all variables begin with that a token depends on."""


def add_to(commands: Subparsers) -> None:
    parser = add_command(commands, "token", "print a token signed with GAMESERVER_JWT_SECRET", token)
    parser.add_argument("player", metavar="PLAYER", help="the player's id")
    parser.add_argument("--role", choices=ROLES, default="player")
    parser.add_argument("--name", help="what others see (default: the id)")
    parser.add_argument("--team")
    parser.add_argument(
        "--publish", action="append", default=[], metavar="PATTERN", help="rooms a service may publish to; repeatable"
    )
    parser.add_argument("--lifetime", type=positive, default=LIFETIME, metavar="SECONDS", help="default: %(default)g")


def token(arguments: argparse.Namespace) -> int:
    if arguments.publish and arguments.role != "service":
        complain("--publish is for services: add --role service.")
        return WRONG
    settings = Settings.load(environment(SIGNING))
    try:
        made = issue_token(
            settings,
            arguments.player,
            role=arguments.role,
            name=arguments.name,
            team=arguments.team,
            publish=arguments.publish,
            lifetime=arguments.lifetime,
        )
    except InvalidArgument as error:
        complain(f"No such token would be accepted: {error}.")
        return WRONG
    print(made)
    return DONE
