"""What a check found out, and what it means for starting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gameserver.cli.exits import DONE, FAILED, WRONG

Level = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` is a word or two for what was looked at, `text` a sentence; `exit_code` is 0 unless it fails."""

    level: Level
    subject: str
    text: str
    exit_code: int = DONE


def fine(subject: str, text: str) -> Finding:
    return Finding("ok", subject, text)


def doubtful(subject: str, text: str) -> Finding:
    """It runs all the same."""
    return Finding("warn", subject, text)


def down(subject: str, text: str) -> Finding:
    """The configuration may be right, but what it names does not serve now."""
    return Finding("FAIL", subject, text, FAILED)


def wrong(subject: str, text: str) -> Finding:
    """It cannot work as configured."""
    return Finding("FAIL", subject, text, WRONG)
