"""Exit codes, and complaints on stderr."""

from __future__ import annotations

import sys

DONE = 0
FAILED = 1
WRONG = 2
INTERRUPTED = 130
"""What shells expect of a program that Ctrl-C ended."""


def complain(*sentences: str) -> None:
    """One line each, so that several faults can be told apart."""
    for sentence in sentences:
        print(f"gameserver: {sentence}", file=sys.stderr, flush=True)
