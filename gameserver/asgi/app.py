"""The ASGI application: endpoints, health, metrics, and what exists in dev mode alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gameserver.asgi.auth import issue_token
from gameserver.asgi.endpoint import Endpoint, deny
from gameserver.asgi.handshake import Deny
from gameserver.asgi.metrics import exposition
from gameserver.asgi.worker import Worker
from gameserver.buses.base import Bus
from gameserver.errors import GameserverError
from gameserver.game import Game
from gameserver.sessions.claims import Role
from gameserver.settings import Settings

MAX_BODY = 4096
ENDPOINTS = {"/ws": Endpoint("player"), "/ws/admin": Endpoint("admin"), "/ws/service": Endpoint("service")}
NO_ENDPOINT = Deny(404, "There is no endpoint here.\n")


class Application(Starlette):
    """Starlette for HTTP; a WebSocket handshake, of which thousands come at once, goes straight to its endpoint."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        endpoint = ENDPOINTS.get(scope["path"].removeprefix(scope.get("root_path", "")))
        if endpoint is None:
            await receive()
            await deny(NO_ENDPOINT, scope, receive, send)
        else:
            await endpoint(scope, receive, send)


def create_app(settings: Settings, game: Game, bus: Bus | None = None) -> Starlette:
    """One worker of `game` as an ASGI application; it connects to its store in the lifespan."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        worker = app.state.worker = Worker(settings, game, bus)
        try:
            await worker.start()
            yield
        finally:
            await worker.close()

    routes: list[BaseRoute] = [
        Route("/health", health),
        Route("/ready", ready),
        Route("/metrics", metrics),
    ]
    if settings.dev:
        routes.append(Route("/dev/token", dev_token, methods=["POST"]))
    app = Application(routes=routes, lifespan=lifespan)
    app.state.settings = settings
    return app


async def health(request: Request) -> Response:
    """The process lives."""
    return PlainTextResponse("ok\n")


async def ready(request: Request) -> Response:
    """200 only while commits and publications go round."""
    worker: Worker = request.app.state.worker
    if worker.ready:
        return PlainTextResponse("ready\n")
    return PlainTextResponse("not ready\n", 503, {"Retry-After": "1"})


async def metrics(request: Request) -> Response:
    worker: Worker = request.app.state.worker
    return Response(exposition(worker), media_type="text/plain; version=0.0.4; charset=utf-8")


class DevTokenRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`lifetime` is in seconds."""

    player: str
    name: str | None = None
    team: str | None = None
    role: Role = "player"
    publish: list[str] = []
    lifetime: float = 3600.0


async def dev_token(request: Request) -> Response:
    """A token for anybody who asks: exists in dev mode, which serves loopback only."""
    settings: Settings = request.app.state.settings
    # A page from elsewhere could make a browser post here; it cannot make it send JSON without asking first.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return _fault("send JSON, with its content type", 415)
    try:
        wanted = msgspec.json.decode(await _body(request), type=DevTokenRequest)
        token = issue_token(
            settings,
            wanted.player,
            role=wanted.role,
            name=wanted.name,
            team=wanted.team,
            publish=wanted.publish,
            lifetime=wanted.lifetime,
        )
    except (msgspec.DecodeError, GameserverError, ValueError) as error:
        return _fault(str(error), 400)
    return JSONResponse({"token": token})


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise ValueError(f"more than {MAX_BODY} bytes")
    return body


def _fault(message: str, status: int) -> Response:
    content: dict[str, Any] = {"error": {"message": message}}
    return JSONResponse(content, status)
