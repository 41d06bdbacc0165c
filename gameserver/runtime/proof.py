"""A room's checksum for everybody in it, told to some at a time: thousands at once would be felt by all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gameserver.protocol import outgoing
from gameserver.protocol.codec import Codec

if TYPE_CHECKING:
    from gameserver.runtime.audience import Audience, Circle
    from gameserver.runtime.hub import Hub
    from gameserver.runtime.member import Member


class Proof:
    """Of one room at one verification tick; who comes later has a checksum in the snapshot."""

    __slots__ = ("_audience", "_hub", "_left")

    def __init__(self, hub: Hub, audience: Audience) -> None:
        self._hub = hub
        self._audience = audience
        self._left: list[tuple[Circle, Member]] = []
        for circle in audience.circles.values():
            self._left += [(circle, member) for member in circle.healthy]
            # Who comes late needs another; thousands of players' own rooms would keep theirs for nobody.
            circle.forget_snapshots()
            for member in circle.slow:
                hub.slow.prove(member, circle)

    def tell(self, number: int) -> bool:
        """Send the checksum to that many healthy members, exactly where they stand; whether there are more.

        Where the room waits for a sibling they stand nowhere that has one, and are left out this time.
        """
        some, self._left = self._left[-number:], self._left[:-number]
        audience = self._audience
        if not audience.awaited:
            self._hub.flush_room(audience)
            frames: dict[tuple[Circle, Codec], bytes] = {}
            for circle, member in some:
                # It may have left, or become slow, since the tick began.
                if member in circle.healthy:
                    frame = frames.get((circle, member.codec))
                    if frame is None:
                        frame = frames[circle, member.codec] = self._frame(circle, member.codec)
                    self._hub.tell(member, frame)
        return bool(self._left)

    def _frame(self, circle: Circle, codec: Codec) -> bytes:
        audience, replica = self._audience, self._audience.replica
        if circle.last < replica.seq:
            # Nothing of what happened is in their view: only the position has moved.
            self._hub.share(circle, [outgoing.delta(audience.room, circle.last, replica.seq)])
            circle.last = replica.seq
        return codec.frame(outgoing.verify(audience.room, replica.epoch, replica.seq, circle.sum()))
