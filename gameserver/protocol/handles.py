"""Short names for rooms: small integers that stand for them in the compact encoding.

Who may still have something of a room sent holds its handle. Meanwhile the room has that one number; once nobody holds
it any more, the number is free for another room. Every client is told a room's number before it is used towards it,
so the last room that it was told of is the one that is meant.
"""

from __future__ import annotations

import heapq
import weakref
from functools import partial

from gameserver.protocol.compact_schema import FIRST_HANDLE


class RoomHandle:
    """Keeps a room's number taken while it is referred to."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number


class Handles:
    """Of one worker; `numbers` is the number of each room whose handle is held."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self._held: dict[str, weakref.ref[RoomHandle]] = {}
        self._free: list[int] = []
        self._next = FIRST_HANDLE

    def hold(self, room: str) -> RoomHandle:
        """The room's handle; refer to it for as long as something of the room may be sent."""
        held = self._held.get(room)
        handle = held() if held is not None else None
        if handle is None:
            handle = RoomHandle(self._take())
            self.numbers[room] = handle.number
            self._held[room] = weakref.ref(handle, partial(self._let_go, room, handle.number))
        return handle

    def _take(self) -> int:
        """The smallest free number: the smaller, the fewer bytes."""
        if self._free:
            return heapq.heappop(self._free)
        self._next += 1
        return self._next - 1

    def _let_go(self, room: str, number: int, reference: weakref.ref[RoomHandle]) -> None:
        heapq.heappush(self._free, number)
        # A handle that died in a cycle may have been followed by another before this is called.
        if self._held.get(room) is reference:
            del self._held[room]
            del self.numbers[room]
