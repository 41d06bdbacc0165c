import base64
import json
import logging
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gameserver.asgi.auth import MAX_TOKEN, BadToken, TokenVerifier, issue_token
from gameserver.errors import InvalidArgument, SettingsError
from gameserver.issuers import Issuer
from gameserver.settings import Settings

SECRET = "a secret of at least thirty-two bytes"
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def pem(key):
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


ISSUERS = [
    Issuer("home", "HS256", "game", SECRET),
    Issuer("rsa", "RS256", "game", pem(RSA_KEY)),
    Issuer("ec", "ES256", "other-game", pem(EC_KEY)),
    Issuer("ed", "EdDSA", "game", pem(ED_KEY)),
]


@pytest.fixture
def verifier():
    """A verifier of four issuers, each with another algorithm."""
    return TokenVerifier(ISSUERS)


def payload(**claims):
    good = {"sub": "ann", "exp": int(time.time()) + 3600, "aud": "game", "iss": "home"} | claims
    return {claim: value for claim, value in good.items() if value is not ...}


def encode(part):
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header, body, secret=SECRET):
    """A token with exactly these bytes, signed with HS256 whatever its header says."""
    signing_input = f"{encode(header)}.{encode(body)}"
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        signing_input.encode(), secret.encode()
    )
    return f"{signing_input}.{encode(signature)}"


def respelled(token):
    """The same bytes for a reader that does not mind the bits of the last character that count for nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


HS256 = {"alg": "HS256", "typ": "JWT"}


@pytest.mark.parametrize(
    ("issuer", "key", "algorithm", "audience"),
    [
        ("home", SECRET, "HS256", "game"),
        ("home", SECRET, "HS256", ["else", "game"]),
        ("rsa", RSA_KEY, "RS256", "game"),
        ("ec", EC_KEY, "ES256", "other-game"),
        ("ed", ED_KEY, "EdDSA", "game"),
    ],
)
async def test_good_tokens(verifier, issuer, key, algorithm, audience):
    """Every issuer's own algorithm and audience pass."""
    claims = await verifier.verify(jwt.encode(payload(iss=issuer, aud=audience), key, algorithm=algorithm))
    assert (claims.player, claims.issuer) == ("ann", issuer)


@pytest.mark.parametrize("typ", [..., "JWT", "jwt", "at+jwt", "application/at+jwt"])
async def test_types_of_token(verifier, typ):
    """A plain JWT, an access token, or nothing said."""
    header = {"alg": "HS256"} | ({} if typ is ... else {"typ": typ})
    assert (await verifier.verify(signed(header, payload()))).player == "ann"


BODY = json.dumps(payload()).encode()
BAD = {
    "empty": "",
    "not a token": "hello",
    "two parts": "a.b",
    "four parts": signed(HS256, payload()) + ".x",
    "not ascii": signed(HS256, payload()) + "é",
    "unsigned": f"{encode(HS256)}.{encode(payload())}.",
    "none": f"{encode({'alg': 'none'})}.{encode(payload())}.",
    "nOnE": f"{encode({'alg': 'nOnE'})}.{encode(payload())}.",
    "no algorithm": signed({"typ": "JWT"}, payload()),
    "another algorithm": jwt.encode(payload(), SECRET * 2, algorithm="HS512"),
    "signed with the public key": signed(HS256, payload(iss="rsa"), pem(RSA_KEY)),
    "public key, pinned name": signed({"alg": "RS256"}, payload(iss="rsa"), pem(RSA_KEY)),
    "another secret": signed(HS256, payload(), "another secret of thirty-two bytes!!"),
    "one issuer's key for another": jwt.encode(payload(iss="home"), RSA_KEY, algorithm="RS256"),
    "one issuer's key for another of its kind": jwt.encode(payload(iss="rsa"), EC_KEY, algorithm="ES256"),
    "another issuer's audience": jwt.encode(payload(iss="ec"), EC_KEY, algorithm="ES256"),
    "crit": signed(HS256 | {"crit": ["exp"], "exp": 1}, payload()),
    "crit b64": signed(HS256 | {"crit": ["b64"], "b64": True}, payload()),
    "empty crit": signed(HS256 | {"crit": []}, payload()),
    "jku": signed(HS256 | {"jku": "https://evil.example/keys"}, payload()),
    "jwk": signed(HS256 | {"jwk": {"kty": "oct", "k": "AAAA"}}, payload()),
    "x5u": signed(HS256 | {"x5u": "https://evil.example/cert"}, payload()),
    "x5c": signed(HS256 | {"x5c": ["AAAA"]}, payload()),
    "kid of another type": signed(HS256 | {"kid": {"a": 1}}, payload()),
    "wrong typ": signed(HS256 | {"typ": "JOSE"}, payload()),
    "typ of another type": signed(HS256 | {"typ": 1}, payload()),
    "header is a list": signed(b'["HS256"]', payload()),
    "doubled header": signed(b'{"alg":"HS256","alg":"HS256"}', payload()),
    "payload is a list": signed(HS256, b"[]"),
    "payload is not JSON": signed(HS256, b"{"),
    "payload is not UTF-8": signed(HS256, b'{"sub":"\xff"}'),
    "deep payload": signed(HS256, b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}"),
    "doubled claims": signed(HS256, BODY[:-1] + b',"sub":"bob"}'),
    "doubled claims inside": signed(HS256, BODY[:-1] + b',"x":{"a":1,"a":2}}'),
    "NaN": signed(HS256, BODY[:-1] + b',"x":NaN}'),
    "exp NaN": signed(HS256, b'{"sub":"ann","aud":"game","iss":"home","exp":NaN}'),
    "exp infinite": signed(HS256, b'{"sub":"ann","aud":"game","iss":"home","exp":1e400}'),
    "exp a string": signed(HS256, payload(exp=str(int(time.time()) + 60))),
    "exp true": signed(HS256, payload(exp=True)),
    "exp null": signed(HS256, payload(exp=None)),
    "exp huge": signed(HS256, payload(exp=10**300)),
    "no exp": signed(HS256, payload(exp=...)),
    "exp past": signed(HS256, payload(exp=int(time.time()) - 10)),
    "nbf to come": signed(HS256, payload(nbf=int(time.time()) + 1000)),
    "iat to come": signed(HS256, payload(iat=int(time.time()) + 1000)),
    "no aud": signed(HS256, payload(aud=...)),
    "wrong aud": signed(HS256, payload(aud="game2")),
    "aud prefix": signed(HS256, payload(aud="gam")),
    "empty aud": signed(HS256, payload(aud="")),
    "empty list aud": signed(HS256, payload(aud=[])),
    "aud of mixed types": signed(HS256, payload(aud=["game", 1])),
    "no iss": signed(HS256, payload(iss=...)),
    "iss prefix": signed(HS256, payload(iss="hom")),
    "iss longer": signed(HS256, payload(iss="home.evil.example")),
    "iss list": signed(HS256, payload(iss=["home"])),
    "no sub": signed(HS256, payload(sub=...)),
    "empty sub": signed(HS256, payload(sub="")),
    "NUL sub": signed(HS256, payload(sub="ann\0")),
    "number sub": signed(HS256, payload(sub=7)),
    "sub as path": signed(HS256, payload(sub="../bob")),
    "role unknown": signed(HS256, payload(role="root")),
    "other spelling of the signature": respelled(signed(HS256, payload())),
    "base64, not base64url": signed(HS256, payload()).replace("-", "+").replace("_", "/") + "+",
    "padding too long": signed(HS256, payload()) + "==",
    "spaces": " " + signed(HS256, payload()),
    "line break": signed(HS256, payload()) + "\n",
    "no claims": signed(HS256, b"{}"),
    "null aud": signed(HS256, payload(aud=None)),
    "jti null": signed(HS256, payload(jti=None)),
    "jti a number": signed(HS256, payload(jti=1)),
    "nbf null": signed(HS256, payload(nbf=None)),
    "iat a string": signed(HS256, payload(iat="1")),
    "7 kB": signed(HS256, payload(x="y" * 5200)),
    "1 MB": "x" * 1_000_000,
}


@pytest.mark.parametrize("token", BAD.values(), ids=BAD.keys())
async def test_bad_tokens_are_all_refused_alike(verifier, token, caplog):
    """One exception with one text, no cause to leak, nothing logged."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(BadToken) as caught:
        await verifier.verify(token)
    assert str(caught.value) == "the token is not accepted"
    assert caught.value.__cause__ is None
    assert not caplog.records


async def test_a_long_token_that_fits(verifier):
    """Identity providers' tokens of a few kilobytes pass."""
    token = signed(HS256, payload(groups="g" * 3000))
    assert 4000 < len(token) <= MAX_TOKEN
    assert (await verifier.verify(token)).player == "ann"


async def test_a_padded_token(verifier):
    """Some issuers pad their parts, against the RFC; the signature is over what was sent."""
    header, body = (encode(part) + "=" * (-len(encode(part)) % 4) for part in (HS256, payload(x="y")))
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        f"{header}.{body}".encode(), SECRET.encode()
    )
    assert (await verifier.verify(f"{header}.{body}.{encode(signature)}=")).player == "ann"


@pytest.mark.parametrize(
    "claims",
    [
        lambda now: {"aud": ["game", "other"]},
        lambda now: {"exp": now + 60.5, "iat": now - 0.5, "nbf": 0},
        lambda now: {"exp": now + 60, "iat": int(now) + 1},
        lambda now: {"jti": "t-1", "sub": "ann@example.com"},
    ],
)
async def test_as_strict_as_the_library(verifier, claims):
    """What passes here passes PyJWT's own `decode` as well."""
    token = signed(HS256, payload(**claims(time.time())))
    claimed = await verifier.verify(token)
    decoded = jwt.decode(token, SECRET, algorithms=["HS256"], audience="game", issuer="home", leeway=2)
    assert (claimed.player, claimed.expires) == (decoded["sub"], decoded["exp"])


async def test_leeway():
    """Clocks may differ by the leeway and no more."""
    token = signed(HS256, payload(exp=int(time.time()) - 5))
    assert (await TokenVerifier(ISSUERS, leeway=60).verify(token)).player == "ann"
    with pytest.raises(BadToken):
        await TokenVerifier(ISSUERS, leeway=0).verify(token)


async def test_issued_tokens_verify():
    """What the server issues, the server accepts, with all claims given."""
    settings = Settings.load({"GAMESERVER_DEV": "1", "GAMESERVER_JWT_ALGORITHM": "HS512"})
    token = issue_token(settings, "ann", role="service", name="Ann", team="red", publish=["sector:*"], lifetime=60)
    claims = await TokenVerifier(settings.issuers).verify(token)
    assert (claims.player, claims.role, claims.name, claims.team) == ("ann", "service", "Ann", "red")
    assert claims.publish == ("sector:*",)
    assert claims.token_id
    assert claims.expires == pytest.approx(time.time() + 60, abs=5)


def test_what_cannot_be_issued():
    """No token for a name that would be refused, and none where others sign."""
    with pytest.raises(InvalidArgument):
        issue_token(Settings.load({"GAMESERVER_DEV": "1"}), "a b")
    elsewhere = {"GAMESERVER_JWT_JWKS_URL": "https://id.example/keys", "GAMESERVER_JWT_ALGORITHM": "RS256"}
    with pytest.raises(SettingsError):
        issue_token(Settings.load(elsewhere), "ann")
