"""The compact encoding as a client reads it: the maps that the other encodings carry (docs/protocol.md, Compact)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gameserver.protocol.codes import LANES
from gameserver.protocol.compact_schema import FIRST_HANDLE, MOST_FIELDS, SEQ_WINDOW, TYPES, numbered

Message = dict[str, Any]
State = dict[str, dict[str, Any]]

_unpack = msgspec.msgpack.Decoder(list[Any]).decode


class CompactReader:
    """Of one connection: it learns schema and handles from what it reads."""

    def __init__(self) -> None:
        self._seqs: dict[str, int] = {}
        self._rooms: dict[int, str] = {}
        self._kinds: list[tuple[str, list[tuple[str, bool]]]] = []
        self._base = 0

    def resume(self, positions: Mapping[str, Sequence[int]]) -> None:
        """The client said hello with these: room to `[epoch, seq]` and perhaps more."""
        self._seqs.update({room: position[1] for room, position in positions.items()})

    def read(self, payload: bytes) -> Message:
        """The message. Raises ValueError for what is none, or speaks of what this connection was not told."""
        try:
            return self._message(_unpack(payload))
        except (IndexError, KeyError, TypeError, AttributeError, StopIteration, struct.error) as error:
            raise ValueError(f"not a compact message: {error!r}") from None

    def _message(self, parts: list[Any]) -> Message:
        number = parts[0]
        if number >= FIRST_HANDLE:
            return self._short_delta(parts)
        if number < 0:
            raise ValueError(f"no type {number}")
        kind = TYPES[number]
        if type(parts[1]) is dict:
            return self._named(kind, parts[1])
        match kind, parts[1:]:
            case "snapshot", [handle, room, epoch, seq, sum, *groups]:
                return self._snapshot(handle, room, epoch, seq, sum, groups)
            case "delta", [room, seq, prev, partial, watermark, *body]:
                return self._delta(self._room(room), prev, seq, partial, watermark, body)
            case "signal", [room, key, data, *sender]:
                message = {"type": kind, "room": self._room(room), "key": key, "data": data}
                return message | {"from": sender[0]} if sender else message
            case "verify", [room, epoch, seq, sum]:
                return {"type": kind, "room": self._room(room), "epoch": epoch, "seq": seq, "sum": sum}
            case "command_ack", [id, seqs]:
                return {"type": kind, "id": id, "ok": True, "seq": seqs}
            case "pong", [at, now]:
                return {"type": kind, "at": at, "now": now}
        raise ValueError(f"a {kind} of {len(parts)} parts")

    def _named(self, kind: str, content: Message) -> Message:
        if kind == "welcome":
            self._kinds = numbered(content["schema"])
            self._base = content.pop("base")
            self._rooms = {handle: room for room, handle in content.pop("handles", {}).items()}
        return {"type": kind, **content}

    def _room(self, named: int | str) -> str:
        return named if isinstance(named, str) else self._rooms[named]

    def _snapshot(self, handle: int | None, room: str, epoch: int, seq: int, sum: int, groups: list[Any]) -> Message:
        if handle is not None:
            self._rooms[handle] = room
        self._seqs[room] = seq
        _, state, _ = self._body(groups, seq)
        return {"type": "snapshot", "room": room, "epoch": epoch, "seq": seq, "state": state, "sum": sum}

    def _short_delta(self, parts: list[Any]) -> Message:
        """`seq` is the first at or above the latest one that fits."""
        room = self._rooms[parts[0]]
        back, low = divmod(parts[1], SEQ_WINDOW)
        latest = self._seqs[room]
        seq = latest + (low - latest) % SEQ_WINDOW
        return self._delta(room, seq - back - 1, seq, None, None, parts[2:])

    def _delta(
        self, room: str, prev: int, seq: int, partial: bool | None, watermark: int | None, body: list[Any]
    ) -> Message:
        self._seqs[room] = seq
        dels, sets, events = self._body(body, seq)
        message: Message = {"type": "delta", "room": room, "prev": prev, "seq": seq}
        for name, part in (("del", dels), ("set", sets), ("events", events)):
            if part:
                message[name] = part
        if partial is not None:
            message["partial"] = partial
        if watermark is not None:
            message["watermark"] = watermark
        return message

    def _body(self, parts: list[Any], seq: int) -> tuple[list[str], State, list[Message]]:
        dels: list[str] = []
        sets: State = {}
        events: list[Message] = []
        left = iter(parts)
        for first in left:
            if first is None:
                kind = self._kind(next(left))[0]
                ids = next(left)
                dels += [_entity(kind, id) for id in (ids if type(ids) is list else [ids])]
            elif type(first) is list:
                events.append(self._event(first, seq))
            else:
                self._group(sets, first, next(left), next(left), left)
        return dels, sets, events

    def _kind(self, number: int | str) -> tuple[str, list[tuple[str, bool]]]:
        if isinstance(number, str):
            return number, []
        if number < 0:
            raise ValueError(f"no kind {number}")
        return self._kinds[number]

    def _group(self, sets: State, number: int | str, fields: Any, ids: Any, columns: Iterator[Any]) -> None:
        kind, declared = self._kind(number)
        names, floats = (fields, 0) if type(fields) is list else _chosen(declared, fields)
        one = type(ids) is not list
        ids = [ids] if one else ids
        values: list[Any] = []
        if floats:
            packed = struct.unpack(f"<{floats * len(ids)}f", next(columns))
            values = [packed[start : start + len(ids)] for start in range(0, len(packed), len(ids))]
        for _ in names[floats:]:
            column = next(columns)
            values.append([column] if one else column)
        for place, id in enumerate(ids):
            sets[_entity(kind, id)] = {name: column[place] for name, column in zip(names, values, strict=True)}

    def _event(self, parts: list[Any], seq: int) -> Message:
        name, data, at, lane = parts[:4]
        sender = parts[4] if len(parts) > 4 else None
        index = parts[5] if len(parts) > 5 else 0
        back = parts[6] if len(parts) > 6 else 0
        event = {"name": name, "data": data, "seq": seq - back, "index": index, "at": self._base + at}
        if sender is not None:
            event["from"] = sender
        return event | {"priority": LANES[lane].word}


def _chosen(declared: list[tuple[str, bool]], bits: int) -> tuple[list[str], int]:
    """The names of the fields whose bits are set, the float32 ones first, and how many those are."""
    if bits >> len(declared):
        raise ValueError(f"bits {bits:b} of {len(declared)} fields")
    chosen = [field for place, field in enumerate(declared[:MOST_FIELDS]) if bits >> place & 1]
    floats = [name for name, packed in chosen if packed]
    return floats + [name for name, packed in chosen if not packed], len(floats)


def _entity(kind: str, id: int | str | None) -> str:
    return kind if id is None else f"{kind}:{id}"
