"""Every commit of a world, taken from the log streams as they are written, so that no trimming loses one."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from e2e_tests.store import Store, StoredCommit, StoredEvent

LOOK_EVERY = 0.5


class Collector:
    """Reads in a thread of its own from entering the block to leaving it; `collect` reads once more.

    Raises AssertionError when a stream went on without some commit having been seen.
    """

    def __init__(self, store: Store) -> None:
        self.commits: dict[str, list[StoredCommit]] = {}
        self._store = store
        self._reading = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log collector")
        self._fault: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.wait(LOOK_EVERY):
                self._read()
        except BaseException as fault:
            self._fault = fault

    def collect(self) -> None:
        """Have everything that is in the streams now."""
        if self._fault is not None:
            raise self._fault
        self._read()

    def _read(self) -> None:
        with self._reading:
            after = {room: self.seq(room) for room in self._store.rooms()}
            for room, fresh in self._store.logs(after).items():
                seqs = [commit.seq for commit in fresh]
                expected = list(range(after[room] + 1, after[room] + 1 + len(fresh)))
                assert seqs == expected, f"the stream of {room} has {seqs[:3]}... after {after[room]}"
                self.commits.setdefault(room, []).extend(fresh)

    def seq(self, room: str) -> int:
        """The last commit of the room that was collected."""
        commits = self.commits.get(room)
        return commits[-1].seq if commits else 0

    def between(self, room: str, after: int, upto: int) -> list[StoredCommit]:
        """The commits with after < seq <= upto; the streams begin with 1."""
        return self.commits.get(room, [])[after:upto]

    def events(self, room: str, after: int, upto: int) -> list[StoredEvent]:
        return [event for commit in self.between(room, after, upto) for event in commit.events]

    @property
    def total(self) -> int:
        return sum(map(len, self.commits.values()))
