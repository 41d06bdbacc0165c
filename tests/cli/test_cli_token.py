"""`gameserver token`: what it prints is what the server accepts."""

from __future__ import annotations

import pytest

from gameserver.asgi.auth import TokenVerifier
from gameserver.cli.main import main
from gameserver.settings import Settings
from tests.cli.processes import SECRET


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMESERVER_JWT_SECRET", SECRET)


@pytest.mark.usefixtures("secret")
async def test_all_claims_are_in_the_token(capsys: pytest.CaptureFixture[str]) -> None:
    """Role, name, team and lifetime as asked for."""
    assert main(["token", "ana", "--role", "player", "--name", "Ana", "--team", "red", "--lifetime", "60"]) == 0
    verifier = TokenVerifier(Settings.load({"GAMESERVER_JWT_SECRET": SECRET}).issuers)
    claims = await verifier.verify(capsys.readouterr().out.strip())
    assert (claims.player, claims.name, claims.role, claims.team) == ("ana", "Ana", "player", "red")


@pytest.mark.usefixtures("secret")
async def test_services_say_where_they_publish(capsys: pytest.CaptureFixture[str]) -> None:
    """--publish may be repeated."""
    assert main(["token", "sim", "--role", "service", "--publish", "sector:*", "--publish", "control"]) == 0
    verifier = TokenVerifier(Settings.load({"GAMESERVER_JWT_SECRET": SECRET}).issuers)
    claims = await verifier.verify(capsys.readouterr().out.strip())
    assert (claims.role, claims.publish) == ("service", ("sector:*", "control"))


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize(
    "arguments", [["not an id"], ["ana", "--team", "no team"], ["sim", "--role", "service", "--publish", "sector:*x"]]
)
def test_a_token_that_nobody_would_accept_is_not_made(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Better told here than by a 401."""
    assert main(["token", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("gameserver: No such token would be accepted: ")


@pytest.mark.usefixtures("secret")
def test_only_services_publish(capsys: pytest.CaptureFixture[str]) -> None:
    """A claim that the server would not look at is a misunderstanding."""
    assert main(["token", "ana", "--publish", "sector:*"]) == 2
    assert "--role service" in capsys.readouterr().err


def test_without_a_secret_there_is_no_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even in dev mode, whose random secret would be another one than the server's."""
    monkeypatch.setenv("GAMESERVER_DEV", "1")
    assert main(["token", "ana"]) == 2
    assert "GAMESERVER_JWT_SECRET" in capsys.readouterr().err
