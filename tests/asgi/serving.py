"""A real server on a thread of its own, and a client that controls every byte it sends."""

import asyncio
import base64
import contextlib
import json
import os
import socket
import struct
import threading

import uvicorn
import uvloop

from gameserver.asgi.http import server_config
from gameserver.settings import Settings

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class _Server(uvicorn.Server):
    """Leaves signals alone, and tells when it has started."""

    capture_signals = contextlib.nullcontext

    def __init__(self, config, on_started):
        super().__init__(config)
        self.on_started = on_started

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.on_started()


class _Connections(set):
    """uvicorn's set of connections, telling when one goes."""

    def __init__(self, on_removed):
        super().__init__()
        self.on_removed = on_removed

    def remove(self, connection):
        super().remove(connection)
        self.on_removed()

    def discard(self, connection):
        super().discard(connection)
        self.on_removed()


class Serving:
    """Serves a small application that accepts everything and keeps what it sees.

    `/deny` answers 429, `/slow` never answers, everything else is accepted: `/detached` to live on without the
    application, `/unheard` once `accept` is set, to receive nothing until `over` is. Over HTTP `/large` is answered
    with megabytes, and `/late` when `answer_late` is called. `channels` and `received` hold what came.
    """

    def __init__(self, loop_name="uvloop", certificate=None, **overrides):
        self.changed = threading.Condition()
        settings = Settings.load({"GAMESERVER_DEV": "1", "GAMESERVER_PORT": "0"}, overrides)
        self.config = server_config(self.app, settings, log_config=None, lifespan="off", **(certificate or {}))
        self.server = _Server(self.config, self._notify)
        self.channels = []
        self.received = []
        self.scopes = []
        self.drained = []
        self.connections = self.server.server_state.connections = _Connections(self._notify)
        self.factory = LOOPS[loop_name]
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        self.wait(lambda: self.server.started)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self.reset()
        self.server.should_exit = self.server.force_exit = True
        self.thread.join(10)
        assert not self.thread.is_alive()

    def _run(self):
        with asyncio.Runner(loop_factory=self.factory) as runner:
            self.loop = runner.get_loop()
            runner.run(self.server.serve())

    def _notify(self):
        with self.changed:
            self.changed.notify_all()

    def wait(self, condition, timeout=8.0):
        """Return when the condition holds; it is looked at whenever the application saw something."""
        with self.changed:
            assert self.changed.wait_for(condition, timeout), "the condition did not come true"

    def wait_for_end_of_connections(self):
        """Return when the server holds no connection any more."""
        self.wait(lambda: not self.connections)

    def reset(self):
        """As new: no connections, nothing seen."""
        for channel in self.channels:
            self.call(channel.abort)
        self.wait_for_end_of_connections()
        for seen in (self.channels, self.received, self.scopes, self.drained):
            seen.clear()

    def call(self, function, *args):
        """Run a function on the server's loop and return what it returns."""

        async def run():
            return function(*args)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(8)

    async def app(self, scope, receive, send):
        self.scopes.append(scope)
        self._notify()
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
            return
        await receive()
        if scope["path"] == "/slow":
            self._notify()
            await receive()
            return
        if scope["path"] == "/deny":
            headers = [(b"retry-after", b"7")]
            await send({"type": "websocket.http.response.start", "status": 429, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": b"later"})
            return
        if scope["path"] == "/unheard":
            self.accept, self.over = self.loop.create_future(), self.loop.create_future()
            self._notify()
            await self.accept
        await send({"type": "websocket.accept", "subprotocol": None})
        if scope["path"] == "/unheard":
            await self.over
            return
        if scope["path"] == "/close":
            await send({"type": "websocket.close", "code": 4401, "reason": "no"})
            return
        channel = scope["extensions"]["gameserver.channel"].connection
        if scope["path"] == "/detached":
            scope["extensions"]["gameserver.channel"].detach(self._take_message, self._take_end)
            self.channels.append(channel)
            self._notify()
            return
        channel.on_drained(lambda: (self.drained.append(channel.unsent()), self._notify()))
        self.channels.append(channel)
        self._notify()
        while True:
            message = await receive()
            self._take(message)
            if message["type"] == "websocket.disconnect":
                return

    def _take_message(self, payload, text):
        self._take({"type": "websocket.receive", **({"text": payload.decode()} if text else {"bytes": payload})})

    def _take_end(self, code, reason):
        self._take({"type": "websocket.disconnect", "code": code, "reason": reason})

    def _take(self, message):
        self.received.append(message)
        self._notify()

    def answer_late(self):
        """Have what was asked for at `/late` answered now."""
        self.call(self.late.set_result, None)

    async def _answer(self, scope, receive, send):
        body = b""
        if scope["path"] == "/late":
            self.late = self.loop.create_future()
            self._notify()
            await self.late
        while scope["path"] != "/late":
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        answer = json.dumps({"path": scope["path"], "size": len(body)}).encode()
        if scope["path"] == "/large":
            answer *= 100_000
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


class RawClient:
    """A blocking socket with just enough HTTP and WebSocket to be wrong in any way one likes."""

    def __init__(self, port, *, small_window=False, timeout=8.0, tls=None):
        self.socket = socket.socket()
        self.socket.settimeout(timeout)
        if small_window:
            # Without a small segment size the loopback's kernel takes megabytes for a reader that never reads.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 88)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read(self):
        """More bytes, or b"" at the end, however it came."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        self.buffer += data
        return data

    def take(self, size):
        while len(self.buffer) < size:
            if not self.read():
                raise EOFError(self.buffer)
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def head(self):
        """Status and headers (lower-case names) of the next answer."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.read():
                raise EOFError(self.buffer)
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, value in pairs}

    def upgrade(self, path="/ws", headers=(), version="13", key=None):
        """Send a handshake; the answer is left to read."""
        key = key or base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: here",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            f"Sec-WebSocket-Version: {version}",
            *headers,
        ]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def open(self, path="/ws"):
        self.upgrade(path)
        status, _ = self.head()
        assert status == 101
        return self

    def send_frame(self, opcode, payload=b"", *, fin=True, mask=b"\1\2\3\4"):
        size = len(payload)
        length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + struct.pack("!H", size)
        if size >= 65536:
            length = b"\xff" + struct.pack("!Q", size)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self.send(bytes((0x80 * fin | opcode,)) + length + mask + masked)

    def frame(self):
        """The next frame's opcode and payload."""
        opcode, size = self.take(2)
        if size == 126:
            (size,) = struct.unpack("!H", self.take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.take(8))
        return opcode & 0x0F, self.take(size)

    def close_code(self):
        """The code of the close frame, which must come next, after any pongs."""
        opcode, payload = self.frame()
        while opcode == 0x0A:
            opcode, payload = self.frame()
        assert opcode == 0x08, (opcode, payload[:40])
        return struct.unpack("!H", payload[:2])[0]

    def at_end(self):
        """Read until the connection ends."""
        while self.read():
            pass
        return True
