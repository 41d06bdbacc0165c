import pytest

from gameserver.errors import SettingsError
from gameserver.game import Game
from gameserver.worlds.loading import load_world


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A directory of modules to load worlds from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "loading_good.py").write_text("from gameserver.game import Game\ngame = Game('good')\nother = 7\n")
    (tmp_path / "loading_broken.py").write_text("1 / 0\n")
    (tmp_path / "loading_needy.py").write_text("import loading_absent\n")
    return tmp_path


def test_a_world_is_loaded(modules):
    """`module:attribute` gives the game itself."""
    game = load_world("loading_good:game")
    assert isinstance(game, Game)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("loading_good", "named like package.module:attribute"),
        ("loading good:game", "named like package.module:attribute"),
        (":game", "named like package.module:attribute"),
        ("loading_nowhere:game", "no module 'loading_nowhere'"),
        ("loading_nowhere.deeper:game", "no module 'loading_nowhere'"),
        ("gameserver.worlds.atlantis:game", "no module 'gameserver.worlds.atlantis'"),
        ("loading_needy:game", "needs 'loading_absent'"),
        ("loading_broken:game", "ZeroDivisionError"),
        ("loading_good:world", "has no 'world'"),
        ("loading_good:other", "is a int, not a gameserver.Game"),
    ],
)
def test_why_a_world_cannot_be_loaded(modules, spec, said):
    """Each way of failing has its own sentence."""
    with pytest.raises(SettingsError) as caught:
        load_world(spec)
    assert len(caught.value.faults) == 1
    assert said in caught.value.faults[0]
