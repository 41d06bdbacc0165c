"""The whole catalogue, in its order."""

from __future__ import annotations

from e2e_tests.attacks import frames, handshakes, messages, tokens
from e2e_tests.attacks.catalogue import ROWS, Row

__all__ = ["ROWS", "Row", "frames", "handshakes", "messages", "tokens"]

FAMILIES = ("handshake", "token", "frames", "messages")
ROWS.sort(key=lambda row: FAMILIES.index(row.family))
