"""The asyncio client: `Client` for one player's connection, `ClientReplica` for its rooms without any I/O."""

from gameserver.client.backoff import Backoff
from gameserver.client.closing import Closed
from gameserver.client.connection import Client
from gameserver.client.events import (
    ClientEvent,
    Connected,
    Disconnected,
    ErrorReceived,
    Event,
    EventReceived,
    LostEvents,
    QualityChanged,
    ReplicaEvent,
    ResyncNeeded,
    RoomChanged,
    RoomLeft,
    RoomLoaded,
    SignalReceived,
    Verified,
)
from gameserver.client.failures import (
    ClientClosed,
    CommandRejected,
    CommandTimeout,
    ConnectionLost,
    Refused,
    RequestRefused,
    TooManyCommands,
)
from gameserver.client.pending import Ack
from gameserver.client.replica import ClientReplica, Counters
from gameserver.client.room import RoomReplica
from gameserver.client.stats import ClientStats
from gameserver.client.streams import EventStream
from gameserver.client.tuning import Tuning

__all__ = [
    "Ack",
    "Backoff",
    "Client",
    "ClientClosed",
    "ClientEvent",
    "ClientReplica",
    "ClientStats",
    "Closed",
    "CommandRejected",
    "CommandTimeout",
    "Connected",
    "ConnectionLost",
    "Counters",
    "Disconnected",
    "ErrorReceived",
    "Event",
    "EventReceived",
    "EventStream",
    "LostEvents",
    "QualityChanged",
    "Refused",
    "ReplicaEvent",
    "RequestRefused",
    "ResyncNeeded",
    "RoomChanged",
    "RoomLeft",
    "RoomLoaded",
    "RoomReplica",
    "SignalReceived",
    "TooManyCommands",
    "Tuning",
    "Verified",
]
