"""A balancer as one would put in front of workers: new connections go to the ready one that has the fewest."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

from gameserver.bench.store import HOST
from gameserver.lab.processes import WorkerProcess
from gameserver.lab.questions import ask

LOOK_EVERY = 0.5
CHUNK = 1 << 16
NOBODY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Balancer:
    """Serves while `run` does. It passes bytes on, knows nothing of WebSocket, and ends what loses its other half."""

    def __init__(self, workers: list[WorkerProcess], port: int) -> None:
        self.port = port
        self.ready: set[WorkerProcess] = set()
        self.connections: Counter[WorkerProcess] = Counter()
        self._workers = workers
        self._open: set[asyncio.Task[None]] = set()

    async def run(self, listening: asyncio.Event) -> None:
        """Raises OSError when the port is taken."""
        server = await asyncio.start_server(self._connected, HOST, self.port, backlog=4096)
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        try:
            while True:
                await asyncio.gather(*(self._look(worker) for worker in self._workers))
                await asyncio.sleep(LOOK_EVERY)
        finally:
            server.close()
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _look(self, worker: WorkerProcess) -> None:
        status, _ = await ask(worker.port, "/ready")
        if status == 200:
            self.ready.add(worker)
        else:
            self.ready.discard(worker)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        worker = min(self.ready, key=self.connections.__getitem__, default=None)
        if worker is None:
            writer.write(NOBODY)
            writer.close()
            return
        self.connections[worker] += 1
        try:
            await _pass_on(worker.port, reader, writer)
        except OSError:
            self.ready.discard(worker)
        except asyncio.CancelledError:
            # The balancer ends. To whom asyncio gave this connection, being cancelled would be news.
            pass
        finally:
            self.connections[worker] -= 1
            writer.close()


async def _pass_on(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    theirs, ours = await asyncio.open_connection(HOST, port)
    ways = [asyncio.create_task(_copy(reader, ours)), asyncio.create_task(_copy(theirs, writer))]
    try:
        # Either end's is both's end, once what was said has been passed on.
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        ours.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
