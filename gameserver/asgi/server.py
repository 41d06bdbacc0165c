"""One worker process: uvicorn with our protocols, drained before it stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from gameserver.asgi.app import create_app
from gameserver.asgi.http import server_config
from gameserver.game import Game
from gameserver.settings import Settings

DRAIN_WINDOW = 2.0
"""Seconds over which goodbyes are spread, if the drain's deadline leaves so much."""

log = logging.getLogger("gameserver")


class Server(uvicorn.Server):
    """On the first signal connections are told goodbye, staggered; when they are gone, or in time, it stops."""

    def __init__(self, app: Starlette, settings: Settings, on_started: Callable[[], None] | None = None) -> None:
        # uvicorn types ASGI more narrowly than Starlette; its log lines go where all others do.
        super().__init__(server_config(app, settings, log_config=None))  # type: ignore[arg-type]
        self._app = app
        self._deadline = settings.drain_s
        self._on_started = on_started
        self._draining: asyncio.Task[None] | None = None

    async def main_loop(self) -> None:
        spare_the_collector()
        await super().main_loop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self._on_started is not None and not self.should_exit:
            self._on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        worker = getattr(self._app.state, "worker", None)
        if self._draining is not None or worker is None or not worker.started:
            # The second time, or with nobody to say goodbye to. Stopping when told to is no failure: unlike uvicorn,
            # the signal is not raised again when all is done.
            self.force_exit = self.should_exit
            self.should_exit = True
            return
        # A signal's handler runs between any two instructions: the loop takes it from here.
        asyncio.get_running_loop().call_soon_threadsafe(self._start_draining)

    def _start_draining(self) -> None:
        if self._draining is None:
            log.info("draining")
            self._draining = asyncio.get_running_loop().create_task(self._drain(), name="drain")

    async def _drain(self) -> None:
        try:
            await asyncio.wait_for(
                self._app.state.worker.node.drain(min(DRAIN_WINDOW, self._deadline / 2)), self._deadline
            )
        except TimeoutError:
            log.warning("connections were left when the drain's deadline came")
        finally:
            self.should_exit = True


def spare_the_collector() -> None:
    """What stands when serving begins stays: the collector need not look at it again. And a full collection walks
    every connection: it comes a hundred times less often, for what reference counts free anyway."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 1_000)


def serve(
    settings: Settings,
    game: Game,
    *,
    sockets: list[socket.socket] | None = None,
    on_started: Callable[[], None] | None = None,
) -> int:
    """Run one worker until a signal; the process's exit code. 1 when it could not start."""
    server = Server(create_app(settings, game), settings, on_started)
    server.run(sockets=sockets)
    return 0 if server.started else 1
