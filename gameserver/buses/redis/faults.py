"""What an error reply of Redis means to its caller."""

from __future__ import annotations

from gameserver.errors import GameserverError, Unavailable

RETRY_AFTER = 1.0
"""Seconds after which a client may try again what the store could not take."""

PASSING = frozenset(
    (
        "ASK",
        "BUSY",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "MOVED",
        "NOREPLICAS",
        "OOM",
        "READONLY",
        "TRYAGAIN",
    )
)
"""Errors that say nothing about the request: the same one may succeed later, here or elsewhere."""

ELSEWHERE = frozenset(("ASK", "MOVED", "READONLY"))
"""Those which say that this node is not, or no longer, the one to write to."""


class StoreRefused(GameserverError):
    """Redis refused the command itself; `word` is the first word of its error."""

    def __init__(self, text: str) -> None:
        super().__init__(f"the store refused: {text}")
        self.word = first_word(text)


def first_word(text: str) -> str:
    return text.partition(" ")[0]


def fault_of(text: str) -> GameserverError:
    """The exception for an error reply: Unavailable when a retry later makes sense, else StoreRefused."""
    if first_word(text) in PASSING:
        return unavailable(f"the store cannot serve this now: {text}")
    return StoreRefused(text)


def unavailable(text: str) -> Unavailable:
    return Unavailable(text, retry_after=RETRY_AFTER)
