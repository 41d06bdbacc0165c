"""Two workers on a Redis, an identity provider, and bystanders: what the attacks are done in."""

from __future__ import annotations

import http.server
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from e2e_tests.attacks.bystander import Bystander
from e2e_tests.attacks.catalogue import Row
from e2e_tests.attacks.wire import ORIGIN, Wire, enter
from e2e_tests.workers import Fleet, token
from tests.redis_server import redis_server

HANDSHAKES_PER_ADDRESS = 100


class Provider:
    """An identity provider that publishes its keys, and counts how often they are fetched."""

    def __init__(self) -> None:
        self.fetches: list[float] = []
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.add("one")
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.fetches.append(time.monotonic())
                document = provider.document()
                self.send_response(200)
                self.send_header("content-length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def add(self, kid: str) -> None:
        self.keys[kid] = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def document(self) -> bytes:
        keys = []
        for kid, key in self.keys.items():
            published: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
            keys.append(published | {"kid": kid, "alg": "RS256", "use": "sig"})
        return json.dumps({"keys": keys}).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Outcome:
    """`ack_p99` of the bystanders, in seconds."""

    row: Row
    measured: str
    seconds: float
    ack_p99: float


class Arena:
    """`quick` lowers counts and times to what every run of the tests can bear."""

    def __init__(self, directory: Path, redis_url: str, quick: bool) -> None:
        self.quick = quick
        self.directory = directory
        self.handshake_s = 2.0 if quick else 10.0
        self.provider = Provider()
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.public = self.rsa.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        issuers = directory / "issuers.json"
        issuers.write_text(
            json.dumps(
                [
                    {"issuer": "fixed", "algorithm": "RS256", "key": self.public.decode()},
                    {"issuer": "published", "algorithm": "RS256", "jwks_url": self.provider.url},
                ]
            )
        )
        self.fleet = Fleet(
            directory,
            redis_url,
            2,
            origins=ORIGIN,
            trusted_proxies="127.0.0.1",
            handshakes_per_address=HANDSHAKES_PER_ADDRESS,
            handshake_s=self.handshake_s,
            verify_s=0.5,
            compression=1,
            jwt_issuers=issuers,
            log_level="info",
        )
        self._names = itertools.count(1)
        self.bystanders: list[Bystander] = []

    @property
    def port(self) -> int:
        return self.fleet[0].port

    @property
    def other_port(self) -> int:
        return self.fleet[1].port

    def name(self) -> str:
        """A player nobody else is."""
        return f"attacker{next(self._names)}"

    def token(self, **claims: Any) -> str:
        return token(claims.pop("sub", None) or self.name(), **claims)

    async def enter(self, *, narrow: bool = False, port: int | None = None, **options: Any) -> Wire:
        return await enter(port or self.port, options.pop("token", None) or self.token(), narrow=narrow, **options)

    def memory(self) -> int:
        """Resident bytes of the worker that is attacked."""
        process = self.fleet[0].process
        assert process is not None
        return int(psutil.Process(process.pid).memory_info().rss)

    async def run(self, row: Row) -> Outcome:
        """Raises AssertionError when it does not hold, or a bystander noticed."""
        for bystander in self.bystanders:
            bystander.begin()
        began = time.monotonic()
        measured = await row.injection(self)
        seconds = time.monotonic() - began
        for bystander in self.bystanders:
            await bystander.unharmed()
        acks = sorted(ack for bystander in self.bystanders for ack in bystander.acks)
        return Outcome(row, measured, seconds, acks[int(len(acks) * 0.99)])


@asynccontextmanager
async def arena(directory: Path, quick: bool) -> AsyncIterator[Arena]:
    """Started, with bystanders at both workers; held to how it ends."""
    with redis_server() as redis:
        built = Arena(directory, redis.url, quick)
        try:
            built.fleet.start()
            built.bystanders = [
                Bystander(f"bystander{index}", worker) for index, worker in enumerate(built.fleet.workers)
            ]
            for bystander in built.bystanders:
                await bystander.start()
            yield built
            for bystander in built.bystanders:
                await bystander.stop()
            built.fleet.stop()
        finally:
            built.fleet.kill()
            built.provider.close()
