"""The channel over plain ASGI, for any server that is not ours."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any

from gameserver.protocol.frames import split_frames

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_QUEUED = 4 * 1024 * 1024
"""Bytes waiting; a member that would make it more is dropped."""
SLACK = 16 * 1024
"""Bytes that may wait for their turn on the event loop before the member counts as slow."""
LINGER = 5.0
"""Seconds for what is queued and the close frame to get through."""


class StandardChannel:
    """Implements `gameserver.runtime.channel.Channel` with a queue and one task that sends.

    Used as a context manager around the reading of the accepted connection: `abort()` ends its block, which is
    all that ASGI has for dropping a connection. `unsent()` counts what is queued and what is being sent, so it is
    above 0 between a write and the next turn of the event loop.
    """

    def __init__(self, send: Send, text: bool, *, most: int = MAX_QUEUED) -> None:
        self.text = text
        self._send = send
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[MutableMapping[str, Any], int]] = deque()
        self._filled = asyncio.Event()
        self._unsent = 0
        self._closing = False
        self._ended = False
        self._aborted = False
        self._drained: Callable[[], None] | None = None
        self._congested: Callable[[], None] | None = None
        self._readable = asyncio.Event()
        self._readable.set()
        self._alive_at = self._loop.time()
        self._owner: asyncio.Task[Any] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._linger: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> StandardChannel:
        self._owner = asyncio.current_task()
        self._writer = asyncio.create_task(self._write_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._owner = None
        if self._linger is not None:
            self._linger.cancel()
        writer = self._writer
        if writer is not None:
            if self._closing and not self._ended:
                await asyncio.wait([writer], timeout=LINGER)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        self._end()
        # Only our own cancellation is swallowed; one that came from outside as well still counts.
        return self._aborted and kind is asyncio.CancelledError and _uncancel() == 0

    def write(self, frame: bytes) -> None:
        if self._closing or self._ended:
            return
        for payload, text in split_frames(frame):
            message = {"type": "websocket.send", **({"text": payload.decode()} if text else {"bytes": payload})}
            self._enqueue(message, len(payload))
        if self._unsent > self._most:
            self.abort()
        elif self._unsent > SLACK and self._congested is not None:
            self._congested()

    def unsent(self) -> int:
        return self._unsent

    def on_congested(self, callback: Callable[[], None]) -> None:
        self._congested = callback

    def on_drained(self, callback: Callable[[], None]) -> None:
        self._drained = callback

    def pause_reading(self) -> None:
        self._readable.clear()

    def resume_reading(self) -> None:
        self._readable.set()

    async def readable(self) -> None:
        """Wait until messages may be read."""
        await self._readable.wait()

    def close(self, code: int, reason: str) -> None:
        if self._closing or self._ended:
            return
        self._closing = True
        self._enqueue({"type": "websocket.close", "code": int(code), "reason": reason}, 0)
        self._linger = self._loop.call_later(LINGER, self.abort)

    def abort(self) -> None:
        if self._ended:
            return
        self._end()
        if self._writer is not None:
            self._writer.cancel()
        if self._owner is not None:
            self._aborted = True
            self._owner.cancel()

    @property
    def slack(self) -> int:
        return SLACK

    def ping(self) -> None:
        """ASGI has no pings: most servers send their own, and what comes back is not seen here."""

    def rtt(self) -> float | None:
        return None

    def heard(self) -> None:
        self._alive_at = self._loop.time()

    def last_alive(self) -> float:
        return self._alive_at

    def _enqueue(self, message: MutableMapping[str, Any], size: int) -> None:
        self._queue.append((message, size))
        self._unsent += size
        self._filled.set()

    def _end(self) -> None:
        stuck = self._unsent > 0
        self._ended = True
        self._readable.set()
        self._queue.clear()
        self._unsent = 0
        if stuck and self._drained is not None:
            self._loop.call_soon(self._drained)

    async def _write_all(self) -> None:
        while not self._ended:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                message, size = self._queue.popleft()
                try:
                    await self._send(message)
                except Exception:
                    # The peer is gone, or the server says so in its own way; reading will tell the endpoint.
                    self._end()
                    return
                if message["type"] == "websocket.close":
                    self._end()
                    return
                self._sent(size)

    def _sent(self, size: int) -> None:
        if self._ended:
            return
        self._unsent -= size
        if self._unsent:
            # Others were waiting behind this one: the peer has made room.
            self.heard()
        elif self._drained is not None and size:
            # Not from within: what goes wrong in the callback must not end the writer.
            self._loop.call_soon(self._drained)


def _uncancel() -> int:
    task = asyncio.current_task()
    return task.uncancel() if task is not None else 0
