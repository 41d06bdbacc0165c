"""The WebSocket endpoints: the handshake's decision, then a session for as long as the connection lives.

Plain ASGI: of a connection that is accepted and lives on by itself, nothing else need ever be made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gameserver.asgi.connection import OnMessage
from gameserver.asgi.handshake import Accept, AcceptThenClose, Deny, read_request
from gameserver.asgi.standard import StandardChannel
from gameserver.asgi.websocket import EXTENSION, GameserverProtocol
from gameserver.protocol.signing import SignatureCheck
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
        await receive()  # the request itself, which every server hands over first
        request = read_request(scope, self._role, worker.trusted_proxies)
        decision = await worker.gate.decide(request)
        if isinstance(decision, Deny):
            await deny(decision, scope, receive, send)
        elif isinstance(decision, AcceptThenClose):
            await send({"type": "websocket.accept", "subprotocol": decision.subprotocol})
            await send({"type": "websocket.close", "code": decision.code, "reason": decision.reason})
        else:
            protocol: GameserverProtocol | None = scope.get("extensions", {}).get(EXTENSION)
            codec = worker.node.codecs[decision.encoding]
            # What Starlette wraps around `send` has no use for our own.
            await (protocol.send if protocol else send)(
                {"type": "websocket.accept", "subprotocol": decision.subprotocol}
            )
            if protocol is None:
                await serve(receive, send, worker, decision, codec, request.address)
            else:
                detach(protocol, worker, decision, codec, request.address)


async def deny(decision: Deny, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse the handshake with an HTTP status, or, where the server cannot, in the one way that ASGI has."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    answer = Response(decision.body, decision.status, dict(decision.headers), media_type="text/plain")
    await answer(scope, receive, send)


def detach(protocol: GameserverProtocol, worker: Worker, accepted: Accept, codec: Codec, address: str) -> None:
    """Begin a session on a connection of our own protocol; it needs no task from here on."""
    node, connection = worker.node, protocol.connection
    if connection is None:
        return
    if connection.deflates:
        codec = codec.deflated
    connection.text = codec.text
    session = node.admit(accepted.claims, connection, codec, address, accepted.resume_token)
    protocol.detach(hearing(session, accepted), session.lost)
    node.welcome(session)


async def serve(receive: Receive, send: Send, worker: Worker, accepted: Accept, codec: Codec, address: str) -> None:
    """A session over plain ASGI, for as long as the connection lives."""
    node = worker.node
    async with StandardChannel(send, codec.text) as channel:
        session = node.admit(accepted.claims, channel, codec, address, accepted.resume_token)
        node.welcome(session)
        try:
            await read(receive, channel, hearing(session, accepted))
        finally:
            await node.close_session(session)


def hearing(session: Session, accepted: Accept) -> OnMessage:
    """Where the client's messages go."""
    if accepted.signed_by is None:
        return session.receive
    session.signatures = SignatureCheck(accepted.signed_by)
    return session.receive_signed


async def read(receive: Receive, channel: StandardChannel, hear: OnMessage) -> None:
    """Hand on every message; a client that does not take its answers is not read either."""
    while True:
        await channel.readable()
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        channel.heard()
        text = message.get("text")
        if text is not None:
            hear(text.encode(), True)
        else:
            hear(message["bytes"], False)
