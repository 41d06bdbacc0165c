"""Whether a WebSocket handshake is accepted, and how it is refused (docs/protocol.md, Connecting).

Cheap questions come first: nothing is verified for a caller that is too fast, comes from a foreign page or
asks for an encoding nobody speaks. A browser cannot read the status of a refused handshake; for an allowed
Origin a bad token or role is therefore accepted and closed at once with 4401 or 4403.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import parse_qsl, unquote_plus

from gameserver.asgi.addresses import Network, client_address
from gameserver.asgi.auth import BadToken
from gameserver.protocol.codes import Close
from gameserver.protocol.signing import SIGNED
from gameserver.sessions.claims import Claims, Role
from gameserver.sessions.ratelimit import KeyedBuckets
from gameserver.settings import Settings

Encoding = Literal["json", "msgpack", "compact"]

ENCODINGS: dict[str, Encoding] = {
    "gameserver.v1.json": "json",
    "gameserver.v1.msgpack": "msgpack",
    "gameserver.v1.compact": "compact",
}
"""The subprotocols that can be selected."""
TOKEN_PREFIX = "bearer."
RESUME_PREFIX = "resume."

MAX_HEADERS = 100
MAX_HEADER = 8000
"""In bytes, of one header or of the path with its query."""
MOST_CALLERS = 20_000
"""Addresses, and players, whose rates are kept; the longest unseen are forgotten first."""
CAPACITY_RETRY = 5.0
"""Seconds a client is asked to stay away from a full worker."""

_READ_HEADERS = (b"x-forwarded-for", b"origin", b"sec-websocket-protocol", b"authorization")
_TOKEN_NAMES = frozenset(
    (
        "token",
        "access_token",
        "accesstoken",
        "id_token",
        "auth_token",
        "authtoken",
        "refresh_token",
        "resume_token",
        "jwt",
        "bearer",
        "auth",
        "authorization",
        "authorisation",
        "x-token",
        "api_key",
        "apikey",
        "sec-websocket-protocol",
    )
)
_find_jwt = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.|\bbearer[ .]", re.IGNORECASE).search
_is_loopback_origin = re.compile(r"https?://(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?").fullmatch


class Rate(Protocol):
    """What counts handshakes (`gameserver.sessions.ratelimit.KeyedBuckets`)."""

    def take(self, key: str, now: float) -> float:
        """0 when allowed, else the seconds to wait."""


@dataclass(frozen=True, slots=True)
class HandshakeRequest:
    """As much of a handshake as the decision depends on; `role` is whom the endpoint is for."""

    role: Role
    address: str
    origins: tuple[str, ...] = ()
    subprotocols: tuple[str, ...] = ()
    authorizations: tuple[str, ...] = ()
    query: str = ""
    oversized: bool = False


@dataclass(frozen=True, slots=True)
class Accept:
    """`subprotocol` is None when the client offered no encoding; it then speaks JSON.

    With a `resume_token` (from `resume.<token>`) the client's `hello` is waited for. `signed_by` is the token when the
    client signs its messages, which it does with a key that is made of it.
    """

    subprotocol: str | None
    encoding: Encoding
    claims: Claims
    resume_token: str | None = None
    signed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Deny:
    """An HTTP answer instead of a WebSocket."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AcceptThenClose:
    """For browsers: accept with this subprotocol, close with this code, send nothing else."""

    subprotocol: str
    code: int
    reason: str


Decision = Accept | Deny | AcceptThenClose


def read_request(
    scope: MutableMapping[str, Any], role: Role, trusted_proxies: Sequence[Network] = ()
) -> HandshakeRequest:
    """The request in an ASGI scope of type `websocket`."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    read: dict[bytes, list[str]] = {name: [] for name in _READ_HEADERS}
    longest = 0
    for name, value in headers:
        longest = max(longest, len(name) + len(value))
        values = read.get(name.lower())
        if values is not None:
            values.append(value.decode("latin-1"))
    forwarded, origins, subprotocols, authorizations = map(tuple, read.values())
    query: bytes = scope.get("query_string") or b""
    path: bytes = scope.get("raw_path") or b""
    peer = scope.get("client")
    return HandshakeRequest(
        role=role,
        address=client_address(peer[0] if peer else None, forwarded, trusted_proxies),
        origins=origins,
        # From the header, not the scope's list: servers differ in how they take it apart.
        subprotocols=tuple(word.strip() for value in subprotocols for word in value.split(",") if word.strip()),
        authorizations=authorizations,
        query=query.decode("latin-1"),
        oversized=len(headers) > MAX_HEADERS or len(path) + len(query) > MAX_HEADER or longest > MAX_HEADER,
    )


class Gate:
    """Decides handshakes. `verify` raises BadToken; `has_room` is False when full or draining.

    `origins` is the exact list; when it is empty and `dev` is set, loopback origins pass.
    """

    def __init__(
        self,
        *,
        verify: Callable[[str], Awaitable[Claims]],
        per_address: Rate,
        per_player: Rate,
        has_room: Callable[[], bool],
        origins: Sequence[str] = (),
        dev: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verify = verify
        self._per_address = per_address
        self._per_player = per_player
        self._has_room = has_room
        self._origins = frozenset(origins)
        self._any_loopback = dev and not origins
        self._clock = clock

    async def decide(self, request: HandshakeRequest) -> Decision:
        refusal = self._refuse_early(request)
        if refusal is not None:
            return refusal
        subprotocol = select_encoding(request.subprotocols)
        if subprotocol is None and (request.origins or _unknown_encodings(request.subprotocols)):
            return Deny(400, f"Offer one of the subprotocols {', '.join(ENCODINGS)}.\n")
        resume = _after(RESUME_PREFIX, request.subprotocols)
        if len(resume) > 1:
            return Deny(400, "More than one resume token.\n")
        try:
            token = find_token(request)
            claims = await self._verify(token)
        except BadToken:
            return self._refuse(request, subprotocol, 401, Close.BAD_TOKEN, "The token is missing or not accepted.")
        if not self._has_room():
            # Keys may have to be fetched for a token: meanwhile the worker may have begun to drain.
            return _no_room()
        if claims.role != request.role:
            return self._refuse(request, subprotocol, 403, Close.NOT_ALLOWED, f"This endpoint is for {request.role}s.")
        wait = self._per_player.take(claims.player, self._clock())
        if wait > 0:
            return _later(429, wait, "Too many connections.")
        encoding = ENCODINGS[subprotocol] if subprotocol is not None else "json"
        signed_by = token if SIGNED in request.subprotocols else None
        return Accept(subprotocol, encoding, claims, resume[0] if resume else None, signed_by)

    def _refuse_early(self, request: HandshakeRequest) -> Deny | None:
        """What can be refused without looking at any token."""
        if request.oversized:
            return Deny(431, "The request's headers are too large.\n")
        wait = self._per_address.take(request.address, self._clock())
        if wait > 0:
            return _later(429, wait, "Too many connections.")
        if not self._has_room():
            return _no_room()
        if request.origins and not self._is_allowed(request.origins):
            return Deny(403, "The origin is not allowed.\n")
        return None

    def _is_allowed(self, origins: tuple[str, ...]) -> bool:
        if len(origins) != 1:
            return False
        return origins[0] in self._origins or (self._any_loopback and _is_loopback_origin(origins[0]) is not None)

    def _refuse(
        self, request: HandshakeRequest, subprotocol: str | None, status: int, code: Close, reason: str
    ) -> Deny | AcceptThenClose:
        if request.origins and subprotocol is not None:
            return AcceptThenClose(subprotocol, int(code), reason)
        headers = (("WWW-Authenticate", "Bearer"),) if status == 401 else ()
        return Deny(status, reason + "\n", headers)


def gate_of(settings: Settings, verify: Callable[[str], Awaitable[Claims]], has_room: Callable[[], bool]) -> Gate:
    """The gate that the settings describe. Rates allow two seconds' worth at once."""
    return Gate(
        verify=verify,
        per_address=KeyedBuckets(settings.handshakes_per_address, 2 * settings.handshakes_per_address, MOST_CALLERS),
        per_player=KeyedBuckets(settings.handshakes_per_player, 2 * settings.handshakes_per_player, MOST_CALLERS),
        has_room=has_room,
        origins=settings.origins,
        dev=settings.dev,
    )


def select_encoding(subprotocols: Sequence[str]) -> str | None:
    """The first known encoding in the client's order of preference."""
    return next((word for word in subprotocols if word in ENCODINGS), None)


def find_token(request: HandshakeRequest) -> str:
    """The one token of a request. Raises BadToken for none, several different ones, or one in the URL."""
    if has_token_in_query(request.query):
        raise BadToken
    tokens = set(_after(TOKEN_PREFIX, request.subprotocols))
    for authorization in request.authorizations:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise BadToken
        tokens.add(token.strip())
    if len(tokens) != 1:
        raise BadToken
    return tokens.pop()


def has_token_in_query(query: str) -> bool:
    """Whether a query string holds a token: by a parameter's name, or by anything in it that looks like one.

    URLs end up in logs and histories, so a token sent this way is spoilt.
    """
    if not query:
        return False
    # Twice: a value may have been escaped once more by some redirect.
    decoded = unquote_plus(unquote_plus(query))
    if _find_jwt(query) or _find_jwt(decoded):
        return True
    names = (name.strip().lower() for name, _ in parse_qsl(query.replace(";", "&"), keep_blank_values=True))
    return any(name in _TOKEN_NAMES for name in names)


def _after(prefix: str, words: Sequence[str]) -> list[str]:
    """What follows the prefix, of each different word that has it."""
    return list(dict.fromkeys(word[len(prefix) :] for word in words if word.startswith(prefix)))


def _unknown_encodings(subprotocols: Sequence[str]) -> bool:
    return any(word != SIGNED and not word.startswith((TOKEN_PREFIX, RESUME_PREFIX)) for word in subprotocols)


def _no_room() -> Deny:
    return _later(503, CAPACITY_RETRY, "This worker takes no more connections.")


def _later(status: int, wait: float, body: str) -> Deny:
    return Deny(status, body + "\n", (("Retry-After", str(max(1, math.ceil(wait)))),))
