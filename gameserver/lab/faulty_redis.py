"""A way to Redis on which publications go missing, come twice or late, and the line breaks at the worst moment."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Self

from gameserver.bench.store import HOST, free_port
from gameserver.lab.resp import Frames, channel_of, is_publication

FAULTS = ("lost", "doubled", "delayed")
LATEST = 0.25
"""Seconds by which a publication is late at most."""


@dataclass
class Fault:
    """One fault ordered: what happens to the next publication of a channel that ends so."""

    what: str
    suffix: str
    done: threading.Event


class FaultyRedis:
    """Listens on `port` while the block lasts. `injected` counts the faults by name; replies are never touched.

    `chances` has that of each fault for each publication.
    """

    def __init__(self, redis_port: int, seed: int = 1) -> None:
        self.port = free_port()
        self.chances = dict.fromkeys(FAULTS, 0.0)
        self.injected: Counter[str] = Counter()
        self.publications = 0
        self.refusing = False
        """Whether nobody gets through: connections end as soon as they are made."""
        self._redis_port = redis_port
        self._random = Random(seed)
        self._ordered: list[Fault] = []
        self._cuts: list[tuple[bytes, bool, threading.Event]] = []
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="faulty redis")

    @property
    def url(self) -> str:
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

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, HOST, self.port)
        self._ready.set()
        await asyncio.wrap_future(self._stop)
        server.close()
        self._cut_all()
        await asyncio.gather(*(link.over.wait() for link in self._links))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        try:
            upstream, redis = await asyncio.open_connection(HOST, self._redis_port)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, writer, redis)
        self._links.add(link)
        try:
            await asyncio.gather(link.requests(reader), link.answers(upstream))
        finally:
            self._links.discard(link)
            link.over.set()

    # -- what is to go wrong, ordered from the test's thread ---------------------------------------------

    def order(self, what: str, suffix: str) -> threading.Event:
        """Have the next publication of a channel that ends so `lost`, `doubled` or `delayed`; set when it was."""
        fault = Fault(what, suffix, threading.Event())
        self._ordered.append(fault)
        return fault.done

    def cut(self, marker: bytes, *, executed: bool) -> threading.Event:
        """Break the line at the next request that contains `marker`: after Redis has carried it out, its reply
        lost, or before Redis has seen it. Set when it was done."""
        done = threading.Event()
        self._cuts.append((marker, executed, done))
        return done

    def cut_off(self) -> None:
        """Break every line and let nobody through until `let_through`."""
        self.refusing = True
        self._loop.call_soon_threadsafe(self._cut_all)

    def let_through(self) -> None:
        self.refusing = False

    def _cut_all(self) -> None:
        for link in list(self._links):
            link.abort()

    # -- what links ask ----------------------------------------------------------------------------------

    def fate(self, publication: bytes) -> str:
        """What becomes of a publication: `lost`, `doubled`, `delayed`, or empty."""
        self.publications += 1
        what = self._ordered_for(publication) or self._chosen()
        if what:
            self.injected[what] += 1
        return what

    def _ordered_for(self, publication: bytes) -> str:
        if self._ordered:
            channel = channel_of(publication)
            for fault in self._ordered:
                if channel.endswith(fault.suffix):
                    self._ordered.remove(fault)
                    fault.done.set()
                    return fault.what
        return ""

    def _chosen(self) -> str:
        dice = self._random.random()
        for what, chance in self.chances.items():
            if dice < chance:
                return what
            dice -= chance
        return ""

    def delay(self) -> float:
        return self._random.uniform(0.0, LATEST)

    def due_cut(self, request: bytes) -> tuple[bytes, bool, threading.Event] | None:
        found = next((cut for cut in self._cuts if cut[0] in request), None)
        if found is not None:
            self._cuts.remove(found)
            self.injected["cut"] += 1
        return found


class _Link:
    """One connection of the worker, and ours to Redis for it."""

    def __init__(self, proxy: FaultyRedis, worker: asyncio.StreamWriter, redis: asyncio.StreamWriter) -> None:
        self.over = asyncio.Event()
        self._proxy = proxy
        self._worker = worker
        self._redis = redis
        self._muted = False

    def abort(self) -> None:
        self._worker.transport.abort()
        self._redis.transport.abort()

    async def requests(self, reader: asyncio.StreamReader) -> None:
        frames = Frames()
        while data := await _read(reader):
            for frame in frames.feed(data):
                cut = self._proxy.due_cut(frame)
                if cut is None:
                    self._redis.write(frame)
                    continue
                _, executed, done = cut
                await self._cut(frame, executed)
                done.set()
                return
        self.abort()

    async def _cut(self, frame: bytes, executed: bool) -> None:
        self._muted = True
        if executed:
            # Redis carries out what came before the end of our stream, and only then closes its own.
            self._redis.write(frame)
            self._redis.write_eof()
        else:
            self.abort()

    async def answers(self, upstream: asyncio.StreamReader) -> None:
        frames = Frames()
        while data := await _read(upstream):
            if self._muted:
                continue
            for frame in frames.feed(data):
                self._hand_on(frame)
        self.abort()

    def _hand_on(self, frame: bytes) -> None:
        what = self._proxy.fate(frame) if is_publication(frame) else ""
        if what == "delayed":
            asyncio.get_running_loop().call_later(self._proxy.delay(), self._late, frame)
        elif what != "lost":
            self._worker.write(frame * (2 if what == "doubled" else 1))

    def _late(self, frame: bytes) -> None:
        if not self._muted and not self._worker.is_closing():
            self._worker.write(frame)


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Empty when the line is gone, in whatever way."""
    try:
        return await reader.read(1 << 16)
    except OSError:
        return b""
