"""What the lab asks its workers, over HTTP as an operator would."""

from __future__ import annotations

import asyncio
import re

from gameserver.bench.store import HOST

PATIENCE = 1.0
_SAMPLE = re.compile(r"^gameserver_(\w+?)(?:_total)? ([-+.\de]+)$", re.MULTILINE)


async def ask(port: int, path: str) -> tuple[int, str]:
    """Status and body; status 0 when nobody answers in time."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
            finally:
                writer.close()
        return int(head.split(b" ", 2)[1]), body.decode()
    except (OSError, TimeoutError, ValueError, IndexError):
        return 0, ""


async def figures(port: int) -> dict[str, float]:
    """What /metrics says, without prefix and `_total`; empty when nobody answers."""
    _, text = await ask(port, "/metrics")
    return {name: float(value) for name, value in _SAMPLE.findall(text)}
