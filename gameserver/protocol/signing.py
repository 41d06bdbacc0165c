"""Signed messages (docs/protocol.md, Signed messages): a number and a code of authentication before each payload.

Both ends derive the key from the token, which opened the connection, and from the welcome, which is each connection's
own. The code is HMAC-SHA256 (RFC 2104), cut to 16 bytes; the number only grows, so that nothing can be sent again.
"""

from __future__ import annotations

import base64
import binascii
import hmac

from gameserver.errors import BadMessage

SIGNED = "gameserver.v1.signed"
"""Offered as a subprotocol beside an encoding; it is never selected."""
MAC_SIZE = 16
NUMBER_SIZE = 8
HEAD_SIZE = MAC_SIZE + NUMBER_SIZE
TEXT_HEAD_SIZE = HEAD_SIZE * 4 // 3
"""Characters of it in base64url; nothing is padded."""

_LABEL = b"gameserver.v1.signed\0"


def signing_key(token: str, resume_token: str) -> bytes:
    """The key of the connection that `token` opened and on whose welcome `resume_token` came."""
    return hmac.digest(token.encode(), _LABEL + resume_token.encode(), "sha256")


class Signer:
    """Of one connection, at the client's end."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._number = 0

    def sign(self, payload: bytes, text: bool) -> bytes:
        """The payload of the frame to send."""
        self._number += 1
        number = self._number.to_bytes(NUMBER_SIZE, "big")
        head = _mac(self._key, number, payload) + number
        return (base64.urlsafe_b64encode(head) if text else head) + payload


class SignatureCheck:
    """Of one connection, at the server's end; `token` is the one that opened it."""

    __slots__ = ("_key", "_last", "_token")

    def __init__(self, token: str) -> None:
        self._token = token
        self._key = b""
        self._last = 0

    def begin(self, resume_token: str) -> None:
        """The welcome is about to be sent: from now on everything must be signed."""
        self._key = signing_key(self._token, resume_token)
        self._token = ""

    def open(self, payload: bytes, text: bool) -> bytes:
        """The message itself. Raises BadMessage for one that is not signed, was changed, or comes again."""
        head = payload[: TEXT_HEAD_SIZE if text else HEAD_SIZE]
        message = payload[len(head) :]
        if text:
            head = _decode(head)
        mac, number = head[:MAC_SIZE], head[MAC_SIZE:]
        if not self._key or len(head) != HEAD_SIZE or not hmac.compare_digest(mac, _mac(self._key, number, message)):
            raise BadMessage("the message is not signed as was agreed")
        counted = int.from_bytes(number, "big")
        if counted <= self._last:
            raise BadMessage("the message was sent before")
        self._last = counted
        return message


def _mac(key: bytes, number: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, number + payload, "sha256")[:MAC_SIZE]


def _decode(head: bytes) -> bytes:
    try:
        return base64.b64decode(head, altchars=b"-_", validate=True)
    except binascii.Error:
        return b""
