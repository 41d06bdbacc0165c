"""The server's messages, row by row as docs/protocol.md lists them."""

from __future__ import annotations

from typing import Any

import pytest

from gameserver.errors import BadMessage, RateLimited, Rejected, Unavailable
from gameserver.protocol import outgoing
from gameserver.protocol.codec import JSON, MSGPACK
from gameserver.protocol.codes import Close, Priority
from gameserver.state.commit import FORMAT, Commit, Event, Header, Part

EVENT = outgoing.event("chat", {"text": "hi"}, "ada", 7, 0, 1700, Priority.CHAT)
WELCOME = outgoing.welcome(
    session="s1",
    resume_token="r1",
    player="ada",
    worker="w1",
    now=1700,
    heartbeat=20,
    limits={"command_memory_s": 300},
    commands={"move": {"type": "object"}},
    schema={"port": {"ore": "int"}},
)

ROWS: list[tuple[Any, dict[str, Any]]] = [
    (
        WELCOME,
        {
            "type": "welcome",
            "session": "s1",
            "resume_token": "r1",
            "player": "ada",
            "worker": "w1",
            "now": 1700,
            "heartbeat": 20,
            "limits": {"command_memory_s": 300},
            "commands": {"move": {"type": "object"}},
            "schema": {"port": {"ore": "int"}},
        },
    ),
    (
        outgoing.snapshot("global", 5, 7, {"a": {"x": 1}}, 9),
        {"type": "snapshot", "room": "global", "epoch": 5, "seq": 7, "state": {"a": {"x": 1}}, "sum": 9},
    ),
    (outgoing.delta("global", 6, 7), {"type": "delta", "room": "global", "prev": 6, "seq": 7}),
    (
        outgoing.delta("global", 6, 7, ["b"], {"a": {"x": None}}, [EVENT], partial=True, watermark=7),
        {
            "type": "delta",
            "room": "global",
            "prev": 6,
            "seq": 7,
            "del": ["b"],
            "set": {"a": {"x": None}},
            "events": [
                {
                    "name": "chat",
                    "data": {"text": "hi"},
                    "from": "ada",
                    "seq": 7,
                    "index": 0,
                    "at": 1700,
                    "priority": "chat",
                }
            ],
            "partial": True,
            "watermark": 7,
        },
    ),
    (outgoing.lost("global", 3, 5), {"type": "lost", "room": "global", "from": 3, "to": 5}),
    (
        outgoing.lost("global", 3, 5, Priority.CHAT),
        {"type": "lost", "room": "global", "from": 3, "to": 5, "lane": "chat"},
    ),
    (
        outgoing.signal("control", "pose", [None, 1.5]),
        {"type": "signal", "room": "control", "key": "pose", "data": [None, 1.5]},
    ),
    (
        outgoing.signal("control", "pose", 1, "arm"),
        {"type": "signal", "room": "control", "key": "pose", "data": 1, "from": "arm"},
    ),
    (outgoing.verify("global", 5, 7, 9), {"type": "verify", "room": "global", "epoch": 5, "seq": 7, "sum": 9}),
    (
        outgoing.command_ack("7", {"global": 8}),
        {"type": "command_ack", "id": "7", "ok": True, "seq": {"global": 8}},
    ),
    (
        outgoing.command_refusal(7, Rejected("out_of_stock", have=3)),
        {
            "type": "command_ack",
            "id": 7,
            "ok": False,
            "error": {"code": "out_of_stock", "message": "out of stock", "have": 3},
        },
    ),
    (
        outgoing.refusal(Unavailable("no store", retry_after=1.5), 7),
        {
            "type": "command_ack",
            "id": 7,
            "ok": False,
            "error": {"code": "unavailable", "message": "no store", "retry_after": 1.5},
        },
    ),
    (
        outgoing.refusal(RateLimited("slower", retry_after=0.25)),
        {"type": "error", "code": "rate_limited", "message": "slower", "retry_after": 0.25},
    ),
    (outgoing.error("bad_message", "no", 0), {"type": "error", "code": "bad_message", "message": "no", "id": 0}),
    (outgoing.left("sector:1", "moved"), {"type": "left", "room": "sector:1", "reason": "moved"}),
    (outgoing.quality("low", "rtt"), {"type": "quality", "tier": "low", "reason": "rtt"}),
    (outgoing.refreshed(1800), {"type": "refreshed", "exp": 1800}),
    (outgoing.pong(12.5, 1700), {"type": "pong", "at": 12.5, "now": 1700}),
    (
        outgoing.goodbye(Close.RESTART, "drain", 2.5),
        {"type": "goodbye", "code": 1012, "reason": "drain", "reconnect": True, "retry_after": 2.5},
    ),
    (
        outgoing.goodbye(Close.KICKED, "rude"),
        {"type": "goodbye", "code": 4411, "reason": "rude", "reconnect": False, "retry_after": 0.0},
    ),
]


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
@pytest.mark.parametrize(("message", "expected"), ROWS, ids=lambda value: value.get("type"))
def test_every_row_in_both_encodings(message: Any, expected: dict[str, Any], codec: Any) -> None:
    """[MSG1] Each message has exactly the fields of its row, absent ones left out, the same in both encodings."""
    assert codec.decode(codec.encode(message)) == expected


def test_welcome_of_a_resume() -> None:
    """[RES5] `recovered` is there on a resume, also when it names no room."""
    assert "recovered" not in WELCOME
    resumed = outgoing.welcome(
        session="s1",
        resume_token="r1",
        player="ada",
        worker="w1",
        now=1,
        heartbeat=20,
        limits={},
        commands={},
        schema={},
        recovered={},
    )
    assert resumed["recovered"] == {}


def test_events_of_a_commit() -> None:
    """[EVT1] [EVT2] Events are numbered through all parts of a commit; a lane unknown here is the least."""
    header = Header(FORMAT, 5, 7, 9, 1700, "w1", 3)
    commit = Commit(
        header,
        [
            Part(events=[Event("chat", {}, "ada", 4)]),
            Part(events=[Event("hit", {"by": 2}, None, 1), Event("odd", {}, None, 77)]),
        ],
    )
    assert outgoing.events_of(commit) == [
        {"name": "chat", "data": {}, "from": "ada", "seq": 7, "index": 0, "at": 1700, "priority": "chat"},
        {"name": "hit", "data": {"by": 2}, "seq": 7, "index": 1, "at": 1700, "priority": "combat"},
        {"name": "odd", "data": {}, "seq": 7, "index": 2, "at": 1700, "priority": "cosmetic"},
    ]


def test_details_do_not_replace_the_code() -> None:
    """[ERR1] A game's details stand beside code and message."""
    failure = Rejected("full", "the hold is full")
    failure.details["code"] = "forged"
    assert outgoing.error_body(failure) == {"code": "full", "message": "the hold is full"}


def test_a_bad_message_with_an_id_is_acknowledged() -> None:
    """[MSG4] A refusal is a command_ack whenever there is an id, 0 and the empty string of ids included."""
    assert outgoing.refusal(BadMessage("no"), 0)["type"] == "command_ack"
    assert outgoing.refusal(BadMessage("no"))["type"] == "error"
