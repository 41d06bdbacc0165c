"""Where a command that connects gets its tokens: given, signed here, or from a development server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from gameserver.asgi.auth import issue_token
from gameserver.cli.options import environment
from gameserver.cli.token import SIGNING
from gameserver.errors import GameserverError, SettingsError
from gameserver.sessions.claims import Role
from gameserver.settings import Settings, variable_name

TOKEN_VARIABLE = "GAMESERVER_TOKEN"
DEFAULT_URL = "ws://127.0.0.1:8000/ws"
ENDPOINTS = {"player": "/ws", "admin": "/ws/admin", "service": "/ws/service"}
PATIENCE = 5.0
"""Seconds for the development endpoint to answer."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2}")

# Tokens are fetched from the server itself, never through whatever proxy the environment names.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Access:
    """Tokens for the server at `url` (any of its WebSocket endpoints).

    `given` is one token for everybody. Without it, GAMESERVER_JWT_SECRET signs, as it does for the server; without
    that, the server is asked, which answers in dev mode alone.
    """

    def __init__(self, url: str, given: str | None = None) -> None:
        """Raises SettingsError for a URL that is not one of a WebSocket, and for what cannot be a token."""
        try:
            parts = urlsplit(url)
            fits = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits:
            raise SettingsError([f"The URL must be like {DEFAULT_URL}, not {url!r}."])
        self._parts = parts._replace(path=parts.path or "/ws")
        self._given = given or os.environ.get(TOKEN_VARIABLE) or None
        if self._given is not None and not _TOKEN.fullmatch(self._given):
            # Nor would it fit into a handshake.
            raise SettingsError(["What was given as a token is none: a JWT is three words of letters and digits."])
        has_secret = bool(os.environ.get(variable_name("jwt_secret")))
        self._signing = Settings.load(environment(SIGNING)) if has_secret and not self._given else None

    def url_for(self, role: Role) -> str:
        """The endpoint of a role. A path that is not one of ours is taken as it is."""
        path = self._parts.path.rstrip("/")
        return urlunsplit(self._parts._replace(path=ENDPOINTS[role] if path in ENDPOINTS.values() else path))

    async def token(self, player: str, role: Role = "player", name: str | None = None, team: str | None = None) -> str:
        """Raises GameserverError with a sentence when there is none to be had."""
        if self._given is not None:
            return self._given
        if self._signing is not None:
            return issue_token(self._signing, player, role=role, name=name, team=team)
        wanted = {"player": player, "role": role, "name": name, "team": team}
        return await asyncio.to_thread(self._ask, {key: value for key, value in wanted.items() if value is not None})

    def _ask(self, wanted: dict[str, Any]) -> str:
        scheme = "https" if self._parts.scheme == "wss" else "http"
        server = f"{scheme}://{self._parts.netloc}"
        request = urllib.request.Request(
            f"{server}/dev/token", json.dumps(wanted).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with _direct.open(request, timeout=PATIENCE) as answer:
                return str(json.load(answer)["token"])
        except urllib.error.HTTPError as error:
            with error:
                raise GameserverError(_refusal(server, error)) from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            reason = getattr(reason, "strerror", None) or reason
            raise GameserverError(f"No server answers at {server} ({reason}). Is it running?") from None
        except (HTTPException, ValueError, KeyError, TypeError):
            raise GameserverError(f"What answers at {server} is no gameserver.") from None


def _refusal(server: str, error: urllib.error.HTTPError) -> str:
    if error.code in (404, 405):
        return (
            f"The server at {server} is not in dev mode and hands out no tokens: "
            f"give one by {TOKEN_VARIABLE}, or set GAMESERVER_JWT_SECRET as the server has it."
        )
    try:
        reason = json.load(error)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        reason = error.reason
    return f"The server at {server} gives no token: HTTP {error.code}, {reason}."
