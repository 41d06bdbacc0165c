"""permessage-deflate without context (RFC 7692): each message is compressed for itself.

Without context a message is compressed once however many get it, and an idle connection keeps no window.
"""

from __future__ import annotations

import zlib

NAME = "permessage-deflate"
ANSWER = f"{NAME}; server_no_context_takeover; client_no_context_takeover"
"""What the server agrees to."""

_TAIL = b"\0\0\xff\xff"
_WINDOW = 15
_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")


class TooLarge(Exception):
    """More bytes than were allowed."""


class Undecodable(Exception):
    """Not deflated data."""


class Inflater:
    """Stateless; one serves all connections."""

    __slots__ = ()

    def inflate(self, payload: bytes, most: int) -> bytes:
        """The message. Raises TooLarge beyond `most` bytes, before more are made, and Undecodable."""
        inflate = zlib.decompressobj(wbits=-_WINDOW)
        try:
            message = inflate.decompress(payload + _TAIL, most + 1)
        except zlib.error as error:
            raise Undecodable(str(error)) from None
        if len(message) > most:
            raise TooLarge
        return message


def deflate(payload: bytes) -> bytes:
    """The payload of a compressed message (RFC 7692, 7.2.1)."""
    compress = zlib.compressobj(wbits=-_WINDOW)
    return (compress.compress(payload) + compress.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)


def accepts(offers: str) -> bool:
    """Whether a `Sec-WebSocket-Extensions` header offers what we agree to.

    An offer that asks for a smaller window of ours is declined: a message is compressed once, for all. Whatever
    window a client uses itself, ours reads it.
    """
    return any(map(_is_acceptable, offers.split(",")))


def _is_acceptable(offer: str) -> bool:
    name, *parameters = (part.strip() for part in offer.split(";"))
    seen: set[str] = set()
    for parameter in parameters:
        key, equals, value = (part.strip() for part in parameter.partition("="))
        if key in seen or not _is_known(key, bool(equals), value.strip('"')):
            return False
        seen.add(key)
    return name == NAME


def _is_known(key: str, given: bool, value: str) -> bool:
    if key in _FLAGS:
        return not given
    if key == "client_max_window_bits":
        return not given or _is_window(value)
    return key == "server_max_window_bits" and given and _is_window(value) and int(value) == _WINDOW


def _is_window(value: str) -> bool:
    return value.isascii() and value.isdigit() and not value.startswith("0") and 8 <= int(value) <= _WINDOW
