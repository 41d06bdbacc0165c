"""Commands that were sent and not answered yet."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from gameserver.client.failures import CommandRejected, ConnectionLost, TooManyCommands

CommandId = int | str


class Ack(NamedTuple):
    """A committed command: `seq` names every room it changed and the commit it is in; `elapsed` is in seconds."""

    id: CommandId
    seq: dict[str, int]
    elapsed: float


class PendingCommand:
    __slots__ = ("answer", "id", "message", "retry", "since")

    def __init__(
        self, id: CommandId, message: dict[str, Any], retry: bool, since: float, answer: asyncio.Future[Ack]
    ) -> None:
        self.id = id
        self.message = message
        self.retry = retry
        self.since = since
        self.answer = answer


class PendingCommands:
    """At most `limit` commands by id. Ids are unique per player: a random prefix and a count ([CMD4])."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: dict[CommandId, PendingCommand] = {}
        self._prefix = secrets.token_hex(6)
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(
        self, message: Mapping[str, Any], id: CommandId | None, retry: bool, now: float, answer: asyncio.Future[Ack]
    ) -> PendingCommand:
        """Raises TooManyCommands, and ValueError for an id that waits already."""
        if len(self._waiting) >= self._limit:
            raise TooManyCommands(f"{self._limit} commands wait for their answers already")
        if id is None:
            self._count += 1
            id = f"{self._prefix}-{self._count}"
        elif isinstance(id, bool) or not isinstance(id, int | str):
            raise ValueError("a command's id is an int or a str")
        elif id in self._waiting:
            raise ValueError(f"the command {id!r} waits for its answer already")
        pending = PendingCommand(id, {**message, "id": id}, retry, now, answer)
        self._waiting[id] = pending
        return pending

    def forget(self, pending: PendingCommand) -> None:
        self._waiting.pop(pending.id, None)

    def answered(self, message: Mapping[str, Any], now: float) -> bool:
        """Whether a `command_ack` was waited for."""
        pending = self._take(message.get("id"))
        if pending is None:
            return False
        if not pending.answer.done():
            if message["ok"]:
                pending.answer.set_result(Ack(pending.id, dict(message.get("seq") or {}), now - pending.since))
            else:
                pending.answer.set_exception(CommandRejected(message.get("error") or {}))
        return True

    def refused(self, id: Any, error: Mapping[str, Any]) -> bool:
        """Whether an `error` that names an id was waited for."""
        pending = self._take(id)
        if pending is not None and not pending.answer.done():
            pending.answer.set_exception(CommandRejected(error))
        return pending is not None

    def interrupted(self) -> None:
        """The connection is gone: only what may be sent again goes on waiting."""
        for pending in [each for each in self._waiting.values() if not each.retry]:
            self._fail(pending, ConnectionLost("the connection was lost before the command was answered"))

    def again(self, now: float, memory: float) -> list[dict[str, Any]]:
        """The messages to send again after a reconnect, oldest first.

        What has waited longer than the server's `memory` of ids, in seconds, fails instead: it might
        be carried out twice ([CMD8]).
        """
        for pending in [each for each in self._waiting.values() if now - each.since >= memory]:
            self._fail(pending, ConnectionLost("the connection was away for longer than the server remembers ids"))
        return [pending.message for pending in self._waiting.values()]

    def fail(self, error: Exception) -> None:
        """Nobody will answer any more."""
        for pending in list(self._waiting.values()):
            self._fail(pending, error)

    def _take(self, id: Any) -> PendingCommand | None:
        # True and 1.0 equal 1 as keys, yet they are not ids.
        return self._waiting.pop(id, None) if type(id) in (int, str) else None

    def _fail(self, pending: PendingCommand, error: Exception) -> None:
        self._waiting.pop(pending.id, None)
        if not pending.answer.done():
            pending.answer.set_exception(error)
