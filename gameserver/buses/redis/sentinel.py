"""Asking sentinels which node is the primary of a service.

All are asked at once, and the answer of the newest failover counts: a sentinel that was cut off still tells of the
primary before. As soon as most have answered nobody waits for the rest, of which some may be dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from gameserver.buses.base import BusStats
from gameserver.buses.redis.connection import Connection, connect
from gameserver.buses.redis.faults import StoreRefused, unavailable
from gameserver.buses.redis.topology import Address, Node
from gameserver.errors import GameserverError

PENDING = 8


async def find_primary(address: Address, deadline: float) -> Node:
    """Where the service's primary is, as the sentinels have agreed. Raises Unavailable within `deadline` seconds."""
    asking = {asyncio.create_task(_ask(node, address, deadline)) for node in address.sentinels}
    answers: list[tuple[int, Node]] = []
    faults: list[str] = []
    try:
        for done in asyncio.as_completed(asking, timeout=deadline):
            try:
                answers.append(await done)
            except GameserverError as fault:
                faults.append(str(fault))
            if len(answers) * 2 > len(address.sentinels):
                break
    except TimeoutError:
        faults.append("the others gave no answer")
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    if not answers:
        raise unavailable(f"no sentinel tells where {address.service} is: {'; '.join(sorted(set(faults)))}")
    return max(answers)[1]


async def _ask(sentinel: Node, address: Address, deadline: float) -> tuple[int, Node]:
    """The number of the failover that made it the primary, and the primary. Raises GameserverError."""
    connection = await connect(
        *sentinel,
        lambda channel, payload: None,
        lambda: None,
        deadline=deadline,
        max_pending=PENDING,
        stats=BusStats(),
        tls=address.tls,
    )
    try:
        facts = _facts(await _told(connection, address))
    finally:
        connection.abort("it was asked")
    return int(facts["config-epoch"]), (facts["ip"], int(facts["port"]))


async def _told(connection: Connection, address: Address) -> Any:
    try:
        return await connection.call("SENTINEL", "MASTER", address.service)
    except StoreRefused as refused:
        if refused.word != "NOAUTH" or not address.password:
            raise
    await connection.call("AUTH", address.username or "default", address.password)
    return await connection.call("SENTINEL", "MASTER", address.service)


def _facts(reply: Iterable[bytes]) -> dict[str, str]:
    """Names and values in turn."""
    words = [word.decode(errors="replace") for word in reply]
    return dict(zip(words[::2], words[1::2], strict=True))
