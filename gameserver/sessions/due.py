"""What a client is owed next, as structures; whoever encodes them turns each into one message of the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gameserver.state.delta import State
from gameserver.state.events import LoggedEvent
from gameserver.state.priority import Priority


class ReplyDue(msgspec.Struct, frozen=True):
    """A direct answer, as it was handed in."""

    message: Any


class SnapshotDue(msgspec.Struct, frozen=True):
    """`sum` is the checksum of `state`, which is the room as the client's view shows it at (epoch, seq)."""

    room: str
    epoch: int
    seq: int
    state: State
    sum: int


class DeltaDue(msgspec.Struct, frozen=True):
    """`dels` is applied before `sets`; a field that is None in `sets` is removed.

    Exact (`partial` false): takes a client from any position in [prev, seq) to seq, with every event up to there.
    Partial: values read at `seq` that do not move the position; events are complete up to `watermark`.
    """

    room: str
    prev: int
    seq: int
    dels: Sequence[str]
    sets: State
    events: Sequence[LoggedEvent]
    partial: bool = False
    watermark: int | None = None


class SignalDue(msgspec.Struct, frozen=True):
    room: str
    key: str
    data: Any
    sender: str | None


class LostDue(msgspec.Struct, frozen=True):
    """Events of the seqs `first` to `last` (inclusive), of one lane or (None) of all, can no longer be had."""

    room: str
    first: int
    last: int
    lane: Priority | None


class LeftDue(msgspec.Struct, frozen=True):
    room: str
    reason: str


class VerifyDue(msgspec.Struct, frozen=True):
    """`sum` at exactly the position the client stands at."""

    room: str
    epoch: int
    seq: int
    sum: int


Due = ReplyDue | SnapshotDue | DeltaDue | SignalDue | LostDue | LeftDue | VerifyDue


class Hole(msgspec.Struct, frozen=True):
    """Events with `after` < seq <= `upto` must be read from the store's log: this worker holds them no longer."""

    room: str
    epoch: int
    after: int
    upto: int
