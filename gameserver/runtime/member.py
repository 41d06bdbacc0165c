"""A connection as the hub sees it: a channel, an encoding, and an outbox while it is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gameserver.protocol.codec import Codec
from gameserver.runtime.channel import Channel
from gameserver.runtime.replies import Replies
from gameserver.sessions.outbox import Outbox
from gameserver.sessions.quality import Tier

if TYPE_CHECKING:
    from gameserver.runtime.audience import Circle

PUMP_BYTES = 64 * 1024
"""The most that is written to one slow member before others get their turn."""


class Member:
    """`circles` is where it sits, by room; `pump` writes from its outbox, while it has one; `held` are frames that
    `replies` will write at the end of this turn. Compared by identity."""

    __slots__ = (
        "_replies",
        "_unheard",
        "channel",
        "circles",
        "closed",
        "codec",
        "held",
        "interval_timer",
        "outbox",
        "player",
        "pump",
        "tier",
    )

    def __init__(self, channel: Channel, codec: Codec, player: str, replies: Replies) -> None:
        self.channel = channel
        self.codec = codec
        self.player = player
        self.circles: dict[str, Circle] = {}
        self.outbox: Outbox | None = None
        self.pump: Callable[[], None] = nothing
        self.tier = Tier.FULL
        self.closed = False
        self.held: list[bytes] | None = None
        self.interval_timer: asyncio.TimerHandle | None = None
        self._replies = replies
        self._unheard = False
        channel.on_congested(self._hold_back)

    def send(self, message: Mapping[str, Any]) -> None:
        """Answer this member alone, before anything else it is due."""
        if self.closed:
            return
        if self.outbox is None:
            self._replies.add(self, self.codec.frame(message))
        else:
            self.outbox.reply(message, len(self.codec.encode(message)))
            # A line that is free takes it at once; nothing else may come that would make it move.
            self.pump()

    def write(self, frame: bytes) -> None:
        """A ready-made frame for this member alone, while it is healthy."""
        self._replies.add(self, frame)

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake after everything it was sent."""
        self._replies.flush_member(self)
        self.channel.close(code, reason)

    def _hold_back(self) -> None:
        self._replies.congested[self] = None

    def listen(self) -> None:
        """Having heard it: while its answers pile up, nothing more is read from it."""
        if self.held is not None:
            self._replies.settle(self)
        if self.congested and not self._unheard:
            self._unheard = True
            self.channel.pause_reading()

    def relieve(self) -> None:
        """Some of its answers were taken, or it is gone: it is read again."""
        if self._unheard and (self.closed or not self.congested):
            self._unheard = False
            self.channel.resume_reading()

    @property
    def congested(self) -> bool:
        """Whether its answers pile up."""
        return self.outbox is not None and self.outbox.congested


def nothing() -> None:
    """A healthy member is written to directly."""
