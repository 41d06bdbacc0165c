"""What a verified token says of its bearer, read strictly (docs/protocol.md, Connecting).

The signature, the audience and the times are checked before (gameserver.asgi.auth); here every claim has
its one type and its one grammar, because whatever is let through becomes a room's name, a key in the store
and a field other players see.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gameserver.errors import InvalidArgument
from gameserver.protocol.identifiers import is_id, is_pattern

Role = Literal["player", "admin", "service"]

ROLES: tuple[Role, ...] = ("player", "admin", "service")
MAX_NAME = 64
MAX_TOKEN_ID = 128
MAX_PATTERNS = 64
_LAST_SECOND = 2.0**53


class Claims(msgspec.Struct, frozen=True):
    """Who is speaking, until when, and as what.

    `expires` is in seconds since the Unix epoch; `token_id` is the token's `jti`, empty when it has none (the
    verifier then names it by its hash); `publish` are the room patterns a service may publish to, empty for others.
    """

    player: str
    name: str
    role: Role
    team: str | None
    expires: float
    token_id: str = ""
    publish: tuple[str, ...] = ()
    issuer: str = ""


def read_claims(payload: dict[str, Any]) -> Claims:
    """The claims of a verified payload. Without a `name` the player's id is shown, without a `role` it is a player.

    Raises InvalidArgument naming the claim, never its content.
    """
    player: Any = payload.get("sub")
    if not is_id(player):
        raise InvalidArgument("sub must be 1 to 64 of A-Z a-z 0-9 _ . @ | + -")
    role = payload.get("role", "player")
    if role not in ROLES:
        raise InvalidArgument("role must be player, admin or service")
    team = payload.get("team")
    if team is not None and not is_id(team):
        raise InvalidArgument("team must be 1 to 64 of A-Z a-z 0-9 _ . @ | + -")
    expires = _seconds(payload, "exp")
    for optional in ("iat", "nbf"):
        if optional in payload:
            _seconds(payload, optional)
    return Claims(
        player=player,
        name=_text(payload, "name", player, MAX_NAME),
        role=role,
        team=team,
        expires=expires,
        token_id=_text(payload, "jti", "", MAX_TOKEN_ID),
        publish=_patterns(payload) if role == "service" else (),
        issuer=_text(payload, "iss", "", 512),
    )


def _seconds(payload: dict[str, Any], claim: str) -> float:
    value: Any = payload.get(claim)
    # A bool is an int to Python: `"exp": true` would be one second past the epoch. NaN fails the comparison.
    if type(value) not in (int, float) or not 0 <= value <= _LAST_SECOND:
        raise InvalidArgument(f"{claim} must be a finite number of seconds")
    return float(value)


def _text(payload: dict[str, Any], claim: str, default: str, longest: int) -> str:
    value: Any = payload.get(claim)
    if value is None:
        return default
    if type(value) is not str or not 0 < len(value) <= longest or not value.isprintable():
        raise InvalidArgument(f"{claim} must be 1 to {longest} printable characters")
    return value


def _patterns(payload: dict[str, Any]) -> tuple[str, ...]:
    patterns = payload.get("publish")
    if patterns is None:
        return ()
    if type(patterns) is not list or len(patterns) > MAX_PATTERNS or not all(map(is_pattern, patterns)):
        raise InvalidArgument(f"publish must be a list of at most {MAX_PATTERNS} room patterns")
    return tuple(patterns)
