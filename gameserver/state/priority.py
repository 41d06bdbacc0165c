"""In what order things matter when a line is slow."""

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
