"""How often a room may be asked for again. No clock of its own."""

from __future__ import annotations


class ResyncPace:
    """The first ask for a room goes at once; each further one waits twice as long, from `first` up to
    `longest` seconds, until the copy was found right. So a copy that never comes right cannot loop hot."""

    def __init__(self, first: float = 1.0, longest: float = 30.0) -> None:
        self._first = first
        self._longest = longest
        self._asked: dict[str, tuple[float, float]] = {}

    def wait(self, room: str, now: float) -> float:
        """Seconds until the room may be asked for; 0 for now."""
        asked = self._asked.get(room)
        return 0.0 if asked is None else max(0.0, asked[0] + asked[1] - now)

    def asked(self, room: str, now: float) -> float:
        """The room is asked for now; the seconds after which it may be again."""
        known = self._asked.get(room)
        pause = self._first if known is None else min(known[1] * 2, self._longest)
        self._asked[room] = (now, pause)
        return pause

    def right(self, room: str) -> None:
        """The copy was verified, or the room is no longer held."""
        self._asked.pop(room, None)
