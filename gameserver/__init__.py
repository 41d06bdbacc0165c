"""A horizontally scalable realtime game bus. Everything the author of a game needs is here."""

from gameserver.context import Context
from gameserver.errors import InvalidArgument, NotFound, Rejected
from gameserver.game import Game
from gameserver.protocol.codes import Priority
from gameserver.state.kinds import f32

__all__ = ["Context", "Game", "InvalidArgument", "NotFound", "Priority", "Rejected", "f32"]
__version__ = "0.1.0"
