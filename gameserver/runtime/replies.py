"""What healthy members are told one by one: joined into one write each per turn of the event loop.

Commands come several to a read and are answered several to a batch; a welcome is followed by snapshots. Whoever writes
to a member by another way calls `flush` before, so that everything arrives in the order in which it was said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gameserver.runtime.member import Member


MOST_HELD = 32
"""Frames held for one member."""
LARGE = 16 * 1024
"""Bytes of a frame that is not held beyond the message it answers."""


class Replies:
    """Of all members of one worker. `congested` are those whose channel has held something back since last asked;
    `on_congested()` is called at the end of a turn in which there are any."""

    def __init__(self, on_congested: Callable[[], None]) -> None:
        self._members: list[Member] = []
        self._on_congested = on_congested
        self.congested: dict[Member, None] = {}

    def add(self, member: Member, frame: bytes) -> None:
        held = member.held
        if held is not None:
            held.append(frame)
            return
        member.held = [frame]
        if not self._members:
            asyncio.get_running_loop().call_soon(self.end_turn)
        self._members.append(member)

    def settle(self, member: Member) -> None:
        """See to it that not too much is held for the member: what its line does not take may not pile up."""
        held = member.held
        if held is not None and (len(held) >= MOST_HELD or len(held[-1]) >= LARGE):
            self.flush_member(member)
            if self.congested:
                self._on_congested()

    def end_turn(self) -> None:
        """Write everything that is held, and see who did not take it."""
        self.flush()
        if self.congested:
            self._on_congested()

    def flush(self) -> None:
        """Write everything that is held."""
        members, self._members = self._members, []
        for member in members:
            self.flush_member(member)

    def flush_member(self, member: Member) -> None:
        """Write what is held for one member, because something else is to follow at once."""
        held, member.held = member.held, None
        if held is not None:
            member.channel.write(held[0] if len(held) == 1 else b"".join(held))
