"""Where things are: the repository, and what is made for the measurements."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
"""Ignored by git: compiled programs and installed peers."""
NATIVE = ROOT / "benchmarks" / "native"
PEERS = ROOT / "benchmarks" / "peers"
FIGURES = ROOT / "docs" / "performance.json"
PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "performance"
SOAK = PLOTS / "soak.txt"
"""What the last soak that is published said, minute by minute."""
