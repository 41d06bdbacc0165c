"""How a connection ended, and whether a client may come back by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from gameserver.protocol.codes import Close

NO_STATUS = 1005
ABNORMAL = 1006
"""What WebSocket libraries report for a connection that was lost without a close frame."""

_LOST = (NO_STATUS, ABNORMAL)


class Closed(NamedTuple):
    """`code` is a close code of docs/protocol.md, or 1006 when the connection was lost or never made."""

    code: int
    reason: str = ""
    retry_after: float = 0.0

    @property
    def reconnect(self) -> bool:
        """Whether coming back may help ([CLOSE1], [CLOSE2]). What the table does not know is final."""
        if self.code in _LOST:
            return True
        try:
            return Close(self.code).reconnect
        except ValueError:
            return False


class Goodbye(NamedTuple):
    """The server's last word before it closes."""

    code: int
    reason: str
    reconnect: bool
    retry_after: float

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Goodbye:
        return cls(
            int(message.get("code", ABNORMAL)),
            str(message.get("reason", "")),
            bool(message.get("reconnect", True)),
            seconds(message.get("retry_after")),
        )


def verdict(closed: Closed, goodbye: Goodbye | None) -> Closed:
    """How a connection ended in the light of the goodbye before it: that gives the wait, and a broken line its code."""
    if goodbye is None:
        return closed
    code = goodbye.code if closed.code in _LOST else closed.code
    return Closed(code, closed.reason or goodbye.reason, goodbye.retry_after)


def refused(status: int, retry_after: float) -> Closed:
    """A refused handshake as the close code that means the same ([HS7])."""
    reason = f"the handshake was refused with HTTP {status}"
    match status:
        case 401:
            return Closed(Close.BAD_TOKEN, reason)
        case 403:
            return Closed(Close.NOT_ALLOWED, reason)
        case 429:
            return Closed(Close.RATE_LIMITED, reason, retry_after)
        case _ if status >= 500:
            return Closed(Close.TRY_LATER, reason, retry_after)
        case _:
            return Closed(Close.PROTOCOL_ERROR, reason)


def seconds(value: Any) -> float:
    """A wait in seconds as the other side wrote it; 0 for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0
