"""Declaring a game: what an author is told at once instead of when the first player comes."""

import pytest

from gameserver import Context, Game


def keyword_only(ctx: Context, *, amount: int) -> None: ...
def positional_only(ctx: Context, amount: int, /) -> None: ...
def any_number(ctx: Context, *amounts: int) -> None: ...
def any_names(ctx: Context, **amounts: int) -> None: ...
def no_type(ctx: Context, amount) -> None: ...
def reserved_argument(ctx: Context, id: int) -> None: ...
def no_context() -> None: ...
async def asynchronous(ctx: Context) -> None: ...


@pytest.mark.parametrize(
    "handler",
    [
        keyword_only,
        positional_only,
        any_number,
        any_names,
        no_type,
        reserved_argument,
        no_context,
        asynchronous,
    ],
)
def test_a_signature_that_cannot_be_validated_is_refused(handler):
    """When it is declared, not when it is called."""
    game = Game("small")
    with pytest.raises(TypeError):
        game.command()(handler)
    assert not game.commands


def test_a_command_is_described_by_its_docstring():
    """What the author wrote is what clients are told."""
    game = Game("small")

    @game.command()
    def greet(ctx: Context, whom: str = "world") -> None:
        """Say hello."""

    assert game.commands["greet"].spec.description == "Say hello."


@pytest.mark.parametrize("name", ["hello", "ping", "subscribe"])
def test_the_protocols_names_are_taken(name):
    """A command may not be called like a message of the protocol."""
    with pytest.raises(ValueError, match=name):
        Game("small").command(name=name)(lambda ctx: None)


def test_nothing_is_declared_twice():
    """Neither commands nor kinds, the built-in ones included."""
    game = Game("small")
    game.command(name="go")(lambda ctx: None)
    with pytest.raises(ValueError, match="twice"):
        game.command(name="go")(lambda ctx: None)
    with pytest.raises(ValueError, match="twice"):
        game.entity(kind="player")(type("Other", (), {}))


@pytest.mark.parametrize("hz", [0, -1, 241])
def test_a_tick_has_a_frequency_that_can_be_kept(hz):
    """More than 0 and at most 240 times a second."""
    with pytest.raises(ValueError, match="240"):
        Game("small").tick(hz=hz, rooms="sector:*")
