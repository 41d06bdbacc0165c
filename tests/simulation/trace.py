"""Everything that happened in a run: a digest of all of it, and the last of it in words."""

from __future__ import annotations

from collections import Counter, deque
from hashlib import blake2b

from tests.simulation.loop import current

TAIL = 400
"""Lines kept for whoever looks into a failure."""


class Violated(AssertionError):
    """The first invariant that did not hold; `letter` is A to E, or another one letter that `invariants` explains."""

    def __init__(self, letter: str, words: str) -> None:
        super().__init__(f"{letter}: {words}")
        self.letter = letter


class Trace:
    """`counts` are by what happened. Two runs are the same when their `digest` is."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.counts: Counter[str] = Counter()
        self.violations: list[Violated] = []
        self.violated_at: list[str] = []
        """The tail at the moment of the first violation."""

    def note(self, kind: str, words: str = "", payload: bytes = b"") -> None:
        """It happened now. `payload` goes into the digest alone."""
        line = f"{current().time():9.4f} {kind} {words}"
        self.counts[kind] += 1
        self.tail.append(line)
        self._hash.update(line.encode())
        self._hash.update(payload)

    def violated(self, letter: str, words: str) -> None:
        """Remembered rather than raised: most of this runs where the server catches what is raised."""
        self.note("VIOLATED", f"{letter}: {words}")
        if not self.violations:
            self.violated_at = list(self.tail)
        self.violations.append(Violated(letter, words))

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
