import pytest

from gameserver.testing import World
from gameserver.worlds.frontier import game


@pytest.fixture
def world():
    """A new frontier."""
    return World(game, seed=7)


@pytest.fixture
def ada(world):
    """A player of the red team, in sector:1."""
    return world.join("ada", name="Ada", team="red")


@pytest.fixture
def bob(world):
    """A player of the blue team, in sector:1."""
    return world.join("bob", name="Bob", team="blue")


@pytest.fixture
def rooms_read(world, monkeypatch):
    """The rooms whose replicas game code asked for, from now on."""
    read = set()
    replica_of = world._replica

    def noting(room):
        read.add(room)
        return replica_of(room)

    monkeypatch.setattr(world, "_replica", noting)
    return read
