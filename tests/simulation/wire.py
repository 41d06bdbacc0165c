"""One connection between a client and a worker: both directions in order, and everything a line can do wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from random import Random
from typing import TYPE_CHECKING

from gameserver.client.closing import ABNORMAL
from gameserver.protocol.frames import split_frames
from gameserver.runtime.session import Session
from tests.simulation.loop import Domain, current

if TYPE_CHECKING:
    from tests.simulation.player import Player

NEAR, FAR = 0.002, 0.03
"""Seconds one way."""
KERNEL = 8 * 1024
"""Bytes that a peer who does not read leaves room for."""
GIVES_UP_AFTER = 2.0
"""Seconds the server waits for the end of a closing handshake."""
_OUTSIDE: Context = copy_context()


class Wire:
    """What the server sees of it is a `Channel`. `stuck`: the client reads nothing now. `dead`: nothing passes either
    way any more, and nobody is told."""

    slack = 0

    def __init__(self, player: Player, domain: Domain, text: bool, random: Random) -> None:
        self.text = text
        self._player = player
        self._domain = domain
        self._loop = current()
        self._latency = NEAR + (FAR - NEAR) * random.random()
        self._to_client: deque[tuple[float, bytes | tuple[int, str]]] = deque()
        """When it arrives, and a frame, or how the server closes."""
        self._arriving = False
        self._last_out = 0.0
        self._last_in = 0.0
        self._room_for = KERNEL
        self._unsent = 0
        self._congested: Callable[[], None] = lambda: None
        self._drained: Callable[[], None] = lambda: None
        self._paused = False
        self._unread: deque[bytes] = deque()
        self._last_alive = self._loop.time()
        self._closing = False
        self.session: Session | None = None
        self.stuck = False
        self.dead = False
        self.gone = False
        """The client has let go of it, or the server has."""

    # -- the server's side ------------------------------------------------------------------------------------

    def write(self, frame: bytes) -> None:
        if self._closing or self.gone:
            return
        self._to_client.append((self._loop.time() + self._latency, frame))
        if self.stuck or self.dead:
            taken = min(len(frame), self._room_for)
            self._room_for -= taken
            self._unsent += len(frame) - taken
            if self._unsent:
                self._congested()
            if self.dead:
                self._to_client.clear()
        elif not self._arriving:
            self._arrive_at(self._to_client[0][0])

    def unsent(self) -> int:
        return 0 if self.gone else self._unsent

    def on_congested(self, callback: Callable[[], None]) -> None:
        self._congested = callback

    def on_drained(self, callback: Callable[[], None]) -> None:
        self._drained = callback

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        while self._unread and not self._paused:
            self._hear(self._unread.popleft())

    def close(self, code: int, reason: str) -> None:
        if self._closing or self.gone:
            return
        self._closing = True
        if self.dead or self.stuck:
            self._loop.call_later(GIVES_UP_AFTER, self.abort, context=self._domain.context)
            if self.dead:
                return
        # The frame goes behind what was written.
        self._to_client.append((self._loop.time() + self._latency, (code, reason)))
        if not self.stuck and not self._arriving:
            self._arrive_at(self._to_client[0][0])

    def abort(self) -> None:
        self._end(ABNORMAL)
        if not self.dead:
            self._loop.call_later(self._latency, self._player.hung_up, self, ABNORMAL, "", context=_OUTSIDE)

    def heard(self) -> None:
        self._last_alive = self._loop.time()

    def last_alive(self) -> float:
        return self._last_alive

    def ping(self) -> None:
        # Every WebSocket answers by itself, as long as its line is there.
        if not (self.dead or self.stuck or self.gone):
            self._loop.call_later(2 * self._latency, self._pong, context=self._domain.context)

    def _pong(self) -> None:
        if not (self.dead or self.gone):
            self.heard()

    def rtt(self) -> float | None:
        return 2 * self._latency

    def listen(self) -> None:
        """The session is there: what was said meanwhile is heard."""
        self.resume_reading()

    def _hear(self, payload: bytes) -> None:
        if self.gone:
            return
        self.heard()
        if self.session is None:
            self._unread.append(payload)
            return
        if self._paused:
            self._unread.append(payload)
        else:
            self.session.receive(payload, self.text)

    def _end(self, code: int) -> None:
        """The server's end of it is gone."""
        if not self.gone:
            self.gone = True
            self._unsent = 0
            self._to_client.clear()
            if self.session is not None:
                self._loop.call_soon(self.session.lost, code, "", context=self._domain.context)

    # -- the line ---------------------------------------------------------------------------------------------

    def _arrive_at(self, at: float) -> None:
        self._arriving = True
        self._loop.call_at(at, self._arrive, context=_OUTSIDE)

    def _arrive(self) -> None:
        self._arriving = False
        now = self._loop.time()
        waiting = self._to_client
        while waiting and not (self.stuck or self.dead):
            at, frame = waiting[0]
            if at > now:
                self._arrive_at(at)
                return
            waiting.popleft()
            if isinstance(frame, tuple):
                self._loop.call_later(self._latency, self._end, frame[0], context=self._domain.context)
                self._player.hung_up(self, *frame)
                return
            for payload, _ in split_frames(frame):
                self._player.received(self, payload)

    def stick(self) -> None:
        """The client stops reading."""
        self.stuck = True
        self._room_for = KERNEL

    def drain(self) -> None:
        """It reads again."""
        if not self.stuck:
            return
        self.stuck = False
        if self.dead or self.gone:
            return
        self.heard()
        if self._to_client and not self._arriving:
            self._arrive_at(self._loop.time() + self._latency)
        if self._unsent:
            self._unsent = 0
            self._loop.call_soon(self._relieved, context=self._domain.context)

    def _relieved(self) -> None:
        if not self.gone and not self._unsent:
            self._drained()

    def cut(self) -> None:
        """The server's process is gone, and its kernel says so."""
        self.gone = True
        self._to_client.clear()
        if not self.dead:
            self._loop.call_later(self._latency, self._player.hung_up, self, ABNORMAL, "", context=_OUTSIDE)

    def fall_silent(self) -> None:
        """The line swallows everything from now on."""
        self.dead = True
        self._to_client.clear()

    # -- the client's side ------------------------------------------------------------------------------------

    def say(self, payload: bytes) -> None:
        if self.dead or self.gone:
            return
        at = max(self._loop.time() + self._latency, self._last_in + 1e-7)
        self._last_in = at
        self._loop.call_at(at, self._hear, payload, context=self._domain.context)

    def hang_up(self) -> None:
        """The client lets go of it, without a closing handshake."""
        if self.dead:
            # The server finds out by itself.
            return
        at = max(self._loop.time() + self._latency, self._last_in + 1e-7)
        self._loop.call_at(at, self._end, ABNORMAL, context=self._domain.context)
