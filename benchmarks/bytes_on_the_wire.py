"""W5: bytes of the same changes of state in our encodings and the peers'. Nothing is random, so one round tells all."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from benchmarks.native import Unavailable
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
    if find_spec("benchmarks.bytes_per_delta") is None:
        raise Unavailable("benchmarks/bytes_per_delta.py is not there yet.")
    for row in import_module("benchmarks.bytes_per_delta").rows():
        BYTES.add(row["change"], **{name: row.get(column) for column, name in COLUMNS.items()})
