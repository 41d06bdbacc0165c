"""The numbers of the compact encoding that both sides must agree on (docs/protocol.md, Compact)."""

from __future__ import annotations

from collections.abc import Mapping

COMPACT = "gameserver.v1.compact"

TYPES = (
    "welcome",
    "snapshot",
    "delta",
    "lost",
    "signal",
    "verify",
    "command_ack",
    "error",
    "left",
    "quality",
    "refreshed",
    "pong",
    "goodbye",
)
"""By number ([CMP2])."""
FIRST_HANDLE = 32
"""A message that begins with this or more is a short delta, and that the room's handle."""
SEQ_WINDOW = 128
"""A short delta says only its seq modulo this."""
MOST_FIELDS = 31
"""So many of a kind's fields have a bit; a group with others is written with names."""

Described = Mapping[str, Mapping[str, str]]
"""A schema as `welcome` has it: kind to field to type."""


def numbered(described: Described) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Kinds, and those of their fields that have a bit with whether they are float32, by number: sorted by UTF-8,
    for not every language keeps the order of a map ([CMP5])."""
    return [
        (
            kind,
            [(field, fields[field].rstrip("?") == "f32") for field in sorted(fields, key=str.encode)[:MOST_FIELDS]],
        )
        for kind, fields in sorted(described.items(), key=lambda item: item[0].encode())
    ]
