"""Whether a token is genuine: one algorithm and one key per issuer, and nothing the token says about itself counts.

The issuer named in the payload picks the configured algorithm, key and audience; a header naming another
algorithm, a key of its own (`jwk`, `jku`, `x5u`, `x5c`) or an extension (`crit`) is refused, as are claims that
appear twice. Every refusal is the same `BadToken`, so that nothing about a token is logged or told.
"""

from __future__ import annotations

import binascii
import json
import secrets
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any

import jwt
from jwt.algorithms import get_default_algorithms
from msgspec.structs import replace

from gameserver.asgi.jwks import Fetch, PublishedKeys
from gameserver.errors import Forbidden, SettingsError
from gameserver.issuers import Issuer
from gameserver.sessions.claims import Claims, Role, read_claims
from gameserver.settings import Settings

MAX_TOKEN = 6 * 1024
"""The longest token read, in characters; with the rest of a header line it stays below 8 KiB."""
TYPES = frozenset(("jwt", "at+jwt", "application/at+jwt"))

_FORBIDDEN_HEADERS = frozenset(("crit", "b64", "jku", "jwk", "x5u", "x5c"))


class BadToken(Forbidden):
    """The token is not accepted; why is not told to anyone who could learn from it."""

    def __init__(self) -> None:
        super().__init__("the token is not accepted")


class TokenVerifier:
    """Verifies tokens of the given issuers; `leeway` is how many seconds clocks may differ."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        leeway: float = 2.0,
        *,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leeway = leeway
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._published = {
            issuer.issuer: PublishedKeys(issuer.jwks_url, issuer.algorithm, fetch=fetch, clock=clock)
            for issuer in issuers
            if issuer.jwks_url
        }
        algorithms = get_default_algorithms()
        self._algorithms = {issuer.issuer: algorithms[issuer.algorithm] for issuer in issuers}
        self._keys = {
            issuer.issuer: self._algorithms[issuer.issuer].prepare_key(issuer.key)
            for issuer in issuers
            if not issuer.jwks_url
        }

    async def verify(self, token: str) -> Claims:
        """The claims of a genuine token. Waits only for keys an issuer publishes. Raises BadToken."""
        try:
            return await self._verify(token)
        except Exception:
            # Whatever a token makes the libraries raise, the answer is the same, and so is what is kept: nothing.
            raise BadToken from None

    async def close(self) -> None:
        for published in self._published.values():
            await published.close()

    async def _verify(self, token: str) -> Claims:
        if len(token) > MAX_TOKEN or not token.isascii():
            raise BadToken
        header_part, payload_part, signature_part = token.split(".")
        header = _read_header(header_part)
        payload = _read_object(payload_part)
        issuer = self._issuers[payload["iss"]]
        _check_header(header, issuer)
        key = await self._key(issuer, header.get("kid"))
        signed = token[: -len(signature_part) - 1].encode()
        # The algorithm is the issuer's, whatever the header says: PyJWT's `decode` would do no more here, but four
        # times as slowly, as it reads header, payload and key anew.
        if not self._algorithms[issuer.issuer].verify(signed, key, _decode_part(signature_part)):
            raise BadToken
        _check_payload(payload, issuer, time.time(), self._leeway)
        claims = read_claims(payload)
        # A token without an id of its own can be logged out all the same. Of what was signed, because some signatures
        # have several spellings.
        return claims if claims.token_id else replace(claims, token_id=f"sha256:{sha256(signed).hexdigest()}")

    async def _key(self, issuer: Issuer, kid: str | None) -> Any:
        published = self._published.get(issuer.issuer)
        return self._keys[issuer.issuer] if published is None else await published.key(kid)


def _check_header(header: dict[str, Any], issuer: Issuer) -> None:
    token_type = header.get("typ", "JWT")
    kid = header.get("kid")
    if (
        header.get("alg") != issuer.algorithm
        or not _FORBIDDEN_HEADERS.isdisjoint(header)
        or not isinstance(token_type, str)
        or token_type.lower() not in TYPES
        or not (kid is None or isinstance(kid, str))
    ):
        raise BadToken


def _check_payload(payload: dict[str, Any], issuer: Issuer, now: float, leeway: float) -> None:
    """The registered claims (RFC 7519, 4.1) as far as they say whether the token is for us and for now; their
    types are read strictly afterwards (`read_claims`)."""
    audience = payload["aud"]
    audiences = audience if isinstance(audience, list) else [audience]
    if (
        not all(isinstance(each, str) for each in audiences)
        or issuer.audience not in audiences
        or int(payload["exp"]) <= now - leeway
        or any(int(payload[claim]) > now + leeway for claim in ("iat", "nbf") if claim in payload)
        or not isinstance(payload.get("jti", ""), str)
    ):
        raise BadToken


def _decode_part(part: str) -> bytes:
    """One part of a token: base64url in its one canonical form, the padding there or not. Raises ValueError."""
    bare = part.rstrip("=")
    padding = len(part) - len(bare)
    if padding and (padding > 2 or len(part) % 4):
        raise ValueError("wrong padding")
    standard = bare.encode().translate(_STANDARD_ALPHABET) + b"=" * (-len(bare) % 4)
    decoded = binascii.a2b_base64(standard, strict_mode=True)
    # The last character may have bits that count for nothing: of two spellings one must be refused.
    if binascii.b2a_base64(decoded, newline=False) != standard:
        raise ValueError("not canonical")
    return decoded


def _read_object(part: str) -> dict[str, Any]:
    parsed = _read_json(_decode_part(part).decode())
    if not isinstance(parsed, dict):
        raise BadToken
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadToken
    return members


def _refuse(constant: str) -> Any:
    raise BadToken


_STANDARD_ALPHABET = bytes.maketrans(b"-_+/", b"+/**")
"""From base64url to base64; what stands only in the latter becomes what stands in neither."""
_read_json = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse).decode
_read_header = lru_cache(maxsize=64)(_read_object)
"""All tokens of an issuer have the same few headers. What is read is not changed."""


def issue_token(
    settings: Settings,
    player: str,
    *,
    role: Role = "player",
    name: str | None = None,
    team: str | None = None,
    publish: Sequence[str] = (),
    lifetime: float = 3600.0,
    now: float | None = None,
) -> str:
    """A token signed with this server's own secret, valid for `lifetime` seconds from `now` (the wall clock's).

    Raises SettingsError when tokens are signed elsewhere, InvalidArgument for claims that would be refused.
    """
    signer = settings.signer
    if signer is None:
        raise SettingsError(["No token can be made here: there is no GAMESERVER_JWT_SECRET, others sign the tokens."])
    issued = int(time.time() if now is None else now)
    payload: dict[str, Any] = {
        "sub": player,
        "role": role,
        "iat": issued,
        "exp": issued + int(lifetime),
        "jti": secrets.token_urlsafe(12),
        "iss": signer.issuer,
        "aud": signer.audience,
    }
    if name is not None:
        payload["name"] = name
    if team is not None:
        payload["team"] = team
    if publish:
        payload["publish"] = list(publish)
    read_claims(payload)
    return jwt.encode(payload, signer.key, algorithm=signer.algorithm)
