"""Failures that carry a code, so that whoever meets one knows whether to retry.

`code` is one of the error codes of the wire (docs/protocol.md) or a game's own.
"""

from __future__ import annotations

from typing import Any


class GameserverError(Exception):
    """A failure with a code a client may be told.

    `retry_after` is in seconds and present only when the same request may succeed later;
    `details` are extra JSON-compatible values sent beside the code. `message_id` is the id of the
    message that failed, when one could be read.
    """

    code = "internal"
    message_id: int | str | None = None

    def __init__(self, message: str = "", *, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(message or self.code)
        self.message = message or self.code
        self.retry_after = retry_after
        self.details = details


class Rejected(GameserverError):
    """Raised by a game's command: the command leaves no trace and the player is told why.

    `code` is the game's own word for the reason; keyword arguments become details of the error.
    """

    def __init__(self, code: str, message: str = "", **details: Any) -> None:
        super().__init__(message or code.replace("_", " "), **details)
        self.code = code


class BadMessage(GameserverError):
    """The bytes cannot be read as a message at all; counts towards a policy close."""

    code = "bad_message"


class UnknownCommand(GameserverError):
    code = "unknown_command"


class InvalidArgument(GameserverError):
    code = "invalid_argument"


class Forbidden(GameserverError):
    code = "forbidden"


class RateLimited(GameserverError):
    code = "rate_limited"


class Conflict(GameserverError):
    """The command lost against others too often; the same command may be sent again."""

    code = "conflict"


class KeyConflict(GameserverError):
    """The command id was used before with another body; the original stands."""

    code = "key_conflict"


class Unavailable(GameserverError):
    """The store cannot be reached now. The command may or may not have been applied:
    sending it again with the same id is safe."""

    code = "unavailable"


class TooLarge(GameserverError):
    code = "too_large"


class NotFound(GameserverError):
    code = "not_found"


class Expired(GameserverError):
    code = "expired"


class InvalidValue(GameserverError, ValueError):
    """A value that may not enter a room's state: wrong type, NaN, nil, too deep, too large."""

    code = "invalid_argument"


class ForeignEpoch(GameserverError):
    """The store is not the one this worker's replicas came from: reload everything."""

    code = "unavailable"


class SettingsError(GameserverError):
    """Configuration that cannot work; `faults` names every fault found, one sentence each."""

    code = "settings"

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults
