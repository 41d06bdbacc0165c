"""The numbers and words of the wire that both sides must agree on."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from gameserver.state.priority import LANES as LANES
from gameserver.state.priority import Priority as Priority

MessageId = int | str
"""A command's id as its client gave it; `7` and `"7"` differ."""

TierWord = Literal["full", "reduced", "low"]
"""Quality tiers."""


class Close(IntEnum):
    """WebSocket close codes (docs/protocol.md, Close codes)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED = 1003
    BAD_TEXT = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    RESTART = 1012
    TRY_LATER = 1013
    BAD_TOKEN = 4401
    NOT_ALLOWED = 4403
    HEARTBEAT_LOST = 4408
    REPLACED = 4409
    LOGGED_OUT = 4410
    KICKED = 4411
    RATE_LIMITED = 4429

    @property
    def reconnect(self) -> bool:
        """Whether a client may come back by itself."""
        return self in _RECONNECT


_RECONNECT = frozenset(
    (
        Close.GOING_AWAY,
        Close.INTERNAL,
        Close.RESTART,
        Close.TRY_LATER,
        Close.HEARTBEAT_LOST,
        Close.RATE_LIMITED,
    )
)

RESERVED_TYPES = frozenset(
    (
        "hello",
        "resync",
        "publish",
        "logout",
        "subscribe",
        "unsubscribe",
        "quality",
        "refresh",
        "ping",
    )
)
"""Client message types that no command may be named after."""
