"""The numbers and words of the wire that both sides must agree on."""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """Lanes, the most important first. `word` is the name on the wire."""

    SYSTEM = 0
    COMBAT = 1
    TRADE = 2
    MOVEMENT = 3
    CHAT = 4
    COSMETIC = 5

    @property
    def word(self) -> str:
        return self.name.lower()

    @classmethod
    def of(cls, word: str | Priority) -> Priority:
        """Raises ValueError for a word that names no lane."""
        if isinstance(word, Priority):
            return word
        try:
            return cls[word.upper()]
        except KeyError:
            raise ValueError(f"no priority {word!r}: one of {', '.join(lane.word for lane in cls)}") from None


LANES = tuple(Priority)


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
