"""Bots: what they count, and that they play on a real server."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameserver.cli.access import Access
from gameserver.cli.botting import Bot
from gameserver.cli.crowd import Summary, play
from gameserver.cli.latencies import RATIO, Latencies
from gameserver.errors import GameserverError, SettingsError
from tests.cli.processes import SECRET, run
from tests.redis_server import HOST, free_port


@given(st.lists(st.floats(1e-5, 100.0), min_size=1, max_size=200), st.sampled_from((0.5, 0.9, 0.99, 1.0)))
def test_quantiles_are_right_within_a_bucket(times: list[float], share: float) -> None:
    """The same as sorting all of them, to 2 %, also when they were counted in two places."""
    one, other = Latencies(), Latencies()
    for index, seconds in enumerate(times):
        (one if index % 2 else other).add(seconds)
    one.merge(other)
    exact = sorted(times)[max(0, -int(-share * len(times) // 1) - 1)]
    measured = one.quantile(share)
    assert measured is not None
    assert exact / RATIO <= measured <= exact * RATIO * 1.0001


def test_nothing_measured_is_no_figure() -> None:
    """None instead of a number that means nothing."""
    assert Latencies().quantile(0.5) is None
    assert Summary(0, 0.0).figures()["latency_p99"] is None


def test_urls_of_the_endpoints() -> None:
    """Any of them leads to the others; a path behind a proxy stays as it is."""
    assert Access("ws://there:9").url_for("player") == "ws://there:9/ws"
    assert Access("ws://there/ws/admin").url_for("player") == "ws://there/ws"
    assert Access("wss://there/ws").url_for("service") == "wss://there/ws/service"
    assert Access("wss://there/game/live").url_for("admin") == "wss://there/game/live"


@pytest.mark.parametrize("url", ["http://there/ws", "there", "ws://", "ws://there:99999/", "ws://there:x/"])
def test_a_url_that_is_none(url: str) -> None:
    """Told before anything is connected."""
    with pytest.raises(SettingsError, match="The URL must be like"):
        Access(url)


async def test_tokens_are_signed_here_when_the_secret_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is asked then; a given token goes before everything."""
    nowhere = f"ws://{HOST}:{free_port()}/ws"
    with pytest.raises(GameserverError, match=r"No server answers .*Is it running\?"):
        await Access(nowhere).token("ana")
    monkeypatch.setenv("GAMESERVER_JWT_SECRET", SECRET)
    assert (await Access(nowhere).token("ana")).count(".") == 2
    monkeypatch.setenv("GAMESERVER_TOKEN", "from.the.environment")
    assert await Access(nowhere).token("ana") == "from.the.environment"
    assert await Access(nowhere, "as.an.argument").token("ana") == "as.an.argument"
    with pytest.raises(SettingsError, match="a JWT is three words"):
        Access(nowhere, "no token")


async def test_bots_play_and_everything_is_counted(demo: str) -> None:
    """Over real connections: accepted commands with their answers, refusals by their codes, the rooms still held."""
    access = Access(demo)
    accepted: list[str] = []

    def brain(player: str, rooms: object, dice: random.Random) -> tuple[str, dict[str, object]]:
        return dice.choice((("chat", {"channel": "global", "text": "hello"}), ("move", {"to": "sector:77"})))

    bots = [
        Bot(
            access.url_for("player"),
            await access.token(f"tester-{number}"),
            brain=brain,
            rate=50,
            encoding=encoding,
            on_accepted=lambda name, arguments, ack: accepted.append(name),
        )
        for number, encoding in enumerate(("json", "msgpack"))
    ]
    stop = asyncio.Event()
    playing = asyncio.create_task(play(bots, stop))
    for bot in bots:
        await bot.client.wait_for(lambda _, bot=bot: bot.tally.accepted and bot.tally.rejected, timeout=20)
    stop.set()
    summary = await playing
    assert summary.good
    assert summary.tally.accepted.total() == len(accepted) == summary.tally.latencies.count
    assert set(summary.tally.accepted) == {"chat"}
    assert set(summary.tally.rejected) <= {"no_link", "rate_limited"}
    assert all(bot.client.connected for bot in bots)
    for bot in bots:
        await bot.close()


async def test_a_bot_that_is_turned_away_says_why(demo: str) -> None:
    """The crowd ends when nobody is left, and the reason is counted."""
    bot = Bot(demo, "not.a.token", rate=50)
    summary = await asyncio.wait_for(play([bot], asyncio.Event()), 20)
    await bot.close()
    assert not summary.good
    assert ["401" in reason for reason in summary.gone] == [True]


async def test_stopping_does_not_wait_for_a_server_that_is_not_there() -> None:
    """Ctrl-C while connecting ends at once."""
    bot = Bot(f"ws://{HOST}:{free_port()}/ws", "token")
    summary = await asyncio.wait_for(play([bot], asyncio.Event(), seconds=0.1), 5)
    await bot.close()
    assert summary.tally.accepted.total() == 0


def test_the_command_prints_one_line(demo: str) -> None:
    """For people a sentence of figures, for programs the same as JSON."""
    arguments = ("bots", "--url", demo, "--count", "4", "--rate", "20", "--seconds", "2")
    done = run(*arguments, "--prefix", "people")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith("4 bots in 2.")
    assert "commands accepted" in line
    assert "0 mismatches" in line
    figures = json.loads(run(*arguments, "--json", "--prefix", "programs").stdout)
    assert figures["bots"] == 4
    assert figures["accepted"] == sum(figures["accepted_by_command"].values()) > 0
    assert figures["latency_p50"] <= figures["latency_p99"]


def test_no_server_is_told_once() -> None:
    """Not by every bot."""
    done = run("bots", "--url", f"ws://{HOST}:{free_port()}/ws")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "Is it running?" in line
