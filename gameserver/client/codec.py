"""Which encodings a client offers, and its messages in the one that was taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from gameserver.errors import InvalidArgument
from gameserver.protocol.codec import CODECS, JSON, MSGPACK, Codec
from gameserver.protocol.compact_reader import CompactReader
from gameserver.protocol.compact_schema import COMPACT

Encoding = Literal["json", "msgpack", "compact"]

_OFFERS: dict[str, tuple[str, ...]] = {
    "json": (JSON.subprotocol,),
    "msgpack": (MSGPACK.subprotocol, JSON.subprotocol),
    "compact": (COMPACT, MSGPACK.subprotocol, JSON.subprotocol),
}


def offers(encoding: Encoding) -> list[str]:
    """The subprotocols to offer, the wanted one first ([HS2]). Raises ValueError for an unknown encoding."""
    try:
        return list(_OFFERS[encoding])
    except KeyError:
        raise ValueError(f"no encoding {encoding!r}: one of {', '.join(_OFFERS)}") from None


def codec_of(subprotocol: str | None) -> Codec:
    """What the server took, for one connection; with nothing taken JSON is spoken ([HS3])."""
    if subprotocol == COMPACT:
        return _compact()
    return JSON if subprotocol is None else CODECS[subprotocol]


def _compact() -> Codec:
    """What the client says is as in MessagePack; what it says hello with is where its short deltas start from."""
    reader = CompactReader()

    def encode(message: Mapping[str, Any]) -> bytes:
        if message.get("type") == "hello":
            reader.resume(message["rooms"])
        return MSGPACK.encode(message)

    return Codec(COMPACT, False, encode, reader.read)


def encode(codec: Codec, message: Mapping[str, Any]) -> bytes:
    """The payload of one message; bytes become `{"$bin": base64}` in JSON ([SIG4]).

    Raises InvalidArgument for what has no place on the wire.
    """
    try:
        return codec.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArgument(f"{message.get('type')} cannot be encoded: {error}") from None
