"""Values, entities and events as text. What players wrote is theirs: nothing in it may move our cursor."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import orjson

from gameserver.client import (
    ClientEvent,
    Connected,
    Disconnected,
    Event,
    EventReceived,
    LostEvents,
    QualityChanged,
    ResyncNeeded,
    RoomChanged,
    RoomLeft,
    RoomLoaded,
    Verified,
)
from gameserver.client.room import RoomReplica


def printable(text: str) -> str:
    """The text without anything that is not printed: escape sequences, line ends, marks that turn the direction."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def value(given: Any) -> str:
    """A field's value, short enough for a table."""
    if isinstance(given, float):
        return f"{given:.1f}" if abs(given) < 1e15 else f"{given:g}"
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, str):
        return printable(given)
    if isinstance(given, list):
        return "[" + ", ".join(map(value, given)) + "]"
    return printable(orjson.dumps(given).decode()) if isinstance(given, dict) else str(given)


def fields(given: Mapping[str, Any]) -> str:
    return " ".join(f"{printable(name)}={value(given[name])}" for name in sorted(given))


def event(what: Event) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(what.at / 1000))
    sender = f" from {printable(what.sender)}" if what.sender else ""
    return f"{clock} {what.priority} {printable(what.name)}{sender} {value(dict(what.data))}"


def position(room: RoomReplica) -> str:
    return f"epoch {room.epoch} seq {room.seq} sum {room.sum}"


def natural(entity: str) -> list[tuple[int, str]]:
    """Sorts `ship:9` before `ship:10`."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"([0-9]+)", entity)]


def lines_of(told: ClientEvent) -> list[str]:
    """An event of the client, for a log of plain lines."""
    match told:
        case RoomLoaded(epoch=epoch, seq=seq):
            return [f"snapshot at epoch {epoch} seq {seq}"]
        case RoomChanged(dels=dels, sets=sets):
            replaced = set(dels) & set(sets)
            gone = [f"- {printable(entity)}" for entity in dels if entity not in replaced]
            return gone + [
                f"{'=' if entity in replaced else '+'} {printable(entity)} {_sets(sets[entity])}" for entity in sets
            ]
        case EventReceived(event=what):
            return [f"event {what.seq}.{what.index} {event(what)}"]
        case Verified(ok=ok, seq=seq):
            return [f"{'verified' if ok else 'MISMATCH'} at seq {seq}"]
        case ResyncNeeded(reason=reason):
            return [f"resync needed: {printable(reason)}"]
        case LostEvents(first=first, last=last, lane=lane):
            return [f"events lost from seq {first} to {last}" + (f" in lane {printable(lane)}" if lane else "")]
        case RoomLeft(reason=reason):
            return [f"left: {printable(reason)}"]
        case Connected(worker=worker):
            return [f"connected to worker {printable(worker)}"]
        case Disconnected(reason=reason, delay=delay):
            return [f"not connected: {printable(reason)}" + (f"; again in {delay:.1f} s" if delay is not None else "")]
        case QualityChanged(tier=tier, reason=reason):
            return [f"quality {printable(tier)}: {printable(reason)}"]
        case _:
            return []


def _sets(changed: Mapping[str, Any]) -> str:
    """As a delta says it: null takes the field away."""
    return " ".join(
        f"{printable(name)} removed" if given is None else f"{printable(name)}={value(given)}"
        for name, given in sorted(changed.items())
    )
