import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from gameserver.asgi import jwks
from gameserver.asgi.auth import BadToken, TokenVerifier
from gameserver.asgi.jwks import PublishedKeys, fetch_document, read_keys
from gameserver.issuers import Issuer

OLD = ec.generate_private_key(ec.SECP256R1())
NEW = ec.generate_private_key(ec.SECP256R1())


def jwk(key, kid, **members):
    return ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid} | members


class Publisher:
    """An issuer's key endpoint and clock, both in the test's hands."""

    def __init__(self, *keys):
        self.now = 1000.0
        self.keys = list(keys)
        self.failing = False
        self.fetched = 0

    def fetch(self, url):
        self.fetched += 1
        if self.failing:
            raise OSError("down")
        return json.dumps({"keys": self.keys}).encode()

    def published_keys(self):
        return PublishedKeys("https://id.example/keys", "ES256", fetch=self.fetch, clock=lambda: self.now)


async def test_keys_are_fetched_once_for_many():
    """A thousand first tokens at once are one fetch."""
    publisher = Publisher(jwk(OLD, "old"))
    keys = publisher.published_keys()
    found = await asyncio.gather(*(keys.key("old") for _ in range(1000)))
    assert len(set(map(id, found))) == 1
    assert publisher.fetched == 1


async def test_unknown_kids_fetch_at_most_once_per_interval():
    """Ten thousand invented key ids cost one fetch per 30 s, and the known key stays usable."""
    publisher = Publisher(jwk(OLD, "old"))
    keys = publisher.published_keys()
    await keys.key("old")
    for number in range(10_000):
        publisher.now += 0.005
        with pytest.raises(KeyError):
            await keys.key(f"kid{number}")
    assert publisher.fetched == 2
    await keys.key("old")


async def test_old_keys_are_kept_while_the_fetch_fails():
    """An issuer that is down takes nobody's key away, and is asked again only after the interval."""
    publisher = Publisher(jwk(OLD, "old"))
    keys = publisher.published_keys()
    await keys.key("old")
    publisher.failing = True
    publisher.now += 10 * jwks.FRESH
    assert await keys.key("old")
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    assert keys.failures == 1
    assert await keys.key("old")
    with pytest.raises(KeyError):
        await keys.key("new")
    assert publisher.fetched == 2
    publisher.failing = False
    publisher.keys.append(jwk(NEW, "new"))
    publisher.now += jwks.INTERVAL
    assert await keys.key("new")
    assert publisher.fetched == 3


async def test_a_replaced_key_verifies_for_the_overlap():
    """After a rotation both keys verify; the withdrawn one goes when the overlap is over."""
    publisher = Publisher(jwk(OLD, "old"))
    keys = publisher.published_keys()
    await keys.key("old")
    publisher.keys = [jwk(NEW, "new")]
    publisher.now += jwks.INTERVAL
    assert await keys.key("new")
    assert await keys.key("old")
    publisher.now += jwks.OVERLAP
    with pytest.raises(KeyError):
        await keys.key("never")
    with pytest.raises(KeyError):
        await keys.key("old")


async def test_a_token_without_kid_needs_a_single_key():
    """With two keys published, one must be named."""
    publisher = Publisher(jwk(OLD, "old"))
    keys = publisher.published_keys()
    assert await keys.key(None)
    publisher = Publisher(jwk(OLD, "old"), jwk(NEW, "new"))
    with pytest.raises(KeyError):
        await publisher.published_keys().key(None)


async def test_tokens_are_verified_with_published_keys():
    """The whole way: issuer, kid, key, claims; a kid that names another's key is refused."""
    publisher = Publisher(jwk(OLD, "old"), jwk(NEW, "new"))
    issuer = Issuer("id", "ES256", "game", jwks_url="https://id.example/keys")
    verifier = TokenVerifier([issuer], fetch=publisher.fetch, clock=lambda: publisher.now)
    body = {"sub": "ann", "exp": int(time.time()) + 60, "aud": "game", "iss": "id"}
    assert (await verifier.verify(jwt.encode(body, NEW, "ES256", {"kid": "new"}))).player == "ann"
    for headers in ({"kid": "old"}, {"kid": "../etc"}, None):
        with pytest.raises(BadToken):
            await verifier.verify(jwt.encode(body, NEW, "ES256", headers))
    await verifier.close()


def test_only_fitting_keys_are_read():
    """Encryption keys, other algorithms, other curves, secrets and private keys are passed over."""
    weak = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
    entries = [
        jwk(OLD, "good"),
        jwk(OLD, "enc", use="enc"),
        jwk(OLD, "alg", alg="ES384"),
        jwk(ec.generate_private_key(ec.SECP384R1()), "curve"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"},
        ECAlgorithm.to_jwk(OLD, as_dict=True) | {"kid": "private"},
        jwk(OLD, 7),
        "junk",
        {},
    ]
    assert set(read_keys(json.dumps({"keys": entries}).encode(), "ES256")) == {"good"}
    with pytest.raises(ValueError, match="no key fit"):
        read_keys(json.dumps({"keys": [weak]}).encode(), "RS256")
    for junk in (b"", b"[]", b'{"keys": 1}', b'{"keys": []}'):
        with pytest.raises(ValueError):
            read_keys(junk, "ES256")


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/keys")
            self.end_headers()
            return
        body = b"x" * (jwks.MAX_BYTES + 1) if self.path == "/large" else b'{"keys": []}'
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def test_fetching_over_http():
    """A document is fetched; redirects and endless documents are not."""
    server = HTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        assert fetch_document(f"{url}/keys") == b'{"keys": []}'
        with pytest.raises(OSError, match="302"):
            fetch_document(f"{url}/moved")
        with pytest.raises(ValueError, match="too large"):
            fetch_document(f"{url}/large")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
