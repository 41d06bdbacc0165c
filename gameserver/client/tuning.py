"""The deadlines and limits of a client, in one place."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from gameserver.client.backoff import Backoff


@dataclass(frozen=True, slots=True)
class Tuning:
    """All times in seconds. The defaults are those that docs/protocol.md asks of every client."""

    dial_timeout: float = 10.0
    """To fetch a token and shake hands."""
    welcome_timeout: float = 15.0
    """From the handshake to `welcome`; the server itself waits up to 5 s for `hello`."""
    send_timeout: float = 10.0
    """For the line to take a message."""
    close_timeout: float = 2.0
    """For the other side to answer a close."""
    backoff_base: float = 0.5
    backoff_factor: float = 2.0
    backoff_cap: float = 30.0
    stable_after: float = 10.0
    """How long a connection has to stand for the backoff to start again."""
    resync_pause: float = 1.0
    """Between two asks for the same room, doubling up to `resync_longest_pause` until it is right."""
    resync_longest_pause: float = 30.0
    resync_patience: float = 5.0
    """Without a snapshot for this long, the room is asked for again."""
    most_pending: int = 1024
    """Commands that wait for their answers."""
    most_held: int = 1024
    """Events a stream holds unless told otherwise."""
    most_message_bytes: int = 64 * 1024 * 1024
    """A snapshot of a large room is the largest message there is."""
    chance: Callable[[], float] = random.random
    """Numbers from 0 up to 1, for the jitter."""

    def backoff(self) -> Backoff:
        return Backoff(self.chance, self.backoff_base, self.backoff_factor, self.backoff_cap, self.stable_after)
