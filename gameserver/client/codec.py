"""Which encodings a client offers, and its messages in the one that was taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from gameserver.errors import InvalidArgument
from gameserver.protocol.codec import CODECS, JSON, MSGPACK, Codec

Encoding = Literal["json", "msgpack"]

_OFFERS: dict[str, tuple[Codec, ...]] = {"json": (JSON,), "msgpack": (MSGPACK, JSON)}


def offers(encoding: Encoding) -> list[str]:
    """The subprotocols to offer, the wanted one first ([HS2]). Raises ValueError for an unknown encoding."""
    try:
        return [codec.subprotocol for codec in _OFFERS[encoding]]
    except KeyError:
        raise ValueError(f"no encoding {encoding!r}: one of {', '.join(_OFFERS)}") from None


def codec_of(subprotocol: str | None) -> Codec:
    """What the server took; with nothing taken JSON is spoken ([HS3])."""
    return JSON if subprotocol is None else CODECS[subprotocol]


def encode(codec: Codec, message: Mapping[str, Any]) -> bytes:
    """The payload of one message; bytes become `{"$bin": base64}` in JSON ([SIG4]).

    Raises InvalidArgument for what has no place on the wire.
    """
    try:
        return codec.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArgument(f"{message.get('type')} cannot be encoded: {error}") from None
