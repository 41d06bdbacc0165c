"""A signal as bytes on the bus: `[format, key, data, from]` in MessagePack. Never logged, never sequenced."""

from __future__ import annotations

from typing import Any

import msgspec

from gameserver.state.commit import PoisonCommit

FORMAT = 2
_PREFIX = bytes((0x94, FORMAT))
"""An array of four that begins with the format; a commit begins with an array inside an array."""


class _Signal(msgspec.Struct, array_like=True):
    format: int
    key: str
    data: Any
    sender: str | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Signal).decode


def encode_signal(key: str, data: Any, sender: str | None) -> bytes:
    return _encode(_Signal(FORMAT, key, data, sender))


def is_signal(payload: bytes) -> bool:
    return payload.startswith(_PREFIX)


def decode_signal(payload: bytes) -> tuple[str, Any, str | None]:
    """Key, data and sender. Raises PoisonCommit for anything else."""
    try:
        signal = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PoisonCommit(str(error)) from None
    return signal.key, signal.data, signal.sender
