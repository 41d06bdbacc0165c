"""A client's command as a piece of work: game code run over a draft, its outcome told to whoever sent it."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from gameserver.context import Context
from gameserver.errors import GameserverError, Rejected
from gameserver.protocol import incoming, outgoing
from gameserver.runtime.work import Settled, Work
from gameserver.state.draft import Draft

if TYPE_CHECKING:
    from gameserver.game import Command
    from gameserver.runtime.requests import Requests
    from gameserver.runtime.session import Session


class CommandWork(Work):
    """`now` (s since the Unix epoch) and `seed` are the same on every run."""

    __slots__ = ("_command", "_message", "_now", "_requests", "_seed", "_session", "_values")

    def __init__(
        self,
        session: Session,
        requests: Requests,
        command: Command,
        message: incoming.CommandMessage,
        now: float,
        seed: int,
    ) -> None:
        player = session.claims.player
        super().__init__(
            player=player,
            id="" if message.id is None else incoming.id_key(message.id),
            sender=player,
            lane=command.priority,
        )
        self._session = session
        self._requests = requests
        self._command = command
        self._message = message
        self._now = now
        self._seed = seed
        self._values = message.values

    def run(self, draft: Draft) -> None:
        claims = self._session.claims
        context = Context(
            draft,
            now=self._now,
            seed=self._seed,
            player=claims.player,
            name=claims.name,
            team=claims.team,
            role=claims.role,
        )
        # A handler may change what it is given, and it may run again.
        self._command.handler(context, *(deepcopy(self._values) if self._message.composite else self._values))

    def body(self) -> bytes:
        return self._message.body_hash()

    def settle(self, settled: Settled) -> None:
        self._requests.closed_command()
        message_id = self._message.id
        if isinstance(settled, GameserverError):
            self._refuse(settled)
        elif message_id is not None:
            self._session.send(outgoing.command_ack(message_id, settled))

    def _refuse(self, refusal: GameserverError) -> None:
        message_id = self._message.id
        try:
            self._session.send(outgoing.refusal(refusal, message_id))
        except (TypeError, ValueError):
            # The game gave its refusal details that no encoding carries.
            self._session.send(outgoing.refusal(Rejected(refusal.code, refusal.message), message_id))
            raise
