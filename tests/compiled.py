"""Whether the tests run on the compiled package, as it is deployed, or on its sources."""

from __future__ import annotations

import pytest

from gameserver.state import draft

COMPILED = not str(draft.__file__).endswith(".py")

on_sources = pytest.mark.skipif(COMPILED, reason="replaces a part of the code, which compiled code does not allow")
