"""The compact encoding: what a server says as positional MessagePack (docs/protocol.md, Compact).

A room's members share the same bytes, so a message depends on nothing that one client alone has been told: the
schema is the world's, and a room's handle is the same towards everybody on a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gameserver.protocol.codec import Codec
from gameserver.protocol.codes import LANES
from gameserver.protocol.compact_columns import Columns
from gameserver.protocol.compact_reader import CompactReader
from gameserver.protocol.compact_schema import COMPACT, SEQ_WINDOW, TYPES, Described
from gameserver.protocol.handles import Handles

_NUMBERS = {name: number for number, name in enumerate(TYPES)}
_SNAPSHOT, _DELTA, _SIGNAL, _VERIFY, _ACK, _PONG = (
    _NUMBERS[name] for name in ("snapshot", "delta", "signal", "verify", "command_ack", "pong")
)
_LANE_NUMBERS = {lane.word: int(lane) for lane in LANES}


class CompactWriter:
    """Of one worker, for all its clients. `base` is a moment in ms since the Unix epoch that events are timed from."""

    def __init__(self, described: Described, handles: Handles, base: int) -> None:
        self._numbers = handles.numbers
        self._columns = Columns(described)
        self._base = base
        self._pack = msgspec.msgpack.Encoder().encode
        self._writers: dict[str, Callable[[Mapping[str, Any]], list[Any]]] = {
            "welcome": self._welcome,
            "snapshot": self._snapshot,
            "delta": self._delta,
            "signal": self._signal,
            "verify": self._verify,
            "command_ack": _command_ack,
            "pong": _pong,
        }

    def encode(self, message: Mapping[str, Any]) -> bytes:
        """The payload of a server's message."""
        return self._pack(self._writers.get(message["type"], _named)(message))

    def _welcome(self, message: Mapping[str, Any]) -> list[Any]:
        """A client that resumes is told the handles of the rooms it gets no snapshot of."""
        number, content = _named(message)
        content["base"] = self._base
        recovered = message.get("recovered")
        if recovered is not None:
            numbers = self._numbers
            content["handles"] = {room: numbers[room] for room, kept in recovered.items() if kept and room in numbers}
        return [number, content]

    def _snapshot(self, message: Mapping[str, Any]) -> list[Any]:
        room = message["room"]
        into = [_SNAPSHOT, self._numbers.get(room), room, message["epoch"], message["seq"], message["sum"]]
        self._columns.write_sets(into, message["state"])
        return into

    def _delta(self, message: Mapping[str, Any]) -> list[Any]:
        room, seq, prev = message["room"], message["seq"], message["prev"]
        handle = self._numbers.get(room)
        if handle is None or not 0 < seq - prev < SEQ_WINDOW or "partial" in message or "watermark" in message:
            partial, watermark = message.get("partial"), message.get("watermark")
            into: list[Any] = [_DELTA, room if handle is None else handle, seq, prev, partial, watermark]
        else:
            into = [handle, (seq - prev - 1) * SEQ_WINDOW + seq % SEQ_WINDOW]
        if "del" in message:
            self._columns.write_dels(into, message["del"])
        if "set" in message:
            self._columns.write_sets(into, message["set"])
        if "events" in message:
            into += [self._event(event, seq) for event in message["events"]]
        return into

    def _event(self, event: Mapping[str, Any], seq: int) -> list[Any]:
        """What has its usual value is left out at the end."""
        written = [event["name"], event["data"], event["at"] - self._base, _LANE_NUMBERS[event["priority"]]]
        sender, index, back = event.get("from"), event["index"], seq - event["seq"]
        if back:
            written += (sender, index, back)
        elif index:
            written += (sender, index)
        elif sender is not None:
            written.append(sender)
        return written

    def _signal(self, message: Mapping[str, Any]) -> list[Any]:
        room = message["room"]
        written = [_SIGNAL, self._numbers.get(room, room), message["key"], message["data"]]
        if "from" in message:
            written.append(message["from"])
        return written

    def _verify(self, message: Mapping[str, Any]) -> list[Any]:
        room = message["room"]
        return [_VERIFY, self._numbers.get(room, room), message["epoch"], message["seq"], message["sum"]]


def _named(message: Mapping[str, Any]) -> list[Any]:
    """Any message, as the map it is elsewhere."""
    content = dict(message)
    return [_NUMBERS[content.pop("type")], content]


def _command_ack(message: Mapping[str, Any]) -> list[Any]:
    return [_ACK, message["id"], message["seq"]] if message["ok"] else _named(message)


def _pong(message: Mapping[str, Any]) -> list[Any]:
    return [_PONG, message["at"], message["now"]]


def compact_codec(described: Described, base: int) -> Codec:
    """A worker's one codec: those who have it share frames."""
    handles = Handles()
    codec = Codec(COMPACT, False, CompactWriter(described, handles, base).encode, CompactReader().read)
    codec.handles = handles
    return codec
