"""What a client can be told: everything that `ClientReplica` and `Client` report, one type each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec


class Event(msgspec.Struct, frozen=True):
    """What happened in a room. `seq` and `index` name it, `at` is in ms since the Unix epoch."""

    name: str
    data: Mapping[str, Any]
    sender: str | None
    seq: int
    index: int
    at: int
    priority: str


class RoomLoaded(NamedTuple):
    """A snapshot replaced everything held of the room."""

    room: str
    epoch: int
    seq: int


class RoomChanged(NamedTuple):
    """A delta was applied: `dels` first, then `sets`, in which a field that is None was removed.

    `partial` tells that the values came early and the position did not move.
    """

    room: str
    dels: Sequence[str]
    sets: Mapping[str, Mapping[str, Any]]
    partial: bool


class EventReceived(NamedTuple):
    room: str
    event: Event


class SignalReceived(NamedTuple):
    """The latest value of `key`; `data` may be bytes."""

    room: str
    key: str
    data: Any
    sender: str | None


class ResyncNeeded(NamedTuple):
    """The copy of the room can no longer be trusted: a snapshot has to be asked for."""

    room: str
    reason: str


class Verified(NamedTuple):
    """The server's checksum was compared with this copy's, at one and the same position."""

    room: str
    ok: bool
    seq: int


class RoomLeft(NamedTuple):
    room: str
    reason: str


class LostEvents(NamedTuple):
    """Events of the seqs `first` to `last`, both included, can no longer be had; `lane` is None for all lanes."""

    room: str
    first: int
    last: int
    lane: str | None


ReplicaEvent = (
    RoomLoaded | RoomChanged | EventReceived | SignalReceived | ResyncNeeded | Verified | RoomLeft | LostEvents
)


class Connected(NamedTuple):
    """A `welcome` came. `recovered` tells for each room whether it goes on from where it was; None on a fresh start."""

    session: str
    worker: str
    recovered: Mapping[str, bool] | None


class Disconnected(NamedTuple):
    """The connection is gone; the next attempt comes in `delay` seconds, never when it is None."""

    code: int
    reason: str
    delay: float | None


class QualityChanged(NamedTuple):
    tier: str
    reason: str


class ErrorReceived(NamedTuple):
    """The server refused something that no call was waiting for."""

    code: str
    message: str
    retry_after: float | None


ClientEvent = ReplicaEvent | Connected | Disconnected | QualityChanged | ErrorReceived
