"""The rows: what is done, what must hold, and the figure that was measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from e2e_tests.attacks.arena import Arena

Injection = Callable[["Arena"], Awaitable[str]]
"""Does it, raises AssertionError when something does not hold, and answers what was measured."""


@dataclass(frozen=True)
class Row:
    """`thorough` rows take too long for every run of the tests."""

    family: str
    name: str
    holds: str
    injection: Injection
    thorough: bool = False


ROWS: list[Row] = []


def attack(family: str, name: str, holds: str, *, thorough: bool = False) -> Callable[[Injection], Injection]:
    """Enter an injection into the catalogue."""

    def enter(injection: Injection) -> Injection:
        ROWS.append(Row(family, name, holds, injection, thorough))
        return injection

    return enter
