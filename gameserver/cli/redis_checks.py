"""Whether a Redis can keep a world: asked over the very connection that a worker would use."""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

from gameserver.buses.base import BusStats
from gameserver.buses.redis.bus import RedisBus
from gameserver.buses.redis.connection import Connection, connect
from gameserver.buses.redis.faults import StoreRefused
from gameserver.buses.redis.topology import Address, Node, greet, owner_of, parse_url, primaries, slot_of, world_key
from gameserver.cli.findings import Finding, doubtful, down, fine, wrong
from gameserver.errors import GameserverError, SettingsError, Unavailable

LEAST_VERSION = (7, 0)
PROBES = 5
PENDING = 16


async def check_redis(url: str, world: str | None, deadline: float) -> list[Finding]:
    """Findings about the store at `url`; `world` is the world's name, None when it is not known.

    `deadline` is in seconds, for connecting and for each question. All that is left behind is what a probe writes,
    and that expires after a minute.
    """
    try:
        address = parse_url(url)
    except SettingsError as error:
        return [wrong("redis", _sentence(fault)) for fault in error.faults]
    place = f"{address.host}:{address.port}"
    try:
        greeting, facts, found = await _ask(address, world, deadline)
    except StoreRefused as error:
        return [_refused(place, error)]
    except Unavailable as error:
        return [down("redis", f"Redis at {place} cannot be reached: {_cause(error, deadline)}.")]
    found += [fine("redis", f"Redis at {place} answers."), *judge(place, greeting, facts)]
    if world is not None and not any(finding.level == "FAIL" for finding in found):
        found.append(await _probe(url, world, place, deadline))
    return found


async def _ask(
    address: Address, world: str | None, deadline: float
) -> tuple[Mapping[bytes, Any], Mapping[str, str] | None, list[Finding]]:
    """What the primary that keeps the world says of itself."""
    found: list[Finding] = []
    node = (address.host, address.port)
    connection = await _open(node, address, deadline)
    try:
        greeting = await greet(connection, address)
        if greeting[b"mode"] == b"cluster":
            owner = owner_of(slot_of(world_key(world)), await primaries(connection, node)) if world else node
            found.append(fine("redis", f"It is a cluster; the world's primary is {owner[0]}:{owner[1]}."))
            if owner != node:
                connection.abort("the world is kept elsewhere")
                connection = await _open(owner, address, deadline)
                greeting = await greet(connection, address)
        return greeting, await _facts(connection), found
    finally:
        connection.abort("all was asked")


async def _open(node: Node, address: Address, deadline: float) -> Connection:
    return await connect(
        *node,
        lambda channel, payload: None,
        lambda: None,
        deadline=deadline,
        max_pending=PENDING,
        stats=BusStats(),
        tls=address.tls,
    )


async def _facts(connection: Connection) -> Mapping[str, str] | None:
    """INFO as a map, with the eviction policy from CONFIG where INFO lacks it; None when neither may be asked."""
    facts: dict[str, str] = {}
    with contextlib.suppress(StoreRefused):
        reply = await connection.call("INFO")
        text = reply.decode(errors="replace") if isinstance(reply, bytes) else str(reply)
        facts |= dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if "maxmemory_policy" not in facts:
        with contextlib.suppress(StoreRefused):
            reply = await connection.call("CONFIG", "GET", "maxmemory-policy")
            facts["maxmemory_policy"] = reply[b"maxmemory-policy"].decode()
    return facts or None


def judge(place: str, greeting: Mapping[bytes, Any], facts: Mapping[str, str] | None) -> list[Finding]:
    """What HELLO and INFO mean for a world that is to be kept there."""
    found = []
    version = greeting.get(b"version", b"").decode()
    if _numbers(version) < LEAST_VERSION:
        found.append(wrong("version", f"Redis at {place} is version {version}: 7.0 or newer is needed."))
    else:
        found.append(fine("version", f"Redis is version {version}."))
    if greeting.get(b"role") != b"master":
        found.append(wrong("role", f"Redis at {place} is a replica: worlds are written to a primary."))
    policy = (facts or {}).get("maxmemory_policy")
    if policy is None:
        found.append(
            doubtful("policy", f"Redis at {place} does not tell its maxmemory-policy: make sure that it is noeviction.")
        )
    elif policy != "noeviction":
        found.append(
            wrong(
                "policy",
                f"Redis at {place} evicts keys (maxmemory-policy {policy}) and would forget parts of the world: "
                "set maxmemory-policy noeviction.",
            )
        )
    else:
        found.append(fine("policy", "Redis evicts nothing."))
    if facts and "aof_enabled" in facts:
        found.append(_persistence(facts))
    return found


def _persistence(facts: Mapping[str, str]) -> Finding:
    if facts["aof_enabled"] == "1":
        return fine("persistence", "Redis keeps an append-only file.")
    return doubtful(
        "persistence",
        "Redis keeps no append-only file: what was last acknowledged may be gone when it restarts. "
        "Set appendonly yes if the world is to outlive Redis.",
    )


async def _probe(url: str, world: str, place: str, deadline: float) -> Finding:
    """Write through a script and wait for the publication, as a worker's readiness does."""
    bus = RedisBus(url, world, f"check-{secrets.token_hex(4)}", deadline=deadline)
    trips = []
    with _silent_bus():
        try:
            await bus.start(lambda room, payload: None, lambda: None)
            for _ in range(PROBES):
                began = time.perf_counter()
                await bus.probe()
                trips.append(time.perf_counter() - began)
        except (GameserverError, TimeoutError) as error:
            reason = _cause(error, deadline)
            if isinstance(error, StoreRefused) or "NOPERM" in reason:
                return wrong("writing", f"Redis at {place} does not let this user run scripts or publish: {reason}.")
            return down("writing", f"Redis at {place} does not take writes: {reason}.")
        finally:
            await bus.close()
    middle = sorted(trips)[len(trips) // 2]
    return fine("writing", f"A write and its publication go round in {middle * 1000:.1f} ms.")


@contextlib.contextmanager
def _silent_bus() -> Iterator[None]:
    """What the bus would log of its attempts is told as a finding."""
    logger = logging.getLogger("gameserver.buses")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"[0-9]+", version)[:2])


def _refused(place: str, error: StoreRefused) -> Finding:
    match error.word:
        case "WRONGPASS":
            return wrong("redis", f"Redis at {place} does not accept the user and password in GAMESERVER_REDIS_URL.")
        case "NOAUTH":
            return wrong("redis", f"Redis at {place} wants a password: put it into GAMESERVER_REDIS_URL.")
        case "ERR" if "unknown command" in error.message and "HELLO" in error.message.upper():
            return wrong("version", f"Redis at {place} is older than 6: 7.0 or newer is needed.")
        case _:
            return wrong("redis", f"Redis at {place} refuses what a worker needs: {_reason(error)}.")


def _cause(error: GameserverError | TimeoutError, deadline: float) -> str:
    cause = error.__cause__
    if isinstance(cause, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError) or isinstance(cause, TimeoutError):
        return f"no answer within {deadline:g} s"
    if isinstance(cause, socket.gaierror):
        return "its host cannot be resolved"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.rstrip(".")
    return _reason(error)


def _reason(error: GameserverError | TimeoutError) -> str:
    return str(error).removeprefix("the store refused: ").rstrip(".")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."
