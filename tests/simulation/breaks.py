"""Negative twins: one mechanism at a time switched off, to see that the simulation notices.

What is left on must not be enough: a run that still holds all invariants proves nothing about the mechanism.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from gameserver.buses import memory_store
from gameserver.buses.base import Batch, BatchReply, Group, GroupResult
from gameserver.buses.memory_store import MemoryStore
from gameserver.state.commit import Commit
from gameserver.state.replica import Receipt, Replica


def _version() -> Any:
    """A commit is accepted whatever has changed since its base."""
    return patch.object(memory_store, "_contested", lambda room, part: None)


def _dedupe() -> Any:
    """The store does not know which commands it has answered."""
    return patch.object(MemoryStore, "_answered", lambda self, group: [])


def _gap() -> Any:
    """A replica takes whatever commit is newer than it."""
    receive = Replica.receive

    def receive_any(self: Replica, commit: Commit) -> Receipt:
        if commit.header.epoch == self.epoch and commit.header.seq > self.seq:
            self.seq = commit.header.seq - 1
        return receive(self, commit)

    return patch.object(Replica, "receive", receive_any)


@contextmanager
def _epoch() -> Iterator[None]:
    """Neither the store nor a replica minds from which life of the store something is."""
    commit, receive = MemoryStore.commit, Replica.receive

    def commit_any(self: MemoryStore, worker: str, batch: Batch) -> BatchReply:
        return commit(self, worker, replace(batch, epoch=self._epoch))

    def receive_any(self: Replica, received: Commit) -> Receipt:
        self.epoch = received.header.epoch
        return receive(self, received)

    with patch.object(MemoryStore, "commit", commit_any), patch.object(Replica, "receive", receive_any):
        yield


def _fence() -> Any:
    """The store accepts ticks of whoever held the lease once."""
    judge = MemoryStore._judge

    def judge_any(self: MemoryStore, group: Group) -> GroupResult:
        return judge(self, replace(group, fence=0))

    return patch.object(MemoryStore, "_judge", judge_any)


BREAKS: dict[str, Callable[[], Any]] = {
    "version": _version,
    "dedupe": _dedupe,
    "gap": _gap,
    "epoch": _epoch,
    "fence": _fence,
}
"""By the word that `make simulate BREAK=` takes: a context in which the mechanism is off."""
