"""What a row of the catalogue is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from e2e_tests.chaos.scene import Scene

Injection = Callable[["Scene"], Awaitable[str]]
"""Does the fault and answers the measured figure; raises AssertionError when what must hold does not."""


@dataclass(frozen=True)
class Twin:
    """The same fault without one mechanism: the row must fail then, or it proves nothing.

    `mechanism` is one of `e2e_tests.chaos.crippled`; `told` is what the failure has to say.
    """

    mechanism: str
    told: str = ""


@dataclass(frozen=True)
class Row:
    """`number` is that of the list; `how` says how it is done here, substitutes included. What is `quick` runs with
    the tests."""

    number: int
    fault: str
    how: str
    holds: str
    injection: Injection
    twins: tuple[Twin, ...] = ()
    quick: bool = False
    word: str = ""
    """For `--only`."""


@dataclass(frozen=True)
class Absent:
    """A row that is not shown, and why."""

    number: int
    fault: str
    why: str
