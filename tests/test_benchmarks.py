"""What `gameserver bench` runs says what it should; how fast anything is, no test asks."""

from __future__ import annotations

import pytest

from gameserver.bench import commits, receivers
from gameserver.bench.figures import Column, Table, quantile
from gameserver.bench.suite import WITHOUT_REDIS, Suite
from gameserver.bench.wire import client_frame, take_frames
from gameserver.bench.workloads import Plan
from gameserver.bench.world import HZ
from gameserver.protocol.frames import BINARY, TEXT, encode_frame


async def test_commits_of_every_kind_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest piece of the page: one worker in memory takes every kind of work, and refuses none."""
    monkeypatch.setattr(commits, "WARM_UP", 0.01)
    measured = await commits.run("", None, 0.02)
    assert list(measured) == list(commits.KINDS)
    for found in measured.values():
        assert found["refused"] == 0
        assert found["seconds"] >= 0.02
        assert found["redis_cpu_seconds"] is None


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_of_the_server_are_taken_apart(size: int) -> None:
    """However the bytes are cut, every complete frame is found and the rest is left."""
    stream = encode_frame(b"x" * size, True) + encode_frame(b"second", False)
    frames, rest = take_frames(stream)
    assert frames == [(TEXT & 0x0F, b"x" * size), (BINARY & 0x0F, b"second")]
    assert rest == b""
    for cut in {1, 2, 3, 9, len(stream) - 7, len(stream) - 1}:
        first, rest = take_frames(stream[:cut])
        more, rest = take_frames(rest + stream[cut:])
        assert first + more == frames
        assert rest == b""


@pytest.mark.parametrize("size", [0, 125, 126, 1000])
def test_frames_of_the_load_are_masked(size: int) -> None:
    """Every frame says that it is masked, by a key that leaves the payload readable."""
    frame = client_frame(b"y" * size, False)
    assert frame[0] == BINARY
    assert frame[1] & 0x80
    assert frame.endswith(b"y" * size)
    assert len(frame) - size == (6 if size < 126 else 8)


def test_late_ticks_are_charged_from_when_they_were_due() -> None:
    """One tick that began 12 ms late among punctual ones; nobody is early."""
    start = 1_795_000_000.25
    stamps = {start + number / HZ for number in range(40)}
    late = start + 40 / HZ + 0.012
    found = receivers.lateness(stamps | {late})
    assert found[late] == pytest.approx(0.012, abs=1e-5)
    assert all(found[stamp] == pytest.approx(0.0, abs=1e-5) for stamp in stamps)


def test_a_table_shows_median_and_extremes() -> None:
    """What was not measured is shown as such, one round is shown alone, several that differ with their range."""
    table = Table("t", "Title", "A note.", (Column("rate", "a second"), Column("share", "share %", 1)))
    table.add("one", rate=1234.0, share=None)
    for rate in (3.0, 1.0, 2000.0):
        table.add("three", rate=rate, share=50.0)
    lines = table.page().splitlines()
    assert lines[:2] == ["Title", "  A note."]
    assert lines[-2].split() == ["one", "1,234", "-"]
    assert lines[-1].split() == ["three", "3", "(1..2,000)", "50.0"]
    assert table.to_json()["rows"]["three"]["rate"] == {
        "median": 3.0,
        "min": 1.0,
        "max": 2000.0,
        "rounds": [3, 1, 2000],
    }
    assert table.to_json()["rows"]["one"] == {"rate": {"median": 1234, "min": 1234, "max": 1234, "rounds": [1234]}}


def test_quantiles_are_values_that_were_measured() -> None:
    """The largest is the answer for a share of all; nothing measured has no quantile."""
    assert quantile([], 0.5) is None
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 2.0, 4.0, 4.0]


def test_the_suite_measures_and_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest of its workloads, with a server of its own and in memory, as a page and as JSON."""
    monkeypatch.setenv("PATH", "")
    told: list[str] = []
    suite = Suite(only=["idle"], plan=Plan(idle=10))
    suite.run(told.append)
    assert told == [WITHOUT_REDIS, "round 1 of 1: idle"]
    [table] = suite.to_json()["tables"]
    assert list(table["rows"]) == ["idle, memory, JSON, 10 players"]
    assert "KiB/connection" in suite.page()
