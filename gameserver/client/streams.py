"""Events handed to whoever iterates, without ever holding more than they said they would."""

from __future__ import annotations

import asyncio
from collections import deque
from weakref import WeakSet

from gameserver.client.events import ClientEvent


class EventStream:
    """`async for event in stream`, from the moment it was made until the client is closed.

    Holds at most `size` events; of more, the oldest are given up and counted in `dropped`.
    """

    def __init__(self, kinds: tuple[type, ...], size: int) -> None:
        self.dropped = 0
        self._kinds = kinds
        self._held: deque[ClientEvent] = deque(maxlen=size)
        self._wakers: deque[asyncio.Future[None]] = deque()
        self._ended = False

    def __len__(self) -> int:
        return len(self._held)

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> ClientEvent:
        while not self._held:
            if self._ended:
                raise StopAsyncIteration
            waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wakers.append(waker)
            try:
                await waker
            finally:
                if waker in self._wakers:
                    self._wakers.remove(waker)
        return self._held.popleft()

    async def next(self, timeout: float) -> ClientEvent:
        """The next event. Raises TimeoutError after `timeout` seconds, StopAsyncIteration at the end."""
        async with asyncio.timeout(timeout):
            return await self.__anext__()

    def close(self) -> None:
        """No more events; those held can still be had."""
        self._ended = True
        self._wake()

    def offer(self, event: ClientEvent) -> bool:
        """Whether it fits without giving up an older one."""
        if self._ended or (self._kinds and not isinstance(event, self._kinds)):
            return True
        fits = len(self._held) < (self._held.maxlen or 0)
        if not fits:
            self.dropped += 1
        self._held.append(event)
        self._wake()
        return fits

    def _wake(self) -> None:
        while self._wakers:
            waker = self._wakers.popleft()
            if not waker.done():
                waker.set_result(None)


class Streams:
    """All streams of a client. One that nobody holds any more is no longer filled."""

    def __init__(self) -> None:
        self._streams: WeakSet[EventStream] = WeakSet()
        self._ended = False

    def open(self, kinds: tuple[type, ...], size: int) -> EventStream:
        stream = EventStream(kinds, size)
        if self._ended:
            stream.close()
        self._streams.add(stream)
        return stream

    def offer(self, event: ClientEvent) -> int:
        """How many streams had to give up an older event for this one."""
        return sum(not stream.offer(event) for stream in self._streams)

    def close(self) -> None:
        self._ended = True
        for stream in self._streams:
            stream.close()
