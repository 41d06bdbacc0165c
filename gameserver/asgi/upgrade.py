"""The opening handshake of RFC 6455, section 4.2: what a request must be, and the two answers to it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

Headers = Sequence[tuple[bytes, bytes]]

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, 1.3."""
VERSION = b"13"
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request to become a WebSocket, as HTTP's parser read it; header names in lower case."""

    method: bytes
    target: bytes
    headers: Headers

    def values(self, name: bytes) -> list[bytes]:
        return [value.strip() for key, value in self.headers if key == name]


class BadUpgrade(Exception):
    """`answer` is the HTTP response that says why."""

    def __init__(self, status: HTTPStatus, body: str, headers: Headers = ()) -> None:
        super().__init__(body)
        self.answer = response(status, headers, body.encode())


def accept_key(upgrade: Upgrade) -> bytes:
    """The value of Sec-WebSocket-Accept. Raises BadUpgrade."""
    if upgrade.method != b"GET":
        raise BadUpgrade(HTTPStatus.METHOD_NOT_ALLOWED, "A WebSocket is opened by GET.\n", [(b"Allow", b"GET")])
    versions, keys = upgrade.values(b"sec-websocket-version"), upgrade.values(b"sec-websocket-key")
    if len(versions) == 1 and versions[0] != VERSION:
        raise BadUpgrade(
            HTTPStatus.UPGRADE_REQUIRED,
            "Version 13 of the WebSocket protocol is spoken here.\n",
            [(b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", VERSION)],
        )
    if len(versions) != 1:
        raise BadUpgrade(HTTPStatus.BAD_REQUEST, "There must be one Sec-WebSocket-Version.\n")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise BadUpgrade(HTTPStatus.BAD_REQUEST, "There must be one Sec-WebSocket-Key, of 16 bytes in base64.\n")
    # SHA-1 is what the protocol asks for; nothing here relies on it being hard to collide.
    return base64.b64encode(hashlib.sha1(keys[0] + GUID, usedforsecurity=False).digest())


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False


def switching(accept: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The answer that makes the connection a WebSocket. Raises ValueError for a header that would break it."""
    return b"".join((_SWITCHING, accept, b"\r\n", _lines(headers), b"\r\n"))


def response(status: int, headers: Headers, body: bytes) -> bytes:
    """An HTTP answer after which the connection ends. Raises ValueError for a header that would break it."""
    try:
        phrase = HTTPStatus(status).phrase.encode()
    except ValueError:
        phrase = b""
    given = {name.lower() for name, _ in headers}
    more = [
        (name, value)
        for name, value in (
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        )
        if name not in given
    ]
    return b"".join((b"HTTP/1.1 %d %b\r\n" % (status, phrase), _lines([*headers, *more]), b"\r\n", body))


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    lines = [b"%b: %b" % header for header in headers]
    if any(b"\r" in line or b"\n" in line for line in lines):
        raise ValueError("a header holds a line break")
    return b"".join(line + b"\r\n" for line in lines)
