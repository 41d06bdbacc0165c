"""What a client's calls raise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gameserver.client.closing import Closed, seconds
from gameserver.errors import GameserverError


class Refused(GameserverError):
    """The server said no. `code`, `message`, `retry_after` (seconds) and `details` are the server's ([ERR1])."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        details = dict(error)
        code = str(details.pop("code", "internal"))
        message = str(details.pop("message", ""))
        wait = details.pop("retry_after", None)
        super().__init__(message or code)
        self.code = code
        self.retry_after = None if wait is None else seconds(wait)
        self.details = details

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class CommandRejected(Refused):
    """A command was refused and left no trace."""


class RequestRefused(Refused):
    """A subscribe, unsubscribe, resync or refresh was refused."""


class ConnectionLost(GameserverError):
    """There is no connection, or it broke before the answer came. Whether a command that was under
    way has been carried out is unknown: sending it again with the same id is safe."""

    code = "unavailable"


class ClientClosed(GameserverError):
    """The client will not connect again; `closed` says why."""

    code = "closed"

    def __init__(self, closed: Closed) -> None:
        super().__init__(f"the client is closed: {closed.code} {closed.reason}".rstrip())
        self.closed = closed


class CommandTimeout(GameserverError, TimeoutError):
    """No answer within the time given; whether the command was carried out is unknown."""

    code = "unavailable"


class TooManyCommands(GameserverError):
    """More commands wait for their answers than the client keeps."""

    code = "rate_limited"
