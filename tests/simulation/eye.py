"""What one client saw, held against what is true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gameserver.client.events import (
    ClientEvent,
    Connected,
    EventReceived,
    LostEvents,
    RoomChanged,
    RoomLeft,
    RoomLoaded,
    Verified,
)
from gameserver.client.room import RoomReplica

if TYPE_CHECKING:
    from tests.simulation.player import Player
    from tests.simulation.world import World


class _Stay:
    """In one room in one epoch, from the snapshot at `start` on; `lost` are ranges of seqs declared lost."""

    __slots__ = ("epoch", "lost", "seen", "start")

    def __init__(self, epoch: int, start: int) -> None:
        self.epoch = epoch
        self.start = start
        self.seen: set[tuple[int, int]] = set()
        self.lost: list[tuple[int, int]] = []


class Eye:
    """`verified` is where each room was last proven, as (epoch, seq)."""

    def __init__(self, world: World, player: Player) -> None:
        self._world = world
        self._player = player
        self._stays: dict[str, _Stay] = {}
        self.verified: dict[str, tuple[int, int]] = {}

    def see(self, event: ClientEvent) -> None:
        """One event of the client, in order."""
        self._world.trace.counts[f"client {type(event).__name__}"] += 1
        match event:
            case RoomLoaded(room=room, epoch=epoch, seq=seq):
                stay = self._stays.get(room)
                if stay is None or stay.epoch != epoch:
                    self._stays[room] = _Stay(epoch, seq)
                self._compare(room)
            case RoomChanged(room=room, partial=False):
                self._compare(room)
            case EventReceived(room=room, event=told):
                stay = self._stays.get(room)
                if stay is not None:
                    if (told.seq, told.index) in stay.seen:
                        self._violated("B", f"was told event {told.seq}.{told.index} of {room} twice")
                    stay.seen.add((told.seq, told.index))
            case LostEvents(room=room, first=first, last=last):
                stay = self._stays.get(room)
                if stay is not None:
                    stay.lost.append((first, last))
            case Verified(room=room, ok=ok, seq=seq):
                held = self._player.session.replica.rooms.get(room)
                if not ok:
                    self._violated("C", f"found {room} wrong at {seq}")
                elif held is not None:
                    self.verified[room] = (held.epoch, seq)
                    self._compare(room)
            case RoomLeft(room=room):
                self._stays.pop(room, None)
                self.verified.pop(room, None)
            case Connected(recovered=None):
                self._stays.clear()
                self.verified.clear()

    def _violated(self, letter: str, words: str) -> None:
        self._world.trace.violated(letter, f"{self._player.name} {words}")

    def _compare(self, room: str) -> None:
        held = self._player.session.replica.rooms.get(room)
        if held is None or held.doubt is not None or not held.exact:
            return
        true = self._world.ledger.sum(held.epoch, room, held.seq)
        if true != held.sum:
            self._violated("C", f"holds {room} at {held.epoch}/{held.seq} with {held.sum}, and {true} is right")

    def missing(self, room: RoomReplica) -> list[tuple[int, int]]:
        """Events of the room, up to where the client has them all, that it has neither seen nor been told are lost."""
        stay = self._stays.get(room.name)
        if stay is None or stay.epoch != room.epoch:
            return []
        return [
            (seq, index)
            for seq, index in self._world.ledger.events[room.epoch, room.name]
            if stay.start < seq <= room.watermark
            and (seq, index) not in stay.seen
            and not any(first <= seq <= last for first, last in stay.lost)
        ]
