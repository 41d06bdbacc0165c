"""A TCP line that can go silent: nothing is refused and nothing arrives, as when packets are dropped on the way."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from tests.redis_server import HOST, free_port


class Line:
    """Listens on `port` while the block lasts and passes everything on to `to_port`.

    While `silent`, what either side sends goes nowhere, and new connections are accepted by the kernel and answered by
    nobody. What was connected then never works again; its ends are not told until `heal`.
    """

    def __init__(self, to_port: int) -> None:
        self.port = free_port()
        self.silent = False
        self._to_port = to_port
        self._pairs: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter | None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="line")

    @property
    def redis_url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set_result(None)
        self._thread.join()

    def silence(self) -> None:
        self.silent = True

    def heal(self) -> None:
        """New connections pass; those that were silenced are broken now."""
        self.silent = False
        self._loop.call_soon_threadsafe(self._break_all)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, HOST, self.port)
        self._ready.set()
        await asyncio.wrap_future(self._stop)
        server.close()
        self._break_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _break_all(self) -> None:
        for near, far in self._pairs:
            near.transport.abort()
            if far is not None:
                far.transport.abort()
        self._pairs.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.silent:
            self._pairs.append((writer, None))
            await asyncio.sleep(3600)
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._to_port)
        except OSError:
            writer.transport.abort()
            return
        self._pairs.append((writer, far_writer))
        await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                if not self.silent:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        if not self.silent:
            writer.transport.abort()
