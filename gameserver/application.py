"""The world that the environment names, as an ASGI application for any server that speaks WebSocket:

    uvicorn --factory gameserver.application:create

`gameserver run` serves the same application by its own WebSocket protocol, which is faster and holds more against bad
clients; everything a game and its clients see is the same.
"""

from __future__ import annotations

import os

from starlette.applications import Starlette

from gameserver.asgi.app import create_app
from gameserver.settings import Settings
from gameserver.worlds.loading import load_world


def create() -> Starlette:
    """Raises SettingsError or WorldNotFound, and says what is wrong, before anything is served."""
    settings = Settings.load(os.environ)
    return create_app(settings, load_world(settings.world))
