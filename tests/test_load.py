"""The load in C, the floor, and the way from a script to a page; how fast anything is, no test asks."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from benchmarks import fanout, soak
from benchmarks.bus import Bus
from benchmarks.contestants import Contestant, Floor
from benchmarks.native import Unavailable, program
from benchmarks.page import PLOTTED, compare, page
from benchmarks.peers import PEERS
from benchmarks.plan import Plan
from benchmarks.plots import Row, plot
from benchmarks.run import Run
from benchmarks.script import ID, STAMP, Message, Script, Speech, escaped, request
from benchmarks.tables import SATURATED
from benchmarks.world import Beat
from gameserver.bench.figures import Table
from gameserver.bench.machine import Cores
from gameserver.bench.processes import BenchmarkFailed
from gameserver.protocol.codec import JSON, MSGPACK
from gameserver.protocol.compact_schema import COMPACT

ANYWHERE = Cores(None, None, None)
CLIENTS = 6


@pytest.fixture
def native() -> None:
    """Skips, visibly, where the programs cannot be compiled."""
    try:
        program("load")
        program("floor")
    except Unavailable as reason:
        pytest.skip(str(reason))


def pace(contestant: Contestant, rooms: int) -> dict[str, Any]:
    """A fraction of a second of W2 with a handful of clients."""
    with contestant.start(ANYWHERE, rooms) as running:
        made = fanout.script(contestant, running, CLIENTS, rooms)
        message = contestant.message(fanout.payload())
        made.phase(
            "p", "paced", "publishers", message, 50, many=2, seconds=0.2, warm_up=0.0, subscribers=CLIENTS // rooms
        )
        return made.run(running.port, None, running.processes)[-1]


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("joined", [True, False])
def test_the_floor_delivers_to_everybody_in_the_room(joined: bool) -> None:
    """Each message reaches each member of its room once, and nobody else."""
    found = pace(Floor(joined=joined), 2)
    assert found["sent"] > 0
    assert found["delivered_in_all"] == found["expected"]
    assert found["delivery"]["count"] == found["expected"]
    assert 0 < found["delivery"]["p50"] <= found["delivery"]["p99"] <= found["delivery"]["worst"]
    assert found["lost"] == 0


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("subprotocol", [JSON.subprotocol, MSGPACK.subprotocol, COMPACT])
def test_the_bus_delivers_what_the_load_has_committed(subprotocol: str) -> None:
    """Our own handshake, welcome, snapshots and commands, as the load speaks them."""
    found = pace(Bus(redis=False, listening=subprotocol), 2)
    assert found["accepted"] > 0
    assert found["refused"] == found["unanswered"] == 0
    assert found["delivered_in_all"] == found["expected"]


@pytest.mark.usefixtures("native")
def test_answers_are_matched_with_their_commands() -> None:
    """Every command that is sent is answered once, when the last is waited for."""
    floor = Floor()
    with floor.start(ANYWHERE, 1) as running:
        made = Script()
        made.group("commanders", floor.listeners(), [floor.commander(running, number) for number in range(3)])
        made.join("commanders")
        made.phase("a", "saturated", "commanders", floor.command(), 2, seconds=0.1, warm_up=0.0)
        joined, found = made.run(running.port, None, running.processes)
    assert joined["connections"] == 3
    assert found["accepted"] > 6
    assert found["unanswered"] == 0


@pytest.mark.usefixtures("native")
def test_a_server_that_refuses_is_told_in_a_sentence() -> None:
    """A handshake that is not accepted ends the load, and its answer is shown."""
    bus = Bus(redis=False)
    with bus.start(ANYWHERE, 1) as running:
        made = Script()
        made.group("strangers", Speech(request("/ws")), [()])
        made.join("strangers")
        with pytest.raises(BenchmarkFailed, match=r"strangers: not accepted: HTTP/1\.1 401"):
            made.run(running.port, None, {})


def test_a_script_is_lines_of_words() -> None:
    """Bytes that would break a line are escaped, marks and arguments are left for the load."""
    assert escaped(b"a\tb\\\r\n\xff{1}") == "a\\x09b\\x5c\\x0d\\x0a\\xff{1}"
    made = Script()
    made.group("g", Speech(b"GET", (Message(b"hello", text=False), b"welcome")), [(b"one", b"two")], churn=2.0)
    made.phase("p", "paced", "g", Message(f"{STAMP}{ID}".encode()), 10, seconds=1, warm_up=0.5)
    assert made.lines[:5] == ["group\tg", "request\tGET", "send\tbinary\thello", "expect\twelcome", "churn\t2.0"]
    assert made.lines[5] == "connection\tone\ttwo"
    assert made.lines[6].split("\t")[-1] == STAMP + ID
    assert made.seconds == 1.5


@pytest.mark.parametrize("name", PEERS)
def test_messages_of_all_carry_the_stamp(name: str) -> None:
    """What a peer passes on is the payload, with the mark by which the load counts it."""
    payload = fanout.payload()
    assert len(payload) == fanout.SIZE
    assert payload.encode() in PEERS[name].message(payload).payload


def test_lateness_counts_from_the_beat() -> None:
    """A tick that comes late is late by how much, and the next one that is punctual is not early."""
    beat = Beat(0.1)
    began = [10.0, 10.1, 10.23, 10.3, 10.5]
    assert [round(beat.lateness(each), 6) for each in began] == [0, 0, 0.03, 0, 0]


def test_without_a_compiler_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that needs the load is measured then, and the page names the reason."""
    monkeypatch.setenv("CC", "no-such-compiler")
    program.cache_clear()
    run = Run(Plan.quick(), [])
    run.all(["W1"])
    program.cache_clear()
    [reason] = run.failed.values()
    assert "C" in reason
    assert run.to_json(0.0)["tables"] == []


def result() -> dict[str, Any]:
    table = Table("W1", "W1. Title", "A note.", SATURATED.columns)
    for us, ours in ((0.5, 0.25), (0.6, 0.2)):
        table.add("peer", us=us, per_s=10.0)
        table.add("gameserver, JSON", us=ours, per_s=5.0)
    return {
        "machine": {"cpu": "one"},
        "versions": {"peer": "1.2"},
        "rounds": 2,
        "seconds": 3,
        "missing": {"other": "no such package"},
        "failed": {},
        "tables": [table.to_json()],
    }


def test_the_page_says_who_is_ahead_and_who_is_missing() -> None:
    """Ratios are made within rounds, losses stand first, and a peer that could not be measured has its reason."""
    made = result()
    tables = {table["name"]: table for table in made["tables"]}
    text = page(made, tables, {"w1-us.svg"})
    lines = text.splitlines()
    behind = next(number for number, line in enumerate(lines) if line.endswith("| peer | 0.50 |"))
    ahead = next(number for number, line in enumerate(lines) if line.endswith("| peer | 2.50 |"))
    assert behind < ahead
    assert "- other: no such package" in lines
    assert "(performance/w1-us.svg)" in text
    assert [ratio for ratio, _ in compare(PLOTTED[0], tables["W1"])] == [2.5]


@pytest.mark.parametrize("logarithmic", [True, False])
def test_plots_are_well_formed(logarithmic: bool) -> None:
    """Labels with any characters, rows far apart, and a range of rounds."""
    rows = [Row("gameserver <JSON>", 0.25, 0.2, 0.3), Row("peer & co", 400.0, 400.0, 400.0)]
    drawn = ET.fromstring(plot("A title", "us", rows, digits=2, logarithmic=logarithmic))
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"gameserver <JSON>", "peer & co", "0.25", "400.00"} <= set(texts)


@pytest.mark.parametrize(("last", "drift", "code"), [(104, 0, 0), (120, 0, 1), (104, 1, 1)])
def test_the_soak_fails_when_memory_grows_or_a_replica_drifts(
    last: int, drift: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Memory is judged after the warm-up, the last fifth beside the first."""
    resident = [50, 90, 100, 100, 102, last]
    lines = [{"resident_kib": {"server": each}, "metrics": {"drift": drift}} for each in resident]
    assert soak.verdict(lines, 60.0) == code
    assert f"drift {drift}" in capsys.readouterr().out
