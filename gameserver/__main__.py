"""`python -m gameserver`: the same as the command `gameserver`."""

from __future__ import annotations

import sys

from gameserver.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
