"""Shaking hands with a server: address, token, encoding, and how a refusal reads."""

from __future__ import annotations

import asyncio
import base64
import inspect
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.typing import Origin, Subprotocol

from gameserver.client.closing import ABNORMAL, Closed, refused, seconds
from gameserver.client.codec import Encoding, codec_of, offers
from gameserver.client.tuning import Tuning
from gameserver.protocol.codec import Codec
from gameserver.protocol.signing import SIGNED, Signer, signing_key

Token = str | Callable[[], "str | Awaitable[str]"]
"""A JWT, or where to get one each time it is needed."""
TokenPlace = Literal["subprotocol", "header"]


class NotConnected(Exception):
    """The handshake did not come about; `closed` says why in the terms of a close."""

    def __init__(self, closed: Closed) -> None:
        super().__init__(closed.reason)
        self.closed = closed


class _Connect(connect):
    """Follows no redirect: the token rides in the handshake and is for this server alone."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Dialer:
    """Makes connections to one URL for one player."""

    def __init__(
        self,
        url: str,
        token: Token,
        encoding: Encoding,
        token_in: TokenPlace,
        origin: str | None,
        headers: Mapping[str, str] | None,
        tls: ssl.SSLContext | None,
        signed: bool,
        tuning: Tuning,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss") or not parts.netloc:
            raise ValueError(f"not a WebSocket URL: {url!r}")
        if token_in not in ("subprotocol", "header"):
            raise ValueError(f"the token goes in the subprotocol or in a header, not in {token_in!r}")
        self.url = url
        self.token: str | None = token if isinstance(token, str) else None
        self._provider = None if isinstance(token, str) else token
        self._unused = False
        self._offers = offers(encoding)
        self._token_in = token_in
        self._origin = None if origin is None else Origin(origin)
        self._headers = dict(headers or {})
        self._tls = tls
        self.signed = signed
        self._tuning = tuning

    @property
    def claims(self) -> dict[str, Any]:
        """What the token says of itself, unverified; empty when it cannot be read."""
        try:
            body = (self.token or "").split(".")[1]
            claims = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except (IndexError, ValueError):
            return {}
        return claims if isinstance(claims, dict) else {}

    def signer(self, resume_token: object) -> Signer | None:
        """What signs the messages of a connection with such a welcome; None where that is not wished."""
        return Signer(signing_key(self.token or "", str(resume_token))) if self.signed else None

    async def renew(self) -> bool:
        """Whether there is a token now that was not there before ([CLOSE1], 4401)."""
        before = self.token
        if self._provider is not None:
            provided = self._provider()
            self.token = await provided if inspect.isawaitable(provided) else provided
            self._unused = True
        return self.token != before

    async def dial(self, resume_token: str | None) -> tuple[ClientConnection, Codec]:
        """An open connection and the encoding the server took. Raises NotConnected."""
        try:
            async with asyncio.timeout(self._tuning.dial_timeout):
                await self._have_token()
                connection = await self._connect(resume_token)
        except InvalidStatus as error:
            wait = seconds(error.response.headers.get("Retry-After"))
            raise NotConnected(refused(error.response.status_code, wait)) from error
        except (OSError, TimeoutError, EOFError, InvalidHandshake) as error:
            reason = f"no connection to {self.url}: {str(error) or type(error).__name__}"
            raise NotConnected(Closed(ABNORMAL, reason)) from error
        return connection, codec_of(connection.subprotocol)

    async def _have_token(self) -> None:
        """A provider is asked for every connection, as tokens live shorter than clients do."""
        try:
            if self._provider is not None and not self._unused:
                await self.renew()
        except Exception as error:
            raise NotConnected(Closed(ABNORMAL, f"no token: {str(error) or type(error).__name__}")) from error
        self._unused = False

    async def _connect(self, resume_token: str | None) -> ClientConnection:
        # Without one of its own, the library makes a context for wss:// and refuses one for ws://.
        tls: dict[str, Any] = {} if self._tls is None else {"ssl": self._tls}
        subprotocols = list(self._offers)
        headers = dict(self._headers)
        if self._token_in == "header":
            headers["Authorization"] = f"Bearer {self.token}"
        else:
            subprotocols.append(f"bearer.{self.token}")
        if resume_token is not None:
            subprotocols.append(f"resume.{resume_token}")
        if self.signed:
            subprotocols.append(SIGNED)
        return await _Connect(
            self.url,
            origin=self._origin,
            subprotocols=[Subprotocol(offer) for offer in subprotocols],
            additional_headers=headers,
            user_agent_header=None,
            compression=None,
            proxy=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=self._tuning.close_timeout,
            max_size=self._tuning.most_message_bytes,
            **tls,
        )
