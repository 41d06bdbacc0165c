"""permessage-deflate without context (RFC 7692): each message is compressed for itself.

Without context a message is compressed once however many get it, and an idle connection keeps no window.
"""

from __future__ import annotations

import re
import zlib

NAME = "permessage-deflate"
ANSWER = f"{NAME}; server_no_context_takeover; client_no_context_takeover"
"""What the server agrees to."""

_TAIL = b"\0\0\xff\xff"
"""What a sender takes off (RFC 7692, 7.2.1)."""
_END = _TAIL + b"\1\0\0\xff\xff"
"""That, and an empty final block: deflated data that ends within a block does not end with this one."""
_ENDED_ITSELF = (_END, b"\0" + _END)
"""What is left over when the last block of a message was a final one, as it may be (RFC 7692, 7.2.3.4)."""
_WINDOW = 15
_BOUND = "server_max_window_bits"
_VALUES = {
    "server_no_context_takeover": ("",),
    "client_no_context_takeover": ("",),
    "client_max_window_bits": ("", *map(str, range(8, _WINDOW + 1))),
    _BOUND: (str(_WINDOW),),
}
"""The parameters there are, and the values we agree to; empty where none is given."""

_TOKEN = r"[\w!#$%&'*+.^`|~-]++"
_ASSIGNED = rf"{_TOKEN}(?:[ \t]*+=[ \t]*+(?:{_TOKEN}|\"{_TOKEN}\"))?+"
_OFFER = re.compile(
    rf"[ \t]*+(?:(?P<name>{_TOKEN})(?P<parameters>(?:[ \t]*+;[ \t]*+{_ASSIGNED})*)[ \t]*+)?+(?:,|\Z)", re.ASCII
)
_PARAMETER = re.compile(rf";[ \t]*+({_TOKEN})(?:[ \t]*+=[ \t]*+(\"?+{_TOKEN}\"?+))?+", re.ASCII)


class TooLarge(Exception):
    """More bytes than were allowed."""


class Undecodable(Exception):
    """Not deflated data."""


class Inflater:
    """Stateless; one serves all connections."""

    __slots__ = ()

    def inflate(self, payload: bytes, most: int) -> bytes:
        """The message. Raises TooLarge beyond `most` bytes, before more are made, and Undecodable: also for data that
        is cut off, or goes on behind a final block."""
        inflate = zlib.decompressobj(wbits=-_WINDOW)
        try:
            message = inflate.decompress(payload + _END, most + 1)
        except zlib.error as error:
            raise Undecodable(str(error)) from None
        if len(message) > most:
            raise TooLarge
        if not inflate.eof or (inflate.unused_data and inflate.unused_data not in _ENDED_ITSELF):
            raise Undecodable("the deflated data does not end where the message does")
        return message


def deflate(payload: bytes) -> bytes:
    """The payload of a compressed message (RFC 7692, 7.2.1)."""
    compress = zlib.compressobj(wbits=-_WINDOW)
    return (compress.compress(payload) + compress.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)


def largest_deflated(size: int) -> int:
    """Bytes that a message of `size` bytes may take deflated: what cannot be compressed grows, by 5 bytes a block."""
    return size + (size >> 8) + 64


def negotiate(offers: str) -> str | None:
    """The `Sec-WebSocket-Extensions` header that answers the client's; None where it offers nothing that we agree to.

    The first acceptable offer counts. One that asks for a smaller window of ours is declined: a message is compressed
    once, for all. Whatever window a client uses itself, ours reads it.
    """
    position = 0
    answers = []
    while position < len(offers):
        offer = _OFFER.match(offers, position)
        if offer is None:
            # The header is no list of extensions, so nothing in it is an offer (RFC 6455, 9.1).
            return None
        position = offer.end()
        if offer["name"] == NAME:
            answers.append(_answer(_PARAMETER.findall(offer["parameters"])))
    return next(filter(None, answers), None)


def _answer(parameters: list[tuple[str, str]]) -> str | None:
    """What an offer with these parameters is answered; None to decline it (RFC 7692, 7.1)."""
    given = {name: value.strip('"') for name, value in parameters}
    if len(given) < len(parameters) or not all(given[name] in _VALUES.get(name, ()) for name in given):
        return None
    # Who asks for a bound of our window is to be told that it holds.
    return f"{ANSWER}; {_BOUND}={_WINDOW}" if _BOUND in given else ANSWER
