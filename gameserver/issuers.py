"""Whose tokens are accepted: each issuer with its one algorithm, its key and our audience there.

Several issuers are named by a JSON file (`GAMESERVER_JWT_ISSUERS`), a list of objects:

    [{"issuer": "https://id.example", "algorithm": "RS256", "audience": "game",
      "jwks_url": "https://id.example/keys.json"},
     {"issuer": "partner", "algorithm": "ES256", "key": "-----BEGIN PUBLIC KEY-----..."},
     {"issuer": "tools", "algorithm": "HS256", "secret": "at least thirty-two bytes ..."}]

`issuer` and `algorithm` are required; of `secret` (HS algorithms), `key` (a public key as PEM) and `jwks_url`
exactly one; `audience` is GAMESERVER_JWT_AUDIENCE where it is left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt import InvalidKeyError
from jwt.algorithms import HMACAlgorithm, get_default_algorithms

SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The shortest secret allowed, the size of the hash (RFC 7518, 3.2)."""
ALGORITHMS = frozenset((*SECRET_BYTES, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
ALGORITHMS |= frozenset(("ES256", "ES384", "ES512", "EdDSA"))
RSA_BITS = 2048
LOOPBACK_HOSTS = frozenset(("localhost", "127.0.0.1", "::1"))

_CURVES: dict[str, type[ec.EllipticCurve]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
_MEMBERS = frozenset(("issuer", "algorithm", "audience", "secret", "key", "jwks_url"))


@dataclass(frozen=True, slots=True)
class Issuer:
    """`key` is the secret of an HS algorithm or a public key as PEM; empty when keys come from `jwks_url`."""

    issuer: str
    algorithm: str
    audience: str
    key: str = field(default="", repr=False)
    jwks_url: str = ""

    @property
    def symmetric(self) -> bool:
        return self.algorithm in SECRET_BYTES


def read_issuers(path: str, audience: str) -> tuple[list[Issuer], list[str]]:
    """The issuers of a file and the faults found in it, one sentence each; faulty issuers are left out."""
    try:
        entries = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        # The text of a JSON error may quote the file, and the file holds secrets.
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        return [], [f"The issuers file {path!r} cannot be read: {reason}."]
    if not isinstance(entries, list) or not entries:
        return [], [f"The issuers file {path!r} must hold a list of at least one issuer."]
    issuers: list[Issuer] = []
    faults: list[str] = []
    for index, entry in enumerate(entries):
        issuer, found = _read_entry(entry, audience)
        faults += [f"Issuer {index} of {path!r}: {fault}" for fault in found]
        if issuer is not None and not found:
            issuers.append(issuer)
    return issuers, faults


def _read_entry(entry: Any, audience: str) -> tuple[Issuer | None, list[str]]:
    if not isinstance(entry, dict) or not all(isinstance(value, str) and value for value in entry.values()):
        return None, ["it must be an object of non-empty strings."]
    faults = [f"{member!r} is not known." for member in sorted(entry.keys() - _MEMBERS)]
    faults += [f"{member!r} is missing." for member in ("issuer", "algorithm") if member not in entry]
    given = [member for member in ("secret", "key", "jwks_url") if member in entry]
    if len(given) != 1:
        faults.append("it needs exactly one of 'secret', 'key' and 'jwks_url'.")
    if faults:
        return None, faults
    issuer = Issuer(
        issuer=entry["issuer"],
        algorithm=entry["algorithm"],
        audience=entry.get("audience", audience),
        key=entry.get("secret") or entry.get("key") or "",
        jwks_url=entry.get("jwks_url", ""),
    )
    if issuer.symmetric != ("secret" in entry):
        return None, [f"{issuer.algorithm} does not go with {given[0]!r}."]
    return issuer, check_issuer(issuer)


def check_issuer(issuer: Issuer) -> list[str]:
    """What keeps this issuer's tokens from being verified safely, one sentence each."""
    algorithm = issuer.algorithm
    if algorithm not in ALGORITHMS:
        return [f"the algorithm {algorithm!r} is not one of {', '.join(sorted(ALGORITHMS))}."]
    if issuer.jwks_url:
        return _check_url(issuer)
    try:
        key = get_default_algorithms()[algorithm].prepare_key(issuer.key)
    except (InvalidKeyError, ValueError, TypeError):
        what = "secret" if issuer.symmetric else "public key"
        return [f"the key is not a {what} fit for {algorithm}."]
    if isinstance(get_default_algorithms()[algorithm], HMACAlgorithm):
        needed = SECRET_BYTES[algorithm]
        return [f"the secret is shorter than the {needed} bytes {algorithm} needs."] if len(key) < needed else []
    fault = key_fault(key, algorithm)
    return [fault] if fault is not None else []


def key_fault(key: Any, algorithm: str) -> str | None:
    """Why a public key cannot be trusted to verify this algorithm, or None."""
    if hasattr(key, "private_bytes"):
        return "the key is a private one: only its public half belongs here."
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < RSA_BITS:
        return f"the RSA key is shorter than {RSA_BITS} bits."
    if isinstance(key, ec.EllipticCurvePublicKey) and not isinstance(key.curve, _CURVES[algorithm]):
        return f"the key lies on another curve than {algorithm} takes."
    return None


def _check_url(issuer: Issuer) -> list[str]:
    if issuer.symmetric:
        return [f"{issuer.algorithm} takes a secret: keys from a JWKS URL are public."]
    try:
        url = urlsplit(issuer.jwks_url)
        host = url.hostname
    except ValueError:
        host = None
    if not host or not (url.scheme == "https" or (url.scheme == "http" and host in LOOPBACK_HOSTS)):
        return ["the JWKS URL must begin with https:// (http:// on loopback alone)."]
    return []
