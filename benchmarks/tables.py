"""The tables of the page, in the order in which they stand on it."""

from __future__ import annotations

from gameserver.bench.figures import Column, Table

SATURATED = Table(
    "W1",
    "W1. Fan-out, saturated: 1,000 clients in one room",
    "One publisher, 32 messages of 150 bytes on the way. On the bus each is a command that is committed on Redis; peers\n"
    "pass a message on. One message to one client is one delivery.",
    (
        Column("per_s", "deliveries/s"),
        Column("per_cpu_s", "per server-CPU-s"),
        Column("us", "us of server CPU", 2),
        Column("server", "server's core %"),
        Column("bytes", "bytes"),
        Column("load", "load's core %"),
    ),
)
PACED = Table(
    "W2",
    "W2. Fan-out at a game's pace: 1,000 clients in 20 rooms, 20 Hz x 5 messages of 150 bytes",
    "100,000 deliveries a second. Latency is from when a message was due until its bytes are read.\n"
    "Patches of state (Colyseus, and the bus when it is late) may leave out what a newer value has replaced: % of due.",
    (
        Column("server", "server's core %", 1),
        Column("share", "% of due", 1),
        Column("p50_ms", "p50 ms", 2),
        Column("p99_ms", "p99 ms", 2),
        Column("worst_ms", "worst ms", 1),
        Column("bytes", "bytes"),
        Column("redis", "Redis' core %", 1),
        Column("load", "load's core %"),
    ),
)
