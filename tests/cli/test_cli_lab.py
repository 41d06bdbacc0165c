"""`gameserver lab`: a cluster of real processes, hurt by a script."""

from __future__ import annotations

import re
import signal
import subprocess

import psutil
import pytest

from gameserver.lab.orders import ORDERS
from tests.cli.processes import command, environment

ROW = re.compile(r"worker (\d) +(\w+) +(\S+) +(\w+) +(.*)")


def run(script: str, *arguments: str, timeout: float = 55) -> str:
    """What it says to a script; it must end well, and leave no process behind."""
    done = subprocess.run(
        command("lab", "--port", "0", *arguments),
        env=environment({}),
        input=script,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(said: str) -> list[dict[str, tuple[str, str]]]:
    """Of each table: worker to its state and whether it is ready."""
    tables = [part.splitlines() for part in said.split("connections")[1:]]
    return [{found[1]: (found[2], found[4]) for line in table if (found := ROW.search(line))} for table in tables]


@pytest.mark.timeout(90)
def test_a_worker_is_killed_and_comes_back() -> None:
    """Its players go on elsewhere; what was asked for is what the table shows."""
    said = run(
        "status\nkill 1\nwait 2\nstatus\nstart 1\nready\nwait 1\nfreeze redis 1\nheal\nready\nstatus\n",
        "--workers",
        "2",
        "--bots",
        "6",
    )
    first, second, third = rows(said)
    assert first == {"1": ("running", "yes"), "2": ("running", "yes")}
    assert second == {"1": ("gone", "no"), "2": ("running", "yes")}
    assert third == first
    assert "worker 1 is gone" in said
    assert "redis was frozen for 1 s" in said
    pids = {int(pid) for pid in re.findall(r"running +(\d+)", said)}
    assert len(pids) == 4
    for pid in pids:
        with pytest.raises(subprocess.CalledProcessError):
            subprocess.run(["kill", "-0", str(pid)], check=True, capture_output=True)


@pytest.mark.timeout(90)
def test_publications_go_missing_and_redis_forgets() -> None:
    """What the line loses is counted, and a Redis that comes back empty is a new world that goes on."""
    said = run("lose 20\nwait 2\nstatus\nheal\nempty\nready\nstatus\nquit\nkill 1\n", "--workers", "1", "--bots", "4")
    assert "From now on 20 % of the publications are lost." in said
    lost = [int(count) for count in re.findall(r"of which (\d+) lost", said)]
    assert len(lost) == 2
    assert 0 < lost[0] <= lost[1]
    assert "Redis is back, and remembers nothing." in said
    assert rows(said)[-1] == {"1": ("running", "yes")}
    assert "worker 1 is gone" not in said


@pytest.mark.timeout(60)
def test_what_is_no_order() -> None:
    """It is named, with what was expected, and the lab goes on."""
    said = run(
        "dance\nkill 7\nkill\nlose much\nlose 101\nstatus now\nwait -1 # no\n# only a remark\nhelp\n",
        "--workers",
        "1",
        "--bots",
        "0",
    )
    assert "There is no 'dance'; help says what there is." in said
    assert said.count("Say who: redis, 1.") == 2
    assert said.count("Say how many percent of all publications, from 0 to 100.") == 2
    assert "Nothing is expected after it, not 'now'." in said
    assert "Say how many seconds, from 0 to 3600." in said
    assert all(f"  {word}" in said for word in ORDERS)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_end_it_ends_everything(number: signal.Signals) -> None:
    """While nobody has typed anything; Redis, workers and bots go with it."""
    lab = subprocess.Popen(
        command("lab", "--port", "0", "--workers", "1", "--bots", "1"),
        env=environment({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with lab:
        assert lab.stdout is not None
        assert "1 workers on one Redis" in lab.stdout.readline()
        started = psutil.Process(lab.pid).children(recursive=True)
        assert len(started) >= 3
        lab.send_signal(number)
        assert lab.wait(20) == 130
        _, alive = psutil.wait_procs(started, 10)
        assert not alive
