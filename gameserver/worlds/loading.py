"""Finding the world that was asked for, with a plain sentence when it cannot be had."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gameserver.errors import SettingsError

if TYPE_CHECKING:
    from gameserver.game import Game


def load_world(spec: str) -> Game:
    """The game that `package.module:attribute` names. Raises SettingsError with one fault."""
    from gameserver.game import Game

    module_name, separator, attribute = spec.partition(":")
    if not separator or not all(part.isidentifier() for part in (*module_name.split("."), attribute)):
        raise SettingsError([f"The world must be named like package.module:attribute, not {spec!r}."])
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise SettingsError([f"The world {spec!r} cannot be loaded: there is no module {error.name!r}."]) from None
        raise SettingsError(
            [f"The world {spec!r} cannot be loaded: it needs {error.name!r}, which is missing."]
        ) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise SettingsError([f"The world {spec!r} cannot be loaded: importing it failed with {reason}."]) from error
    game = getattr(module, attribute, None)
    if game is None:
        raise SettingsError([f"The module {module_name!r} has no {attribute!r}: a world is named module:attribute."])
    if not isinstance(game, Game):
        raise SettingsError([f"{spec!r} is a {type(game).__name__}, not a gameserver.Game."])
    return game
