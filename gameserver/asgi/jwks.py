"""An issuer's published keys (JWKS, RFC 7517), fetched rarely and kept while they cannot be fetched.

Tokens name their key by `kid`, and anyone can name any: so a fetch happens at most once per `INTERVAL`, whatever
tokens come in, and everyone who waits for keys waits for the same fetch.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from gameserver.issuers import key_fault

INTERVAL = 30.0
"""The least time between two fetches, in seconds, also after a failed one."""
FRESH = 300.0
"""After this many seconds keys are fetched anew, in the background."""
OVERLAP = 300.0
"""How long a key that is no longer published still verifies, in seconds."""
DEADLINE = 5.0
MAX_BYTES = 256 * 1024
MAX_KEYS = 64

Fetch = Callable[[str], bytes]

_logger = logging.getLogger("gameserver.jwks")


class PublishedKeys:
    """The keys of one URL that fit one algorithm. `fetch` blocks and is run in a thread."""

    def __init__(
        self, url: str, algorithm: str, *, fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._algorithm = algorithm
        self._fetch = fetch or fetch_document
        self._clock = clock
        self._keys: dict[str, tuple[Any, float]] = {}
        self._task: asyncio.Task[None] | None = None
        self._fetched_at = -INTERVAL
        self.fetches = 0
        self.failures = 0

    async def key(self, kid: str | None) -> Any:
        """The key of this id, or the only one when a token names none. Raises KeyError when there is none."""
        found = self._find(kid)
        if found is None:
            self._refresh(INTERVAL)
            if self._task is not None:
                # Whoever waits may be cancelled; the fetch serves the others.
                await asyncio.shield(self._task)
            found = self._find(kid)
        else:
            self._refresh(FRESH)
        if found is None:
            raise KeyError("no such key")
        return found

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _find(self, kid: str | None) -> Any:
        if kid is None:
            return next(iter(self._keys.values()))[0] if len(self._keys) == 1 else None
        return self._keys.get(kid, (None,))[0]

    def _refresh(self, interval: float) -> None:
        now = self._clock()
        if self._task is None and now - self._fetched_at >= interval:
            self._fetched_at = now
            self._task = asyncio.create_task(self._load())

    async def _load(self) -> None:
        self.fetches += 1
        try:
            async with asyncio.timeout(DEADLINE + 1):
                document = await asyncio.to_thread(self._fetch, self._url)
            published = read_keys(document, self._algorithm)
        except Exception as error:
            self.failures += 1
            _logger.warning("the keys of an issuer cannot be fetched, keeping %d: %r", len(self._keys), error)
        else:
            now = self._clock()
            kept = {kid: entry for kid, entry in self._keys.items() if now - entry[1] < OVERLAP}
            self._keys = kept | {kid: (key, now) for kid, key in published.items()}
        finally:
            self._task = None


def read_keys(document: bytes, algorithm: str) -> dict[str, Any]:
    """The document's keys that can verify this algorithm, by `kid` (empty when it has none).

    Keys of other kinds are passed over. Raises ValueError for what is no key set, or one without a fitting key.
    """
    parsed = json.loads(document)
    entries = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a key set")
    keys = {}
    for entry in entries[:MAX_KEYS]:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
            continue
        if entry.get("alg", algorithm) != algorithm:
            continue
        kid = entry.get("kid", "")
        try:
            key = PyJWK.from_dict(entry, algorithm).key
        except (PyJWTError, ValueError, TypeError, KeyError):
            continue
        if isinstance(kid, str) and key_fault(key, algorithm) is None:
            keys[kid] = key
    if not keys:
        raise ValueError(f"no key fit for {algorithm}")
    return keys


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def fetch_document(url: str) -> bytes:
    """The document at a URL, not following redirects. Raises OSError, or ValueError when it is too large."""
    expires = time.monotonic() + DEADLINE
    opener = urllib.request.build_opener(_NoRedirects())
    request = urllib.request.Request(url, headers={"Accept": "application/json", "User-Agent": "gameserver"})
    document = bytearray()
    with opener.open(request, timeout=DEADLINE) as response:
        while chunk := response.read1(65536):
            document += chunk
            if len(document) > MAX_BYTES:
                raise ValueError("the key set is too large")
            if time.monotonic() > expires:
                raise TimeoutError("the key set came too slowly")
    return bytes(document)
