"""The tables of the page, in the order in which they stand on it."""

from __future__ import annotations

from typing import Any

from gameserver.bench.figures import Column, Table, facts_page, show_table

SATURATED = Table(
    "W1",
    "W1. Fan-out, saturated: 1,000 clients in one room",
    "One publisher, 64 messages of 150 bytes on the way. On the bus each is a command that is committed on Redis;\n"
    "peers pass a message on. One message to one client is one delivery.",
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
COMMANDS = Table(
    "W3a",
    "W3a. Commands, answered alone: 200 clients",
    "Arguments are validated, a handler that touches nothing runs, the id is remembered, the answer is sent (peers:\n"
    "the arguments' types are looked at, the answer is sent). Each client keeps 1 or 4 on the way.",
    (
        Column("per_s", "answers/s"),
        Column("per_cpu_s", "per server-CPU-s"),
        Column("p50_ms", "p50 ms", 2),
        Column("p99_ms", "p99 ms", 2),
        Column("server", "server's core %"),
        Column("load", "load's core %"),
    ),
)
COMMITS = Table(
    "W3b",
    "W3b, c. Commands that are committed: 200 clients, 4 on the way each",
    "In memory the server has a core of its own. On Redis two workers, Redis and the load share both cores, unpinned.\n"
    "*Independent*: everybody changes a thing of their own in one room; *hot*: all change the same one; *moves*: a\n"
    "thing goes from one room to another in one commit.",
    (
        Column("per_s", "commands/s"),
        Column("per_cpu_s", "per worker-CPU-s"),
        Column("p50_ms", "p50 ms", 2),
        Column("p99_ms", "p99 ms", 2),
        Column("workers", "workers' core %"),
        Column("redis", "Redis' core %"),
        Column("load", "load's core %"),
    ),
)
ANSWERS = Table(
    "W3d",
    "W3c. From command to answer at 5,000 commands a second",
    "200 clients, independent things; open loop: measured from when a command was due, however late it was sent.",
    (
        Column("p50_ms", "p50 ms", 2),
        Column("p99_ms", "p99 ms", 2),
        Column("p999_ms", "p99.9 ms", 2),
        Column("worst_ms", "worst ms", 1),
        Column("late_ms", "sent late p99 ms", 2),
        Column("workers", "workers' core %"),
    ),
)
CONNECTIONS = Table(
    "W4",
    "W4. Connections: 5,000 that listen, in 100 rooms",
    "The bus: JWT (HS256), session, presence in a room of fifty, private room, snapshots, welcome. Peers: the\n"
    "handshake and a subscription. Memory is what the server's processes grow by, with 500 others there before.",
    (
        Column("number", "connections"),
        Column("kib", "KiB each", 1),
        Column("joins", "joins/s"),
        Column("joins_cpu", "per server-CPU-s"),
    ),
)
BYTES = Table(
    "W5",
    "W5. Bytes of one change on the wire",
    "Whole WebSocket messages as every member of the room gets them. Ours carry the position besides.",
    (
        Column("json", "JSON"),
        Column("msgpack", "MessagePack"),
        Column("compact", "compact"),
        Column("colyseus", "Colyseus"),
        Column("socketio", "socket.io"),
    ),
)
TICKS = Table(
    "W6",
    "W6. Ticks",
    "Latency is from when a room's tick was due until a client has read what it changed: waiting for its turn,\n"
    "running, committing on Redis, publication, delivery.",
    (
        Column("server", "server's core %", 1),
        Column("p50_ms", "p50 ms", 2),
        Column("p99_ms", "p99 ms", 2),
        Column("worst_ms", "worst ms", 1),
        Column("share", "% of due", 1),
        Column("answer_ms", "commands' p99 ms", 2),
        Column("redis", "Redis' core %", 1),
    ),
)
RECEIVING = Table(
    "W6b",
    "W6. Receiving a commit",
    "CPU time of one commit in this process: decoding it, applying it to the replica, encoding the delta as JSON and\n"
    "as MessagePack.",
    (
        Column("decode_us", "decode us", 2),
        Column("apply_us", "apply us", 2),
        Column("json_us", "JSON us", 2),
        Column("msgpack_us", "MessagePack us", 2),
        Column("all_us", "all us", 2),
    ),
)
GROWTH = Table(
    "W7",
    "W7. Growth: server CPU time per delivery, 5 commits in every flush",
    "40,000 deliveries a second in each row; the rate of commits falls as the members of a room grow. Flat is good.",
    (
        Column("us", "us per delivery", 2),
        Column("commits", "commits/s"),
        Column("share", "% of due", 1),
        Column("p99_ms", "p99 ms", 2),
        Column("server", "workers' core %", 1),
    ),
)
TABLES = (SATURATED, PACED, COMMANDS, COMMITS, ANSWERS, CONNECTIONS, BYTES, TICKS, RECEIVING, GROWTH)


def page(result: dict[str, Any]) -> str:
    """A result as text."""
    how = f"{result['rounds']} interleaved rounds: median (min..max)" if result["rounds"] > 1 else "one round"
    parts = [facts_page(result["machine"] | result["versions"]), f"{how}; {result['seconds']} s in all"]
    parts += [show_table(table) for table in result["tables"]]
    for what, reasons in (("Not measured, peers", result["missing"]), ("Not measured, ours", result["failed"])):
        parts += ["\n".join((what, *(f"  {name}: {reason}" for name, reason in reasons.items())))] if reasons else []
    return "\n\n".join(parts)
