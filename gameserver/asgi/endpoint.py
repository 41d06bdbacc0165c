"""The WebSocket endpoints: the handshake's decision, then a session for as long as the connection lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from gameserver.asgi.handshake import Accept, AcceptThenClose, Deny, read_request
from gameserver.asgi.standard import StandardChannel
from gameserver.asgi.websocket import EXTENSION, GameserverProtocol
from gameserver.sessions.claims import Role

if TYPE_CHECKING:
    from gameserver.asgi.worker import Worker
    from gameserver.protocol.codec import Codec
    from gameserver.runtime.session import Session


class Endpoint:
    """One path, for one role."""

    def __init__(self, role: Role) -> None:
        self._role = role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        worker: Worker = scope["app"].state.worker
        request = read_request(dict(scope), self._role, worker.trusted_proxies)
        decision = await worker.gate.decide(request)
        protocol: GameserverProtocol | None = scope.get("extensions", {}).get(EXTENSION)
        if isinstance(decision, Accept) and protocol is not None:
            await protocol.send({"type": "websocket.accept", "subprotocol": decision.subprotocol})
            detach(protocol, worker, decision, worker.node.codecs[decision.encoding], request.address)
            return
        websocket = WebSocket(scope, receive, send)
        if isinstance(decision, Deny):
            await websocket.send_denial_response(
                Response(decision.body, decision.status, dict(decision.headers), media_type="text/plain")
            )
        elif isinstance(decision, AcceptThenClose):
            await websocket.accept(decision.subprotocol)
            await websocket.close(decision.code, decision.reason)
        else:
            await websocket.accept(decision.subprotocol)
            await serve(websocket, worker, decision, worker.node.codecs[decision.encoding], request.address)


def detach(protocol: GameserverProtocol, worker: Worker, accepted: Accept, codec: Codec, address: str) -> None:
    """Begin a session on a connection of our own protocol; it needs no task from here on."""
    node, connection = worker.node, protocol.connection
    if connection is None:
        return
    if connection.deflates:
        codec = codec.deflated
    connection.text = codec.text
    session = node.admit(accepted.claims, connection, codec, address, accepted.resume_token)
    protocol.detach(session.receive, session.lost)
    node.welcome(session)


async def serve(websocket: WebSocket, worker: Worker, accepted: Accept, codec: Codec, address: str) -> None:
    """A session over plain ASGI, for as long as the connection lives."""
    node = worker.node
    async with StandardChannel(websocket.send, codec.text) as channel:
        session = node.admit(accepted.claims, channel, codec, address, accepted.resume_token)
        node.welcome(session)
        try:
            await read(websocket, channel, session)
        finally:
            await node.close_session(session)


async def read(websocket: WebSocket, channel: StandardChannel, session: Session) -> None:
    """Hand on every message; a client that does not take its answers is not read either."""
    while True:
        await channel.readable()
        try:
            message = await websocket.receive()
        except WebSocketDisconnect:
            return
        if message["type"] == "websocket.disconnect":
            return
        channel.heard()
        text = message.get("text")
        if text is not None:
            session.receive(text.encode(), True)
        else:
            session.receive(message["bytes"], False)
