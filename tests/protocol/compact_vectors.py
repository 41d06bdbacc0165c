"""The vectors of the compact encoding: every message, and every form it can have, as one connection after the other.

`python -m tests.protocol.compact_vectors` writes tests/vectors/compact.json anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from gameserver.errors import InvalidArgument, RateLimited
from gameserver.protocol import outgoing
from gameserver.protocol.codec import JSON
from gameserver.protocol.codes import Close, Priority
from gameserver.protocol.compact import compact_codec

PATH = Path(__file__).parent.parent / "vectors" / "compact.json"

BASE = 1_750_000_000_000
HERE, THERE, MINE = "sector:7", "sector:8", "private:ada"
SCHEMA = {
    # Neither kinds nor fields are in the order of their numbers here.
    "ship": {"y": "f32", "x": "f32", "hull": "int", "name": "str?", "boost": "f32?"},
    "port": {"price": "int", "stock": "int", "tax": "float", "open": "bool", "links": "list", "owner": "map"},
    "buoy": {},
    "wide": {f"f{number:02}": "int" for number in range(40)},
    "héron": {"ø": "int", "z": "int"},
}


def welcome(recovered: dict[str, bool] | None = None) -> outgoing.Welcome:
    return outgoing.welcome(
        session="s1",
        resume_token="secret",
        player="ada",
        worker="w1",
        now=BASE + 5000,
        heartbeat=20.0,
        limits={"message": 16384},
        commands={"move": {"type": "object"}},
        schema=SCHEMA,
        recovered=recovered,
    )


def event(seq: int, index: int = 0, sender: str | None = None, at: int = 60_000, **data: Any) -> outgoing.Event:
    return outgoing.event("said", data, sender, seq, index, BASE + at, Priority.CHAT)


def of_every_type() -> list[Any]:
    return [
        welcome(),
        outgoing.snapshot(HERE, 3, 130, {"ship:1": {"x": 0.5, "y": -2.25, "hull": 100}, "buoy:1": {}}, 4_294_967_295),
        outgoing.delta(HERE, 130, 131, sets={"ship:1": {"hull": 99}}),
        outgoing.verify(HERE, 3, 131, 12345),
        outgoing.lost(HERE, 100, 120),
        outgoing.lost(HERE, 100, 120, Priority.CHAT),
        outgoing.signal(HERE, "pose", {"at": [1.5, None], "raw": b"\x00\xff"}),
        outgoing.signal(HERE, "typing", True, "bob"),
        outgoing.signal(HERE, "empty", None, "bob"),
        outgoing.signal(HERE, "map", {"a": 1}),
        outgoing.command_ack(7, {HERE: 131, MINE: 4}),
        outgoing.command_ack("seven", {}),
        outgoing.command_refusal(8, RateLimited("too often", retry_after=1.5)),
        outgoing.error("bad_message", "not a map"),
        outgoing.refusal(InvalidArgument("no such room"), "id"),
        outgoing.quality("low", "slow line"),
        outgoing.refreshed(1_900_000_000),
        outgoing.pong(12.25, BASE + 6000),
        outgoing.pong(12, BASE + 6001),
        outgoing.left(HERE, "moved"),
        outgoing.goodbye(Close.RESTART, "the worker restarts", 0.75),
    ]


def state() -> dict[str, dict[str, Any]]:
    """Entities, ids, kinds and values of all sorts."""
    return {
        "ship:0": {"x": 1.0, "y": 2.0, "hull": 3},
        "ship:4294967295": {"y": 5.5, "x": 4.5, "hull": 6},
        "ship:4294967296": {"x": 7.0},
        "ship:007": {"x": 8.0},
        "ship:-1": {"x": -0.5},
        "ship:": {"x": 9.0},
        "ship": {"x": 10.0},
        "ship:a:b": {"name": "Ünïcødé", "hull": -129},
        "ship:٣": {"hull": 2**53 - 1},
        "ship:odd": {"x": 0.1, "y": 1.0},
        "ship:unknown": {"hull": 1, "colour": "red"},
        "port:1": {
            "price": 10,
            "stock": 70_000,
            "tax": 0.25,
            "open": True,
            "links": [1, "two"],
            "owner": {"id": "ada"},
        },
        "port:2": {"price": 11, "stock": 0, "tax": 1e300, "open": False, "links": [], "owner": {}},
        "buoy:1": {},
        "buoy:2": {},
        "buoy": {},
        "wide:1": {"f00": 1, "f30": 2},
        "wide:2": {"f00": 1, "f31": 2},
        "héron:1": {"ø": 1, "z": 2},
        "player:ada": {"name": "Ada", "status": "online", "devices": 1},
        "player:bob": {"name": "Bob", "status": "away", "devices": 2, "team": "red"},
        "session:s1": {"worker": "w1"},
        "world": {"name": "frontier"},
        "nothing": {},
        ":": {"x": 1},
        "": {"x": 2},
    }


def of_state() -> list[Any]:
    content = state()
    ships = {f"ship:{number}": {"x": number / 4, "y": -number / 2} for number in range(40)}
    return [
        welcome(),
        outgoing.snapshot(HERE, 3, 1, {}, 0),
        outgoing.snapshot(THERE, 3, 1, content, 77),
        *(outgoing.delta(HERE, at, at + 1, sets={entity: content[entity]}) for at, entity in enumerate(content, 1)),
        outgoing.delta(HERE, 40, 41, sets=ships),
        outgoing.delta(HERE, 41, 42, sets={"ship:1": {"x": None, "y": 2.0}, "ship:2": {"x": 1.0, "y": None}}),
        outgoing.delta(HERE, 42, 43, sets={"ship:1": {"x": None}}),
        outgoing.delta(HERE, 43, 44, sets={"port:1": {"price": None, "open": None}, "ship:1": {"name": None}}),
        outgoing.delta(HERE, 44, 45, list(content), content),
        outgoing.delta(HERE, 45, 46, ["ship:1"]),
        outgoing.delta(HERE, 46, 47),
    ]


def of_seqs() -> list[Any]:
    """Short and long deltas: how far seq goes, whatever it was before."""
    change = {"port:1": {"stock": 1}}
    return [
        welcome(),
        outgoing.snapshot(HERE, 3, 125, {}, 0),
        outgoing.delta(HERE, 125, 126, sets=change),
        outgoing.delta(HERE, 120, 128, sets=change),
        outgoing.delta(HERE, 128, 255, sets=change),
        outgoing.delta(HERE, 255, 383, sets=change),
        outgoing.delta(HERE, 383, 70_000, sets=change),
        outgoing.delta(HERE, 70_000, 70_001, sets=change, events=[event(70_001, text="hello")]),
        outgoing.delta(
            HERE,
            70_001,
            70_004,
            events=[
                event(70_002, 0, "bob", -5, text="before the base"),
                event(70_002, 3),
                event(70_004, 0, "bob", 2**33, deep={"a": [1, {"b": None}]}),
                event(70_004, 1, "bob"),
            ],
        ),
        outgoing.delta(HERE, 70_004, 70_010, ["ship:9"], change, partial=True, watermark=70_008),
        outgoing.delta(HERE, 70_004, 70_010, partial=True),
        outgoing.delta(HERE, 70_004, 70_010, sets=change),
        outgoing.delta(HERE, 70_010, 70_010, events=[event(70_009)], watermark=70_010),
        outgoing.delta(HERE, 70_010, 70_011, sets=change),
        outgoing.snapshot(HERE, 4, 3, {}, 0),
        outgoing.delta(HERE, 3, 4, sets=change),
        outgoing.snapshot(HERE, 5, 2**52, {}, 0),
        outgoing.delta(HERE, 2**52, 2**52 + 1, sets=change),
        outgoing.delta(HERE, 2**52 + 1, 2**52 + 100, sets=change),
    ]


def of_resume() -> list[Any]:
    """Recovered rooms are known by the welcome, at the position of the hello."""
    return [
        welcome({HERE: True, MINE: True, THERE: False}),
        outgoing.delta(HERE, 1000, 1090, sets={"port:1": {"stock": 1}}),
        outgoing.delta(MINE, 7, 8, sets={"ship:1": {"x": 0.5}}),
        outgoing.snapshot(THERE, 3, 50, {}, 0),
        outgoing.delta(THERE, 50, 51, sets={"ship:1": {"x": 0.5}}),
    ]


def without_handles() -> list[Any]:
    """Rooms that have no handle are named."""
    return [
        welcome({HERE: True}),
        outgoing.delta(HERE, 9, 10, sets={"port:1": {"stock": 1}}),
        outgoing.snapshot(THERE, 3, 50, {"port:1": {"stock": 1}}, 5),
        outgoing.verify(THERE, 3, 50, 5),
        outgoing.signal(THERE, "pose", 1),
    ]


def connections() -> list[dict[str, Any]]:
    """Each with a name, what the client said hello with, and its messages with their encoding in hex."""
    hello = {HERE: [3, 1000], MINE: [3, 7, 9], THERE: [3, 12]}
    return [
        connection("every type", of_every_type()),
        connection("state", of_state()),
        connection("positions", of_seqs()),
        connection("resumed", of_resume(), hello),
        connection("rooms without handles", without_handles(), {HERE: [3, 9]}, handles=False),
        connection(
            "many rooms", [welcome(), outgoing.snapshot(HERE, 1, 1, {}, 0), outgoing.verify(HERE, 1, 1, 0)], rooms=300
        ),
    ]


def connection(
    name: str, messages: list[Any], hello: dict[str, list[int]] | None = None, handles: bool = True, rooms: int = 0
) -> dict[str, Any]:
    codec = compact_codec(SCHEMA, BASE)
    table = codec.handles
    assert table is not None
    held = [table.hold(f"private:{number}") for number in range(rooms)]
    held += [table.hold(room) for room in (HERE, THERE, MINE) if handles]
    # As in gameserver.v1.json: binary is base64.
    encoded = [
        {"encoded": codec.encode(message).hex(), "message": orjson.loads(JSON.encode(message))} for message in messages
    ]
    assert len(table.numbers) == len(held)
    return {"name": name, "hello": hello or {}, "messages": encoded}


if __name__ == "__main__":
    PATH.write_bytes(orjson.dumps(connections(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
