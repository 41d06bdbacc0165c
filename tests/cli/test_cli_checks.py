"""What the checks say of a store, by what it says of itself and by real servers."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from gameserver.cli.checks import examine, load_world_here
from gameserver.cli.findings import Finding
from gameserver.cli.redis_checks import check_redis, judge
from gameserver.cli.sockets import bind, port_of, web_address
from gameserver.errors import SettingsError
from tests.cli.processes import SECRET
from tests.redis_server import HOST, RedisServer, free_port, redis_server

GREETING = {b"version": b"7.0.15", b"mode": b"standalone", b"role": b"master"}
FACTS = {"maxmemory_policy": "noeviction", "aof_enabled": "1"}
DEADLINE = 5.0


def failing(findings: list[Finding]) -> list[str]:
    return [finding.text for finding in findings if finding.level == "FAIL"]


def test_a_good_store_is_fine() -> None:
    """Nothing to complain of, nothing to advise."""
    assert {finding.level for finding in judge("here", GREETING, FACTS)} == {"ok"}


@pytest.mark.parametrize(("version", "good"), [("6.2.14", False), ("7.0.0", True), ("8.0-rc1", True), ("10.1.0", True)])
def test_versions_are_compared_as_numbers(version: str, good: bool) -> None:
    """7.0 is the first with sharded publications; 10 is more than 7."""
    faults = failing(judge("here", GREETING | {b"version": version.encode()}, FACTS))
    assert faults == ([] if good else [f"Redis at here is version {version}: 7.0 or newer is needed."])


def test_a_replica_takes_no_writes() -> None:
    """It says so itself."""
    (fault,) = failing(judge("here", GREETING | {b"role": b"replica"}, FACTS))
    assert "replica" in fault


def test_an_unknown_policy_is_a_warning() -> None:
    """Whoever hosts Redis may hide its configuration; that alone keeps nobody from starting."""
    levels = {finding.subject: finding.level for finding in judge("here", GREETING, None)}
    assert levels["policy"] == "warn"
    assert "FAIL" not in levels.values()


def test_a_world_that_ends_with_redis_is_worth_a_word() -> None:
    """Advice, not a fault."""
    levels = {finding.subject: finding.level for finding in judge("here", GREETING, FACTS | {"aof_enabled": "0"})}
    assert levels["persistence"] == "warn"


async def test_a_real_store_is_probed(store: RedisServer) -> None:
    """A write and its publication go round, and how long it took is told."""
    found = await check_redis(store.url, "probed", DEADLINE)
    assert not failing(found)
    assert found[-1].subject == "writing"
    assert found[-1].text.startswith("A write and its publication go round in ")


async def test_an_evicting_store_is_refused(evicting: RedisServer) -> None:
    """With the policy it has and the one it needs."""
    (fault,) = failing(await check_redis(evicting.url, "world", DEADLINE))
    assert "allkeys-lru" in fault
    assert "set maxmemory-policy noeviction" in fault


async def test_a_store_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    """One sentence, and nothing logged besides."""
    port = free_port()
    (fault,) = failing(await check_redis(f"redis://{HOST}:{port}", "world", DEADLINE))
    assert fault == f"Redis at {HOST}:{port} cannot be reached: nothing listens there."
    assert not caplog.records


async def test_a_store_that_says_nothing() -> None:
    """The check ends by its deadline."""
    with socket.create_server((HOST, 0)) as silent:
        (fault,) = failing(await check_redis(f"redis://{HOST}:{silent.getsockname()[1]}", "world", 0.2))
    assert "cannot be reached" in fault
    assert "did not answer in time" in fault


async def test_passwords(caplog: pytest.LogCaptureFixture) -> None:
    """A missing and a wrong password are told apart, and never shown."""
    with redis_server("--requirepass", "right") as locked:
        (missing,) = failing(await check_redis(locked.url, "world", DEADLINE))
        (false,) = failing(await check_redis(locked.url.replace("//", "//:false-word@"), "world", DEADLINE))
        assert not failing(await check_redis(locked.url.replace("//", "//:right@"), "world", DEADLINE))
    assert "wants a password" in missing
    assert "does not accept the user and password" in false
    assert "false-word" not in false + caplog.text


async def test_what_a_user_may_not_do(caplog: pytest.LogCaptureFixture) -> None:
    """Without INFO and CONFIG the policy is a warning; without scripts nothing can work."""
    with redis_server() as store:
        with store.client() as client:
            client.execute_command("ACL", "SETUSER", "blind", "on", ">pass", "~*", "&*", "+@all", "-config", "-info")
            client.execute_command("ACL", "SETUSER", "mute", "on", ">pass", "~*", "&*", "+@all", "-@scripting")
        blind = await check_redis(store.url.replace("//", "//blind:pass@"), "world", DEADLINE)
        mute = await check_redis(store.url.replace("//", "//mute:pass@"), "world", 0.5)
    assert not failing(blind)
    assert "policy" in [finding.subject for finding in blind if finding.level == "warn"]
    (fault,) = failing(mute)
    assert "does not let this user run scripts" in fault
    assert not caplog.records


def test_every_fault_is_found_whatever_else_is_wrong(evicting: RedisServer) -> None:
    """Settings, world, port and store are looked at apart."""
    with socket.create_server((HOST, 0)) as other:
        port = str(other.getsockname()[1])
        found = examine(
            {"GAMESERVER_PORT": port, "GAMESERVER_VERIFY_S": "never"}, {"redis_url": evicting.url, "world": "no:world"}
        )
    subjects = [finding.subject for finding in found.findings if finding.level == "FAIL"]
    assert subjects == ["settings", "settings", "world", "port", "policy"]
    assert found.settings is None
    assert found.exit_code == 2


def test_good_settings_are_all_there_is_to_find() -> None:
    """What was loaded on the way is handed on."""
    found = examine({"GAMESERVER_JWT_SECRET": SECRET, "GAMESERVER_PORT": "0"}, {})
    assert not found.faults
    assert not found.warnings
    assert found.settings is not None
    assert found.game is not None
    assert found.exit_code == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_free_port_is_one_port(host: str) -> None:
    """For all addresses of a name."""
    bound = bind(host, 0)
    assert {each.getsockname()[1] for each in bound} == {port_of(bound)}
    for each in bound:
        each.close()


def test_a_shared_port_is_not_shared_with_strangers() -> None:
    """Workers of a fleet may bind it again, others may not."""
    with bind(HOST, 0, shared=True)[0] as first:
        first.listen()
        port = first.getsockname()[1]
        bind(HOST, port, shared=True)[0].close()
        with pytest.raises(SettingsError, match=f"Port {port} of {HOST} is taken"):
            bind(HOST, port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_this_machine(host: str) -> None:
    """Told with the host's name."""
    with pytest.raises(SettingsError, match=f"The host '{host}'"):
        bind(host, 0)


def test_addresses_as_one_types_them() -> None:
    """An address for every interface is reached by the loopback one, and IPv6 stands in brackets."""
    assert web_address("0.0.0.0", 8000) == "127.0.0.1:8000"
    assert web_address("::1", 8000) == "[::1]:8000"


def test_a_game_lies_where_its_author_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the current directory is found, whichever way the command was called."""
    (tmp_path / "backyard.py").write_text("from gameserver import Game\ngame = Game('backyard', start='sector:1')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert load_world_here("backyard:game").name == "backyard"
