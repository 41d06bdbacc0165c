"""Where the runtime gets time and chance from: given to it, so that a simulation can give it others."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random, SystemRandom


@dataclass(slots=True)
class Clock:
    """`monotonic` in seconds of no meaning but their difference, `wall` in seconds since the Unix epoch."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    random: Random = field(default_factory=SystemRandom)
    """For what must not be guessed."""
    dice: Random = field(default_factory=Random)
    """For seeds of game code: a system call for each command would be too much."""

    def wall_ms(self) -> int:
        return int(self.wall() * 1000)

    def seed(self) -> int:
        return self.dice.getrandbits(63)
