"""A piece of work for the committer: one run of game code that ends in a commit, a refusal or a re-run."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

from gameserver.errors import GameserverError
from gameserver.state.draft import Draft

log = logging.getLogger("gameserver")

Settled = dict[str, int] | GameserverError
"""The new seq of every room it changed, or why it was refused."""


class Work(ABC):
    """Works of one `player` are committed in the order they came. With an `id` (typed, see
    `gameserver.protocol.incoming.id_key`) the work is applied at most once, however often and wherever it is
    sent. `fence` is the lease's token it needs. Work that is `alone` shares its group with nobody who does not
    depend on it.

    `serial`, `conflicts` and `refusals` are the committer's; `changed` are the rooms the last run changed.
    """

    __slots__ = (
        "alone",
        "answered",
        "changed",
        "conflicts",
        "fence",
        "id",
        "lane",
        "player",
        "refusals",
        "sender",
        "serial",
    )

    def __init__(
        self,
        *,
        player: str = "",
        id: str = "",
        fence: int = 0,
        alone: bool = False,
        sender: str | None = None,
        lane: int = 3,
    ) -> None:
        self.player = player
        self.id = id
        self.fence = fence
        self.alone = alone
        self.sender = sender
        self.lane = lane
        self.serial = 0
        self.conflicts = 0
        self.refusals = 0
        self.changed: list[str] = []
        self.answered = False

    @abstractmethod
    def run(self, draft: Draft) -> object:
        """A pure function of what it reads; may be called several times."""

    @abstractmethod
    def settle(self, settled: Settled) -> None:
        """Called exactly once."""

    def body(self) -> bytes:
        """What tells this work from another of the same id, 8 bytes; asked for only when it is committed."""
        return b""

    def answer(self, settled: Settled) -> None:
        """Call `settle`, the first time. What goes wrong in it is nothing to those who are answered after it."""
        if self.answered:
            return
        self.answered = True
        try:
            self.settle(settled)
        except Exception:
            log.exception("an answer could not be given")


class FunctionWork(Work):
    """Work that is given by two functions."""

    __slots__ = ("_body", "_run", "_settle")

    def __init__(
        self,
        run: Callable[[Draft], object],
        settle: Callable[[Settled], None],
        *,
        body: bytes = b"",
        player: str = "",
        id: str = "",
        fence: int = 0,
        alone: bool = False,
        sender: str | None = None,
        lane: int = 3,
    ) -> None:
        super().__init__(player=player, id=id, fence=fence, alone=alone, sender=sender, lane=lane)
        self._run = run
        self._settle = settle
        self._body = body

    def run(self, draft: Draft) -> object:
        return self._run(draft)

    def settle(self, settled: Settled) -> None:
        self._settle(settled)

    def body(self) -> bytes:
        return self._body
