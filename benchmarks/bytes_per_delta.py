"""Bytes on the wire for the same changes of state: this server's encodings beside Colyseus schema and socket.io.

    python -m benchmarks.bytes_per_delta

Counted are whole WebSocket messages with their frame headers, as every member of the room gets them. Ours carry the
position besides, and events their time, place and priority; of the others only what the change itself needs is
counted. The peers are installed from npm into a temporary directory; without node or npm their columns stay empty.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from gameserver.protocol import outgoing
from gameserver.protocol.codec import JSON, MSGPACK, Codec
from gameserver.protocol.codes import Priority
from gameserver.protocol.compact import compact_codec
from gameserver.protocol.frames import encode_frame

ROOM = "sector:7"
SHIPS, PORTS, PLAYERS = 40, 12, 40
STARTED = 1_750_000_000_000
NOW = STARTED + 36_000_000
ENCODINGS_TIMED, ENCODING_ROUNDS = 20_000, 5
SEQ = 70_001
SCHEMA = {
    "ship": {"x": "f32", "y": "f32", "drones": "int", "shield": "int"},
    "port": {"stock": "int", "price": "int"},
    "player": {"cargo": "int", "credits": "int"},
}
COLUMNS = ("JSON", "MessagePack", "compact", "Colyseus", "socket.io")
PEERS = ("@colyseus/schema@5", "socket.io-parser@4")

State = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Change:
    """`said` is an event's name and data, from the player `sender`, which has to be in a peer's data."""

    sets: State
    said: tuple[str, dict[str, Any]] | None = None
    sender: str | None = None

    def message(self) -> outgoing.Delta:
        events = []
        if self.said is not None:
            events = [outgoing.event(*self.said, self.sender, SEQ, 0, NOW, Priority.COMBAT)]
        return outgoing.delta(ROOM, SEQ - 1, SEQ, sets=self.sets, events=events)


def float32(value: float) -> float:
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded


def sector() -> State:
    """The room before any change."""
    ships = {f"ship:{number}": {"x": 0.5, "y": 0.5, "drones": 10, "shield": 100} for number in range(1, SHIPS + 1)}
    ports = {f"port:{number}": {"stock": 1000, "price": 20} for number in range(1, PORTS + 1)}
    players = {f"player:{number}": {"cargo": 0, "credits": 5000} for number in range(1, PLAYERS + 1)}
    return ships | ports | players


def changes() -> dict[str, Change]:
    random = Random(7)

    def moved() -> dict[str, float]:
        return {"x": float32(random.uniform(0, 1000)), "y": float32(random.uniform(0, 1000))}

    return {
        f"movement ({SHIPS} ships)": Change({f"ship:{number}": moved() for number in range(1, SHIPS + 1)}),
        "trade": Change({"port:3": {"stock": 940, "price": 23}, "player:7": {"cargo": 60, "credits": 3620}}),
        "combat": Change(
            {"ship:7": {"drones": 8, "shield": 100 - 12}, "ship:8": {"drones": 6, "shield": 100 - 35}},
            ("attack", {"target": "8", "lost": 2, "destroyed": 4}),
            "7",
        ),
    }


def ours(change: Change) -> dict[str, int]:
    compact = compact_codec(SCHEMA, STARTED)
    assert compact.handles is not None
    held = compact.handles.hold(ROOM)
    sizes = {
        name: len(codec.frame(change.message()))
        for name, codec in (("JSON", JSON), ("MessagePack", MSGPACK), ("compact", compact))
    }
    assert compact.handles.numbers[ROOM] == held.number
    return sizes


def theirs(all_changes: Mapping[str, Change]) -> dict[str, dict[str, int]]:
    """Per change what the peers need; nothing without node, npm or what is installed by it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return {}
    given = {
        "state": sector(),
        "changes": {name: {"set": change.sets, "message": change.message()} for name, change in all_changes.items()},
    }
    script = Path(__file__).with_suffix(".mjs")
    with tempfile.TemporaryDirectory() as directory:
        shutil.copy(script, directory)
        try:
            install = ["npm", "install", "--no-audit", "--no-fund", "--silent", *PEERS]
            subprocess.run(install, cwd=directory, check=True, timeout=180, capture_output=True)
            run = subprocess.run(
                ["node", script.name],
                cwd=directory,
                check=True,
                timeout=60,
                input=json.dumps(given).encode(),
                capture_output=True,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return {}
    answered = json.loads(run.stdout)
    return {
        name: {
            "Colyseus": colyseus_bytes(bytes.fromhex(answered[name]["colyseus"]), change),
            "socket.io": len(encode_frame(bytes.fromhex(answered[name]["socketio"]), True)),
        }
        for name, change in all_changes.items()
    }


def colyseus_bytes(patch: bytes, change: Change) -> int:
    """A room's patch, and its broadcast for an event: one byte says which of them a message is, a broadcast has its
    type as a string, and its data in MessagePack."""
    size = len(encode_frame(b"\x0f" + patch, False))
    if change.said is not None:
        name, data = change.said
        content = msgspec.msgpack.encode({"from": change.sender, **data})
        size += len(encode_frame(b"\x0d" + msgspec.msgpack.encode(name) + content, False))
    return size


def rows() -> list[dict[str, Any]]:
    """One per change: its name under `change`, and bytes under each of COLUMNS; None where a peer is not there."""
    all_changes = changes()
    peers = theirs(all_changes)
    return [
        {"change": name, **dict.fromkeys(COLUMNS), **ours(change), **peers.get(name, {})}
        for name, change in all_changes.items()
    ]


def encoded() -> list[dict[str, Any]]:
    """One per size of a delta: CPU microseconds to encode it in each of our encodings, the best of several rounds."""
    moved = {"x": float32(1.3), "y": float32(3.7)}
    sizes = {
        "one port, two integers": {"port:3": {"stock": 940, "price": 23}},
        "one ship, two float32": {"ship:7": moved},
        "40 ships, two float32": {f"ship:{number}": dict(moved) for number in range(40)},
        "500 ships, two float32": {f"ship:{number}": dict(moved) for number in range(500)},
    }
    codecs = (("JSON", JSON), ("MessagePack", MSGPACK), ("compact", compact_codec(SCHEMA, STARTED)))
    return [
        {"change": name, **{column: encode_us(codec, Change(sets).message()) for column, codec in codecs}}
        for name, sets in sizes.items()
    ]


def encode_us(codec: Codec, message: outgoing.Delta) -> float:
    times = max(ENCODINGS_TIMED // len(message["set"]), 20)
    best = math.inf
    for _ in range(ENCODING_ROUNDS):
        began = time.process_time()
        for _ in range(times):
            codec.encode(message)
        best = min(best, time.process_time() - began)
    return best / times * 1e6


def table(title: str, columns: Sequence[str], lines: Sequence[Mapping[str, Any]], form: str) -> str:
    text = [f"{title:24}" + "".join(f"{column:>13}" for column in columns)]
    for line in lines:
        cells = ("-" if line[column] is None else format(line[column], form) for column in columns)
        text.append(f"{line['change']:24}" + "".join(f"{cell:>13}" for cell in cells))
    return "\n".join(text)


def main() -> None:
    print(table("bytes per delta", COLUMNS, rows(), "d"), end="\n\n")
    print(table("CPU us to encode", COLUMNS[:3], encoded(), ".2f"))


if __name__ == "__main__":
    main()
