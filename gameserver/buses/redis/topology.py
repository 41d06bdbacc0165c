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


SCHEMES = {"redis": False, "rediss": True, "redis+sentinel": False, "rediss+sentinel": True}
"""Those a URL may begin with, and whether they mean TLS."""
SENTINEL_PORT = 26379


@dataclass(frozen=True, slots=True)
class Address:
    """Where to ask. With a `service`, `host` and `port` are the first of the `sentinels`, which say where it is."""

    host: str
    port: int
    username: str
    password: str
    database: int
    tls: ssl.SSLContext | None
    service: str = ""
    sentinels: tuple[Node, ...] = ()

    @property
    def place(self) -> str:
        """For people."""
        where = ", ".join(f"{host}:{port}" for host, port in self.sentinels or ((self.host, self.port),))
        return f"{self.service} (of the sentinels {where})" if self.service else where


def parse_url(url: str, tls: ssl.SSLContext | None = None) -> Address:
    """`redis://[user][:password]@host[:port][/database]`, or
    `redis+sentinel://[user][:password]@host[:port],host[:port].../name[/database]`; `rediss` for TLS.

    Raises SettingsError.
    """
    try:
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        username, _, password = credentials.partition(":")
        by_sentinel = parts.scheme.endswith("+sentinel")
        nodes = tuple(_node(host, SENTINEL_PORT if by_sentinel else 6379) for host in hosts.split(","))
        words = parts.path.strip("/").split("/")
        service = unquote(words.pop(0)) if by_sentinel else ""
        database = int("/".join(words) or 0)
    except ValueError as error:
        raise SettingsError([f"the Redis URL cannot be read: {error}"]) from None
    if parts.scheme not in SCHEMES:
        raise SettingsError([f"the Redis URL must begin with redis:// or rediss://, not {parts.scheme!r}"])
    if not all(host for host, _ in nodes) or (len(nodes) > 1 and not by_sentinel):
        raise SettingsError(["the Redis URL names no host" if len(nodes) == 1 else "the Redis URL names several hosts"])
    if by_sentinel and not service:
        raise SettingsError(["the Redis URL names sentinels, but no service: redis+sentinel://host:port/name"])
    context = (tls or ssl.create_default_context()) if SCHEMES[parts.scheme] else None
    sentinels = nodes if by_sentinel else ()
    return Address(*nodes[0], unquote(username), unquote(password), database, context, service, sentinels)


def _node(text: str, usual: int) -> Node:
    """Raises ValueError."""
    parts = urlsplit(f"//{text}")
    return parts.hostname or "", usual if parts.port is None else parts.port


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
