"""One gameserver under load, as `gameserver run` serves it: `python -m gameserver.bench.server`.

It is configured by the GAMESERVER_* variables, and BENCHMARK_CORE says which core to run on. It prints its port when
it serves, and ends when its standard input does. What keeps single clients from flooding is lifted, because here a
few clients stand for many.
"""

from __future__ import annotations

import os
import socket
import sys

from gameserver.asgi.server import serve
from gameserver.bench.machine import allow_many_connections, pin
from gameserver.cli.lifeline import end_with_parent
from gameserver.settings import Settings
from gameserver.worlds.loading import load_world

NO_LIMIT = 1e9


def main() -> int:
    core = os.environ.get("BENCHMARK_CORE")
    pin(int(core) if core else None)
    allow_many_connections()
    end_with_parent()
    settings = Settings.load(os.environ, {"messages_per_second": NO_LIMIT})
    listener = socket.create_server((settings.host, settings.port), backlog=4096, reuse_port=True)
    port = listener.getsockname()[1]
    return serve(settings, load_world(settings.world), sockets=[listener], on_started=lambda: print(port, flush=True))


if __name__ == "__main__":
    sys.exit(main())
