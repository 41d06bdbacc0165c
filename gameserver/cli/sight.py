"""What a watcher remembers of one room: what changed lately, the last events, and whether the copy was proven."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from gameserver.client import (
    ClientEvent,
    Connected,
    Disconnected,
    Event,
    EventReceived,
    LostEvents,
    QualityChanged,
    ResyncNeeded,
    RoomChanged,
    RoomLeft,
    RoomLoaded,
    Verified,
)

HIGHLIGHT = 1.0
"""Seconds a changed field stands out."""
MOST_EVENTS = 100


@dataclass(slots=True)
class Sight:
    """Fed with all events of a client; counts are those of `room` alone. Times are those given to `feed`, in seconds.

    `proof` is the last comparison with the server's checksum: whether it was equal, at which seq, and when.
    """

    room: str
    changed: dict[tuple[str, str], float] = field(default_factory=dict)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=MOST_EVENTS))
    proof: tuple[bool, int, float] | None = None
    verified: int = 0
    mismatches: int = 0
    resyncs: int = 0
    lost: int = 0
    left: str | None = None
    line: str = "connecting"
    """How the connection stands."""

    def feed(self, event: ClientEvent, now: float) -> None:
        match event:
            case Connected(worker=worker):
                self.line = f"connected to worker {worker}"
            case Disconnected(reason=reason, delay=delay):
                self.line = f"not connected ({reason})" + (f", again in {delay:.1f} s" if delay is not None else "")
            case QualityChanged(tier=tier, reason=reason):
                self.line = f"connected, quality {tier} ({reason})"
            case _ if getattr(event, "room", None) == self.room:
                self._feed_room(event, now)

    def _feed_room(self, event: ClientEvent, now: float) -> None:
        match event:
            case RoomLoaded():
                self.changed.clear()
                self.left = None
            case RoomChanged(dels=dels, sets=sets):
                self._note_changes(dels, sets, now)
            case EventReceived(event=what):
                self.events.append(what)
            case Verified(ok=ok, seq=seq):
                self.proof = (ok, seq, now)
                self.verified += ok
                self.mismatches += not ok
            case ResyncNeeded():
                self.resyncs += 1
            case LostEvents():
                self.lost += 1
            case RoomLeft(reason=reason):
                self.left = reason

    def _note_changes(self, dels: Any, sets: Any, now: float) -> None:
        gone = set(dels) - set(sets)
        self.changed = {
            place: since for place, since in self.changed.items() if now - since < HIGHLIGHT and place[0] not in gone
        }
        for entity, fields in sets.items():
            for name in fields:
                self.changed[entity, name] = now

    def is_fresh(self, entity: str, name: str, now: float) -> bool:
        """Whether the field changed so lately that it should stand out."""
        since = self.changed.get((entity, name))
        return since is not None and now - since < HIGHLIGHT

    def proven(self, now: float) -> str:
        """In words."""
        if self.proof is None:
            return "not verified yet"
        ok, seq, at = self.proof
        return f"{'verified' if ok else 'MISMATCH'} at seq {seq}, {max(0.0, now - at):.0f} s ago"

    def counts(self) -> str:
        return f"{self.verified} verified, drift {self.mismatches}, resyncs {self.resyncs}, losses {self.lost}"
