"""The world "frontier": twenty sectors, trade between their ports, and ships that fight over them.

It is the demonstration and the reference: everything in it uses only what a game's author is given. Start reading at
`entities` (what there is), then `trading` (commands and a tick), then `founding` (the hooks).
"""

from gameserver.worlds.frontier import chat, combat, founding, movement, trading
from gameserver.worlds.frontier.entities import game

__all__ = ["chat", "combat", "founding", "game", "movement", "trading"]
