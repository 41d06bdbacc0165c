"""HTTP as `gameserver run` serves it: uvicorn's protocol with limits on a request's head and on its time.

The limits hold for WebSocket handshakes too, which arrive here first.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn._types import ASGIApplication
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gameserver.asgi.connection import report_unsent
from gameserver.asgi.upgrade import Upgrade
from gameserver.asgi.websocket import GameserverProtocol
from gameserver.settings import Settings

MAX_HEADERS = 100
MAX_LINE = 8000
"""Bytes of one header line, or of the path with its query; websockets itself gives up, silently, at 8192."""
MAX_HEAD = 64 * 1024
"""Bytes of all of them; also what is read of a line that does not end."""
REFUSAL_TIME = 1.0
"""Seconds a refused peer has to finish sending, so that the answer is not lost to a reset."""
MAX_PIPELINED = 16
"""Requests that may wait for the answers before theirs; one read may bring thousands, of some kilobytes each here."""


class ServerConfig(Config):
    """uvicorn's configuration and what our protocols need besides."""

    handshake_time = 10.0


class GameserverHttpProtocol(HttpToolsProtocol):
    """For uvicorn's `http` setting."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.request_time: float = getattr(config, "handshake_time", ServerConfig.handshake_time)
        self._request_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self._refused: HTTPStatus | None = None
        self._in_head = True
        self._head_bytes = 0
        self._closing = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        report_unsent(transport)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_answer_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """A peer has as long to take an answer as to make a request: closing waits for it, and stopping for that."""
        super().pause_writing()
        self._answer_timer = self.loop.call_later(self.request_time, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_answer_timer()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if self._request_timer is None and self._is_idle():
            self._await_request()
        self._head_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._begin_websocket(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self.send_400_response("")
            return
        if self._in_head and self._head_bytes > MAX_HEAD and not self._closing:
            self._refused = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self.send_400_response("")

    def _begin_websocket(self, early: bytes) -> None:
        if not self._should_upgrade():
            self.send_400_response("")
            return
        self._stop_timer()
        self._stop_answer_timer()
        self.connections.discard(self)
        websocket = GameserverProtocol(self.config, self.server_state, self.app_state)
        method = self.parser.get_method()
        # The parser knows us: without this both would be left to the garbage collector.
        self.parser = None  # type: ignore[assignment]  # as uvicorn does when a connection is lost
        websocket.begin(self.transport, Upgrade(method, self.url, self.headers), early)

    # The parser's callbacks: raising ends the parsing, and what was noted in `_refused` is answered.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_LINE:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(name) + len(value) > MAX_LINE or len(self.headers) > MAX_HEADERS:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) != 1 and not (self.parser.get_http_version() == "1.0" and not hosts):
            self._refuse(HTTPStatus.BAD_REQUEST)
        if self.parser.should_upgrade() and not self._is_handshake():
            self._refuse(HTTPStatus.BAD_REQUEST)
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse(HTTPStatus.BAD_REQUEST)
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop_timer()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be read, or may not be; uvicorn calls this for every fault of the parser."""
        self._stop_timer()
        self._closing = True
        if not self._may_answer():
            self.transport.abort()
            return
        if self.cycle is not None:
            # The application may have begun with the request: what it says of it comes too late.
            self.cycle.disconnected = True
        status = self._refused or HTTPStatus.BAD_REQUEST
        body = f"{status.phrase}\n".encode()
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (status, status.phrase.encode(), len(body), body)
        )
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._request_timer = self.loop.call_later(REFUSAL_TIME, self.transport.abort)

    def _refuse(self, status: HTTPStatus) -> None:
        self._refused = status
        raise ValueError(status.phrase)

    def _may_answer(self) -> bool:
        """Whether no other answer comes before, or has begun."""
        return self._is_idle() or not (self._in_head or self.pipeline or self.cycle.response_started)

    def _is_handshake(self) -> bool:
        """Of a WebSocket, as far as it is HTTP's matter: with no answer due before, and nothing to follow."""
        if not self._should_upgrade() or not self._is_idle():
            return False
        bodies = [value for name, value in self.headers if name in (b"content-length", b"transfer-encoding")]
        return self.parser.get_http_version() == "1.1" and all(value == b"0" for value in bodies)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_request(self) -> None:
        self._request_timer = self.loop.call_later(self.request_time, self._end_slow_request)

    def _end_slow_request(self) -> None:
        self._request_timer = None
        self.transport.abort()

    def _stop_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None


def server_config(app: ASGIApplication, settings: Settings, **more: Any) -> ServerConfig:
    """How uvicorn is to serve `app`; `more` are further arguments of `uvicorn.Config`.

    Heartbeats and forwarded addresses are our own matters, so uvicorn's pings and proxy headers are off.
    """
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "http": GameserverHttpProtocol,
        "ws": GameserverProtocol,
        "ws_max_size": settings.max_message,
        "ws_ping_interval": None,
        "ws_ping_timeout": None,
        "ws_per_message_deflate": settings.compression,
        "lifespan": "on",
        "interface": "asgi3",
        "log_level": settings.log_level,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "backlog": 4096,
    }
    config = ServerConfig(app, **(options | more))
    config.handshake_time = settings.handshake_s
    return config
