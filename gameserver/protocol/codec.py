"""The two encodings that carry maps; only binary values look different in them: bin in MessagePack,
`{"$bin": base64}` in JSON (docs/protocol.md, Messages). The third one is `gameserver.protocol.compact`.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import msgspec
import orjson

from gameserver.errors import BadMessage
from gameserver.protocol.deflate import deflate
from gameserver.protocol.frames import encode_frame
from gameserver.protocol.handles import Handles

BINARY_KEY = "$bin"
WORTH_DEFLATING = 128
"""Bytes; what is shorter hardly shrinks."""


class Codec:
    """One encoding. `text` tells whether its messages travel in text frames."""

    encode: Callable[[Any], bytes]
    """The payload of a message. Bytes may stand anywhere in it; NaN and infinities must not."""
    handles: Handles | None = None
    """Where rooms have their short names, in an encoding that has them: held for whoever is told of a room."""

    def __init__(
        self, subprotocol: str, text: bool, encode: Callable[[Any], bytes], read: Callable[[bytes], Any]
    ) -> None:
        self.subprotocol = subprotocol
        self.text = text
        self.encode = encode
        self._read = read

    @cached_property
    def deflated(self) -> Codec:
        """The same encoding in compressed frames; one object, so that members who have it share frames too."""
        return Deflated(self)

    def __repr__(self) -> str:
        return f"Codec({self.subprotocol!r})"

    def frame(self, message: Any) -> bytes:
        """The message as one ready-made server frame."""
        return encode_frame(self.encode(message), self.text)

    def decode(self, payload: bytes) -> dict[str, Any]:
        """A message of the server, read by a client; binary in a signal's data is bytes again.

        Nothing is validated beyond its being a map: what a server reads goes through
        `gameserver.protocol.incoming`. Raises BadMessage.
        """
        try:
            message = self._read(payload)
        except (ValueError, RecursionError, msgspec.DecodeError) as error:
            raise BadMessage(f"not a message in {self.subprotocol}: {error}") from None
        if type(message) is not dict:
            raise BadMessage("not a map")
        if self.text and message.get("type") == "signal":
            message["data"] = restore_binary(message.get("data"))
        return message


class Deflated(Codec):
    """An encoding for clients with whom permessage-deflate was agreed (RFC 7692), without context: a message is
    compressed once, whoever gets it."""

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec.subprotocol, codec.text, codec.encode, codec._read)
        self.handles = codec.handles

    def frame(self, message: Any) -> bytes:
        payload = self.encode(message)
        if len(payload) < WORTH_DEFLATING:
            return encode_frame(payload, self.text)
        return encode_frame(deflate(payload), self.text, compressed=True)


def binary_of(mapping: Mapping[str, Any]) -> bytes:
    """The bytes that `{"$bin": base64}` stands for. Raises ValueError when it is not exactly that."""
    encoded = mapping[BINARY_KEY]
    if len(mapping) != 1 or type(encoded) is not str:
        raise ValueError(f"{BINARY_KEY} stands alone in its map, beside a base64 string")
    return binascii.a2b_base64(encoded, strict_mode=True)


def restore_binary(value: Any) -> Any:
    """A copy of a JSON value in which every `{"$bin": base64}` is bytes. Raises BadMessage for bad base64."""
    if type(value) is list:
        return [restore_binary(item) for item in value]
    if type(value) is dict:
        if BINARY_KEY not in value:
            return {key: restore_binary(item) for key, item in value.items()}
        try:
            return binary_of(value)
        except ValueError as error:
            raise BadMessage(str(error)) from None
    return value


def _json_binary(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return {BINARY_KEY: binascii.b2a_base64(value, newline=False).decode()}
    raise TypeError(f"{type(value).__name__} has no place on the wire")


JSON = Codec("gameserver.v1.json", True, partial(orjson.dumps, default=_json_binary), orjson.loads)
MSGPACK = Codec("gameserver.v1.msgpack", False, msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode)

CODECS = {codec.subprotocol: codec for codec in (JSON, MSGPACK)}
"""By the name a client offers in the handshake."""
