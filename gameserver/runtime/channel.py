"""What a connection offers the runtime, whatever server it came in by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Channel(Protocol):
    """One member's way out. Nothing here blocks or raises because the peer is gone: after the connection's
    end, writes are dropped and `unsent()` is 0.

    `text` is True for JSON text frames, False for MessagePack binary frames.
    """

    @property
    def text(self) -> bool: ...

    def write(self, frame: bytes) -> None:
        """Send one or more whole, unmasked server frames, after everything written before."""

    def unsent(self) -> int:
        """Bytes accepted by `write` that the kernel has not taken yet: 0 for a healthy member."""

    def on_congested(self, callback: Callable[[], None]) -> None:
        """`callback()` is called, perhaps from within `write`, each time more than `slack` has become unsent. It must
        write nothing. One callback: a later one replaces it."""

    def on_drained(self, callback: Callable[[], None]) -> None:
        """`callback()` is called on the event loop each time `unsent()` falls to 0 after having been above.
        One callback: a later one replaces it."""

    def pause_reading(self) -> None:
        """Hand over no more messages than have come already, and let the peer feel it."""

    def resume_reading(self) -> None:
        """Read again."""

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake after what was written; what is written later is dropped."""

    def abort(self) -> None:
        """Drop the TCP connection at once, with whatever is still unsent."""

    def heard(self) -> None:
        """The peer sent something. Channels that see the connection's bytes notice by themselves."""

    def last_alive(self) -> float:
        """When bytes last came from the peer, or it last took more of what is unsent: event loop time, seconds.

        Only what is taken while something is unsent counts, for then the kernel's buffer is full and makes room
        only as the peer acknowledges; a kernel that takes bytes for a peer that is gone proves nothing.
        """

    def ping(self) -> None:
        """Ask the peer for a sign of life, where the server can: every WebSocket answers by itself."""

    def rtt(self) -> float | None:
        """The latest round trip to the peer in seconds, None where it is not known."""

    @property
    def slack(self) -> int:
        """How many bytes may be `unsent()` right after a write without the member being slow."""
