"""Where a world is kept: the address in the URL, or in a cluster the primary that owns the world's slot."""

from __future__ import annotations

import re
import ssl
from binascii import crc_hqx
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from gameserver.buses.redis.connection import Connection
from gameserver.buses.redis.faults import unavailable
from gameserver.errors import SettingsError

SLOTS = 16384

Node = tuple[str, int]

_WORLD = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    username: str
    password: str
    database: int
    tls: ssl.SSLContext | None


def parse_url(url: str, tls: ssl.SSLContext | None = None) -> Address:
    """`redis://` or `rediss://[user][:password]@host[:port][/database]`. Raises SettingsError."""
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
        database = int(parts.path.strip("/") or 0)
    except ValueError as error:
        raise SettingsError([f"the Redis URL cannot be read: {error}"]) from None
    if parts.scheme not in ("redis", "rediss"):
        raise SettingsError([f"the Redis URL must begin with redis:// or rediss://, not {parts.scheme!r}"])
    if not parts.hostname:
        raise SettingsError(["the Redis URL names no host"])
    tls = (tls or ssl.create_default_context()) if parts.scheme == "rediss" else None
    return Address(parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""), database, tls)


def world_key(world: str) -> str:
    """The key all keys of the world begin with: nothing but its hash tag. Raises SettingsError."""
    if not _WORLD.fullmatch(world):
        raise SettingsError([f"{world!r} cannot name a world: 1 to 64 letters, digits, '_', '.' or '-'"])
    return f"{{gs:{world}}}"


def slot_of(key: str) -> int:
    """The slot of a key that begins with its hash tag, as CLUSTER KEYSLOT computes it."""
    tag = key[1 : key.index("}")]
    return crc_hqx(tag.encode(), 0) % SLOTS


async def greet(connection: Connection, address: Address) -> dict[bytes, Any]:
    """HELLO, with credentials if there are any; answers what the server says of itself."""
    arguments: list[str | int] = ["HELLO", 3]
    if address.password:
        arguments += ["AUTH", address.username or "default", address.password]
    greeting: dict[bytes, Any] = await connection.call(*arguments)
    if address.database:
        await connection.call("SELECT", address.database)
    return greeting


async def primaries(connection: Connection, asked: Node) -> list[tuple[int, int, Node]]:
    """(first slot, last slot, primary) as the node sees the cluster. A node that does not know its own
    address leaves the host empty, which means the one it was asked at."""
    ranges = await connection.call("CLUSTER", "SLOTS")
    found = []
    for first, last, primary, *_ in ranges:
        host = (primary[0] or b"").decode()
        found.append((first, last, (host if host not in ("", "?") else asked[0], primary[1])))
    return found


def owner_of(slot: int, ranges: list[tuple[int, int, Node]]) -> Node:
    """Raises Unavailable while nobody serves the slot."""
    for first, last, node in ranges:
        if first <= slot <= last:
            return node
    raise unavailable(f"no node of the cluster serves slot {slot}")
