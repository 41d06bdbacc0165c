"""The smallest room server on python-socketio and uvicorn, WebSocket transport alone; it prints its port."""
# mypy: disable-error-code="untyped-decorator,import-not-found"

import socket
import sys
import threading
from typing import Any

import socketio
import uvicorn

server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"], ping_interval=300, cors_allowed_origins="*")


@server.event
async def join(sid: str, room: str) -> str:
    await server.enter_room(sid, room)
    return "joined"


@server.event
async def publish(sid: str, room: str, payload: str) -> None:
    await server.emit("message", payload, room=room)


@server.event
async def nothing(sid: str, command: dict[str, Any]) -> dict[str, Any]:
    fits = type(command.get("what")) is int and type(command.get("by")) is int
    return {"id": command["id"], "ok": fits}


class Announcing(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(listener.getsockname()[1], flush=True)


def end_with_input(running: uvicorn.Server) -> None:
    sys.stdin.read()
    running.should_exit = True


listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
config = uvicorn.Config(
    socketio.ASGIApp(server), loop="uvloop", log_level="warning", ws_per_message_deflate=False, ws_ping_interval=None
)
running = Announcing(config)
threading.Thread(target=end_with_input, args=(running,), daemon=True).start()
running.run([listener])
