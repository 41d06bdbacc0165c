"""What a client counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from gameserver.client.replica import Counters


@dataclass(slots=True)
class ClientStats:
    """Counts since the client was made; `replica` holds those of the rooms.

    `dropped_events` counts events that a stream gave up because nobody took them in time, `late_answers`
    answers for which nobody waited any more, `disconnections` connections that were lost or not made;
    `rtt` is the last round trip in seconds.
    """

    replica: Counters = field(default_factory=Counters)
    connections: int = 0
    disconnections: int = 0
    resumes: int = 0
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    commands: int = 0
    acknowledged: int = 0
    rejected: int = 0
    resent: int = 0
    late_answers: int = 0
    timeouts: int = 0
    resyncs_asked: int = 0
    refusals: int = 0
    dropped_events: int = 0
    failed_callbacks: int = 0
    unreadable: int = 0
    unknown: int = 0
    rtt: float | None = None
