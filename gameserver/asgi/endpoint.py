"""The WebSocket endpoints: the handshake's decision, then a session for as long as the connection lives."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from gameserver.asgi.handshake import Accept, AcceptThenClose, Deny, read_request
from gameserver.asgi.standard import StandardChannel
from gameserver.asgi.websocket import EXTENSION
from gameserver.protocol.codec import JSON, MSGPACK
from gameserver.sessions.claims import Role

if TYPE_CHECKING:
    from gameserver.asgi.worker import Worker
    from gameserver.runtime.session import Session


class Endpoint:
    """One path, for one role."""

    def __init__(self, role: Role) -> None:
        self._role = role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        worker: Worker = websocket.app.state.worker
        request = read_request(dict(websocket.scope), self._role, worker.trusted_proxies)
        decision = await worker.gate.decide(request)
        if isinstance(decision, Deny):
            await websocket.send_denial_response(
                Response(decision.body, decision.status, dict(decision.headers), media_type="text/plain")
            )
        elif isinstance(decision, AcceptThenClose):
            await websocket.accept(decision.subprotocol)
            await websocket.close(decision.code, decision.reason)
        else:
            await websocket.accept(decision.subprotocol)
            await self._serve(websocket, worker, decision, request.address)

    async def _serve(self, websocket: WebSocket, worker: Worker, accepted: Accept, address: str) -> None:
        codec = JSON if accepted.encoding == "json" else MSGPACK
        async with AsyncExitStack() as stack:
            channel = websocket.scope.get("extensions", {}).get(EXTENSION)
            if channel is None:
                channel = await stack.enter_async_context(StandardChannel(websocket.send, codec.text))
            channel.text = codec.text
            node = worker.node
            session = node.admit(accepted.claims, channel, codec, address, accepted.resume_token)
            node.supervisor.start(node.receive(session), f"welcome of {session.id}")
            try:
                await self._read(websocket, session)
            finally:
                await node.close_session(session)

    async def _read(self, websocket: WebSocket, session: Session) -> None:
        """Hand on every message; a client that does not take its answers is not read either."""
        while True:
            try:
                message = await websocket.receive()
            except WebSocketDisconnect:
                return
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is not None:
                session.receive(text.encode(), True)
            else:
                session.receive(message["bytes"], False)
            if session.member.congested:
                await session.member.relieved()
