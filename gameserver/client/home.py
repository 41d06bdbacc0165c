"""The rooms a client is put in without asking ([ROOM3])."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ANY = "*"


def home_rooms(claims: Mapping[str, Any], player: str) -> list[str]:
    """Patterns of the rooms to expect after `welcome`, by what the token says of itself.

    A token that cannot be read is taken for that of a player without a team. Of what a service or an
    admin is in, only `global` is certain.
    """
    if claims.get("role", "player") != "player":
        return ["global"]
    expected = ["global", f"private:{player}", f"sector:{ANY}"]
    if claims.get("team"):
        expected.append(f"team:{claims['team']}")
    return expected


def stands_for(pattern: str, room: str) -> bool:
    """`sector:*` stands for any sector; a name without `*` at its end for itself."""
    return room.startswith(pattern[:-1]) if pattern.endswith(ANY) else room == pattern
