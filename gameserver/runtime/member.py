"""A connection as the hub sees it: a channel, an encoding, and an outbox while it is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gameserver.protocol.codec import Codec
from gameserver.runtime.channel import Channel
from gameserver.sessions.outbox import Outbox
from gameserver.sessions.quality import Tier

if TYPE_CHECKING:
    from gameserver.runtime.audience import Circle

PUMP_BYTES = 64 * 1024
"""The most that is written to one slow member before others get their turn."""


class Member:
    """`circles` is where it sits, by room; `pump` writes from its outbox, while it has one. Compared by identity."""

    __slots__ = (
        "_relief",
        "channel",
        "circles",
        "closed",
        "codec",
        "interval_timer",
        "outbox",
        "player",
        "pump",
        "tier",
    )

    def __init__(self, channel: Channel, codec: Codec, player: str) -> None:
        self.channel = channel
        self.codec = codec
        self.player = player
        self.circles: dict[str, Circle] = {}
        self.outbox: Outbox | None = None
        self.pump: Callable[[], None] = nothing
        self.tier = Tier.FULL
        self.closed = False
        self.interval_timer: asyncio.TimerHandle | None = None
        self._relief: asyncio.Event | None = None

    def send(self, message: Mapping[str, Any]) -> None:
        """Answer this member alone, before anything else it is due."""
        if self.closed:
            return
        if self.outbox is None:
            self.channel.write(self.codec.frame(message))
        else:
            self.outbox.reply(message, len(self.codec.encode(message)))
            # A line that is free takes it at once; nothing else may come that would make it move.
            self.pump()

    async def relieved(self) -> None:
        """Wait until it is congested no longer, or gone."""
        while self.congested and not self.closed:
            self._relief = asyncio.Event()
            await self._relief.wait()

    def relieve(self) -> None:
        """Some of its answers were taken, or it is gone: wake who waits."""
        if self._relief is not None and (self.closed or not self.congested):
            self._relief.set()
            self._relief = None

    @property
    def congested(self) -> bool:
        """Whether its answers pile up: then nothing more is read from it."""
        return self.outbox is not None and self.outbox.congested


def nothing() -> None:
    """A healthy member is written to directly."""
