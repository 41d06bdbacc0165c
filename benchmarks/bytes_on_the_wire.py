"""W5: bytes of the same changes of state in our encodings and the peers'. Nothing is random, so one round tells all."""

from __future__ import annotations

from benchmarks.bytes_per_delta import rows
from benchmarks.tables import BYTES

COLUMNS = {
    "JSON": "json",
    "MessagePack": "msgpack",
    "compact": "compact",
    "Colyseus": "colyseus",
    "socket.io": "socketio",
}


def count() -> None:
    if BYTES.rounds:
        return
    for row in rows():
        BYTES.add(row["change"], **{name: row.get(column) for column, name in COLUMNS.items()})
