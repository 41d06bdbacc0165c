"""WebSockets as `gameserver run` serves them: the opening handshake between uvicorn and the application.

The application decides over plain ASGI whether a connection is accepted. Then it either goes on with `receive` and
`send`, as any ASGI application may, or it *detaches* (`scope["extensions"]["gameserver.channel"].detach(...)`) and
returns: the connection lives on without it, and its task, queue and scope are gone.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from asyncio.transports import BaseTransport
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.utils import (
    ClientDisconnected,
    get_client_addr,
    get_local_addr,
    get_path_with_query_string,
    get_remote_addr,
    is_ssl,
)
from uvicorn.server import ServerState

from gameserver.asgi.connection import MAX_AFTERWARDS, Connection, OnEnd, OnMessage
from gameserver.asgi.logs import redact_queries
from gameserver.asgi.upgrade import BadUpgrade, Upgrade, accept_key, response, switching
from gameserver.protocol.codes import Close
from gameserver.protocol.deflate import Inflater, negotiate
from gameserver.protocol.frames import encode_frame
from gameserver.protocol.parser import FrameParser

EXTENSION = "gameserver.channel"
"""Under this name the protocol is among the scope's extensions."""

UNSENT_IN_KERNEL = 16 * 1024
"""Bytes the kernel takes beyond what is on its way; above, they stay with us, where they are counted."""
LINGER = 5.0
"""Seconds a refused peer has to take the answer."""
HANDSHAKE_TIME = 10.0
MAX_QUEUED = 64 * 1024
"""Bytes of messages an application has yet to receive; beyond them nothing is read."""
ABNORMAL = 1006
"""Stands for an end before there was a WebSocket."""

log = logging.getLogger("uvicorn.error")

Event = dict[str, Any]


class GameserverProtocol(asyncio.Protocol):
    """For uvicorn's `ws` setting, together with `gameserver.asgi.http.GameserverHttpProtocol`, which calls `begin`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = _loop or asyncio.get_event_loop()
        self.config = config
        self.connection: Connection | None = None
        self._app = config.loaded_app
        self._state = app_state
        self._server = server_state
        self._registry: Any = server_state.connections
        self._transport: asyncio.Transport
        self._early = b""
        self._accept = b""
        self._extension: str | None = None
        self._refusal: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._body = b""
        self._answered = False
        self._lost = False
        self._detached = False
        self._events: asyncio.Queue[tuple[Event, int]] = asyncio.Queue()
        self._queued = 0
        self._scope: Event = {}
        self._timer: asyncio.TimerHandle | None = None

    # -- the handshake ----------------------------------------------------------------------------------

    def begin(self, transport: asyncio.Transport, upgrade: Upgrade, early: bytes) -> None:
        """Take the connection over from HTTP; `early` are bytes that came behind the request's head."""
        self._transport = transport
        self._early = early
        self._registry.add(self)
        transport.set_protocol(self)
        _set_options(transport)
        try:
            self._accept = accept_key(upgrade)
        except BadUpgrade as bad:
            self._answer(bad.answer)
            return
        if self.config.ws_per_message_deflate:
            offers = upgrade.values(b"sec-websocket-extensions")
            self._extension = negotiate(b", ".join(offers).decode("latin-1"))
        self._scope = self._scope_of(upgrade)
        self._put({"type": "websocket.connect"})
        self._timer = self.loop.call_later(getattr(self.config, "handshake_time", HANDSHAKE_TIME), transport.abort)
        task = self.loop.create_task(self._run())
        task.add_done_callback(self._server.tasks.discard)
        self._server.tasks.add(task)

    def _scope_of(self, upgrade: Upgrade) -> Event:
        path, _, query = upgrade.target.partition(b"?")
        root = self.config.root_path
        return {
            "type": "websocket",
            "asgi": {"version": self.config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(self._transport) else "ws",
            "server": get_local_addr(self._transport),
            "client": get_remote_addr(self._transport),
            "root_path": root,
            "path": root + unquote(path.decode("latin-1")),
            "raw_path": root.encode() + path,
            "query_string": query,
            "headers": list(upgrade.headers),
            "subprotocols": [
                word.strip()
                for value in upgrade.values(b"sec-websocket-protocol")
                for word in value.decode("latin-1").split(",")
            ],
            "state": self._state.copy(),
            "extensions": {"websocket.http.response": {}, EXTENSION: self},
        }

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            log.exception("Exception in ASGI application")
            self._fail()
        else:
            if not self._answered and not self._lost:
                log.error("the application returned without answering the handshake")
                self._fail()
        if self.connection is not None and not self._detached:
            self.connection.close(Close.NORMAL, "")
        # It names us, and we hold it: nothing of a handshake is left to the garbage collector.
        self._scope = {}

    def _fail(self) -> None:
        if self.connection is not None:
            self.connection.close(Close.INTERNAL, "")
        elif not self._answered:
            self._answer(response(HTTPStatus.INTERNAL_SERVER_ERROR, [], b"Internal Server Error\n"))

    def _answer(self, answer: bytes) -> None:
        """Refuse the handshake: the connection ends with an HTTP response."""
        self._answered = True
        self._log(logging.INFO, answer[9:12].decode())
        self._early = b""
        self._put({"type": "websocket.disconnect", "code": ABNORMAL, "reason": ""})
        self._stop_timer()
        if self._transport.is_closing():
            return
        self._transport.write(answer)
        # What came behind the request is read away, lest a reset takes the answer with it.
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()
        self._timer = self.loop.call_later(LINGER, self._transport.abort)

    def _log(self, level: int, outcome: str) -> None:
        if self._scope and log.isEnabledFor(level):
            path = get_path_with_query_string(self._scope)  # type: ignore[arg-type]
            log.log(level, '%s - "WebSocket %s" %s', get_client_addr(self._scope), path, outcome)  # type: ignore[arg-type]

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- asyncio ----------------------------------------------------------------------------------------

    def connection_made(self, transport: BaseTransport) -> None:
        """Never: `begin` takes over a connection that was made long before."""

    def data_received(self, data: bytes) -> None:
        """A client has nothing to say before it is answered; what it says all the same waits, after a refusal for
        nobody."""
        if not self._answered:
            self._early += data
            if len(self._early) > MAX_QUEUED:
                self._transport.pause_reading()
            return
        self._queued += len(data)
        if self._queued > MAX_AFTERWARDS:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._stop_timer()
        self._registry.discard(self)
        if not self._answered:
            self._put({"type": "websocket.disconnect", "code": ABNORMAL, "reason": ""})

    def shutdown(self) -> None:
        """uvicorn stops."""
        if not self._answered:
            self._answer(response(HTTPStatus.SERVICE_UNAVAILABLE, [(b"Retry-After", b"1")], b"Shutting down.\n"))

    # -- ASGI -------------------------------------------------------------------------------------------

    def detach(self, on_message: OnMessage, on_end: OnEnd) -> Connection:
        """Go on without the application, which may return: see `Connection`.

        Raises RuntimeError when the handshake was not accepted.
        """
        if self.connection is None:
            raise RuntimeError("only an accepted connection can be detached")
        self._detached = True
        while not self._events.empty():
            event, _ = self._events.get_nowait()
            if event["type"] == "websocket.receive":
                text = event.get("text")
                on_message(event["bytes"] if text is None else text.encode(), text is not None)
        self.connection.attach(on_message, on_end)
        self.connection.resume_reading()
        return self.connection

    async def receive(self) -> Event:
        event, size = await self._events.get()
        self._queued -= size
        if self.connection is not None and self._queued <= MAX_QUEUED:
            self.connection.resume_reading()
        return event

    async def send(self, event: Event) -> None:
        """Raises ClientDisconnected when nobody is there any more, RuntimeError for what may not be sent now."""
        kind = event["type"]
        if self.connection is not None:
            await self._send_on(self.connection, event)
        elif self._lost:
            raise ClientDisconnected
        elif self._refusal is not None and kind == "websocket.http.response.body":
            self._body += event.get("body", b"")
            if not event.get("more_body", False):
                self._answer(response(*self._refusal, self._body))
        elif self._refusal is None and not self._answered:
            self._decide(event)
        else:
            raise RuntimeError(f"{kind} after the handshake was answered")

    def _decide(self, event: Event) -> None:
        kind = event["type"]
        if kind == "websocket.accept":
            self._switch(event.get("subprotocol"), event.get("headers", ()))
        elif kind == "websocket.close":
            self._answer(response(HTTPStatus.FORBIDDEN, [], b""))
        elif kind == "websocket.http.response.start":
            self._refusal = (event["status"], list(event.get("headers", ())))
        else:
            raise RuntimeError(f"{kind} before the handshake was answered")

    def _switch(self, subprotocol: str | None, headers: Any) -> None:
        answer = [*self._server.default_headers, *headers]
        if subprotocol is not None:
            answer.append((b"Sec-WebSocket-Protocol", subprotocol.encode("latin-1")))
        inflater = None
        if self._extension is not None:
            inflater = Inflater()
            answer.append((b"Sec-WebSocket-Extensions", self._extension.encode()))
        head = switching(self._accept, answer)
        self._answered = True
        self._log(logging.DEBUG, "[accepted]")
        self._stop_timer()
        if self._transport.is_closing():
            raise ClientDisconnected
        self._registry.discard(self)
        parser = FrameParser(self.config.ws_max_size, inflater=inflater)
        self.connection = Connection(self.loop, self._transport, self._registry, parser, self._on_message, self._on_end)
        self._transport.set_protocol(self.connection)
        self._transport.write(head)
        early, self._early = self._early, b""
        # Before what came early is handed on: that may be a reason to stop again.
        self._transport.resume_reading()
        if early:
            self.connection.data_received(early)

    async def _send_on(self, connection: Connection, event: Event) -> None:
        if not connection.open:
            raise ClientDisconnected
        if event["type"] == "websocket.send":
            payload = event.get("bytes")
            if payload is not None:
                connection.write(encode_frame(payload, False))
            else:
                connection.write(encode_frame(event["text"].encode(), True))
            await self._writable(connection)
        elif event["type"] == "websocket.close":
            connection.close(event.get("code", Close.NORMAL), event.get("reason") or "")
        else:
            raise RuntimeError(f"{event['type']} on an accepted connection")

    async def _writable(self, connection: Connection) -> None:
        if connection.unsent():
            drained: asyncio.Future[None] = self.loop.create_future()
            connection.on_drained(_once(drained))
            await drained

    def _on_message(self, payload: bytes, text: bool) -> None:
        self._put({"type": "websocket.receive", **({"text": payload.decode()} if text else {"bytes": payload})})
        self._queued += len(payload)
        if self._queued > MAX_QUEUED and self.connection is not None:
            self.connection.pause_reading()

    def _on_end(self, code: int, reason: str) -> None:
        self._put({"type": "websocket.disconnect", "code": code, "reason": reason})

    def _put(self, event: Event) -> None:
        self._events.put_nowait((event, len(event.get("text") or event.get("bytes") or b"")))


def _once(future: asyncio.Future[None]) -> Callable[[], None]:
    def done() -> None:
        if not future.done():
            future.set_result(None)

    return done


def _set_options(transport: BaseTransport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # macOS has the option, Python's socket module there has no name for it.
    lowat = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if lowat is not None:
        connection.setsockopt(socket.IPPROTO_TCP, lowat, UNSENT_IN_KERNEL)


redact_queries()
