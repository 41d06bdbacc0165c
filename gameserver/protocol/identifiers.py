"""The grammar of names on the wire (docs/protocol.md, Messages); `gameserver.rooms.names` says what they mean."""

from __future__ import annotations

import re
from typing import Any, TypeGuard

MAX_ID = 64
"""In characters."""

ID = r"[A-Za-z0-9_.@|+-]{1,64}"
"""As a regular expression: what identity providers use, and nothing that means something in a key of the store."""

_is_id = re.compile(ID).fullmatch
_is_pattern = re.compile(rf"global|control|(?:sector|team|private):(?:\*|{ID})").fullmatch


def is_id(value: Any) -> TypeGuard[str]:
    """Whether this names a player, a team or a sector: 1 to 64 of `A-Z a-z 0-9 _ . @ | + -`."""
    return type(value) is str and _is_id(value) is not None


def is_pattern(value: Any) -> TypeGuard[str]:
    """Whether this is a room's name or a kind of room with `*` for the id; internal rooms have no patterns."""
    return type(value) is str and _is_pattern(value) is not None
