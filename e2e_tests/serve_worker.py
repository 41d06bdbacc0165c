"""One worker process as the environment describes it: `python -m e2e_tests.serve_worker`."""

from __future__ import annotations

import importlib
import logging
import os
import sys

from gameserver.asgi.server import serve
from gameserver.settings import Settings


def main() -> int:
    settings = Settings.load(os.environ)
    logging.basicConfig(level=settings.log_level.upper())
    module, _, attribute = settings.world.partition(":")
    return serve(settings, getattr(importlib.import_module(module), attribute))


if __name__ == "__main__":
    sys.exit(main())
