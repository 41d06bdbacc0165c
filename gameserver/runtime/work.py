"""A piece of work for the committer: one run of game code that ends in a commit, a refusal or a re-run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from gameserver.errors import GameserverError
from gameserver.state.draft import Draft

log = logging.getLogger("gameserver")

Settled = dict[str, int] | GameserverError
"""The new seq of every room it changed, or why it was refused."""


@dataclass(slots=True)
class Work:
    """`run(draft)` is a pure function of what it reads, and may be called several times.

    `settle` is called exactly once. Works of one `player` are committed in the order they came. With an `id`
    (typed, see `gameserver.protocol.incoming.id_key`) the work is applied at most once, however often and wherever it
    is sent. `fence` is the lease's token it needs. Work that is `alone` shares its group with nobody who does not
    depend on it.
    """

    run: Callable[[Draft], object]
    settle: Callable[[Settled], None]
    player: str = ""
    id: str = ""
    body: bytes = b""
    fence: int = 0
    alone: bool = False
    sender: str | None = None
    lane: int = 3
    serial: int = 0
    conflicts: int = 0
    refusals: int = 0
    changed: list[str] = field(default_factory=list)
    """The rooms the last run changed."""
    answered: bool = False

    def answer(self, settled: Settled) -> None:
        """Call `settle`, the first time. What goes wrong in it is nothing to those who are answered after it."""
        if self.answered:
            return
        self.answered = True
        try:
            self.settle(settled)
        except Exception:
            log.exception("an answer could not be given")
