"""Commits and replicas: what one work's fault, poison or another epoch must not do to the rest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gameserver.buses.memory_store import MemoryStore
from gameserver.errors import Rejected
from gameserver.state.commit import Event, Part, decode_commit, encode_part
from gameserver.state.draft import Draft
from tests.runtime.one_worker import OneWorker, Outsider, adding, setting, stored
from tests.runtime.virtual_time import until
from tests.state.things import OTHER, ROOM

# -- commits ----------------------------------------------------------------------------------------------------


async def test_a_refusal_that_waits_keeps_the_players_order(worker: OneWorker, outsider: Outsider) -> None:
    """A work refused for what may never come to be is run again: before what the player sent after it."""
    outsider.write(ROOM, "counter:0", n=0)
    outsider.write(ROOM, "counter:1", n=0)
    await worker.follow(ROOM, OTHER)

    def unless_taken(draft: Draft) -> None:
        if draft.room(ROOM)["counter:0"].n == 1:
            raise Rejected("taken")
        draft.room(OTHER).event("first")

    def second(draft: Draft) -> None:
        draft.room(OTHER).event("second")

    worker.bus.intruders.append(lambda: outsider.write(ROOM, "counter:0", n=7))
    worker.submit("other", adding(ROOM, "counter:0"))
    worker.submit("first", unless_taken, player="ada")
    worker.submit("second", second, player="ada", alone=True)
    await until(lambda: len(worker.settled) == 3)
    log = [decode_commit(payload) for payload in worker.bus.store.read_log(OTHER, 0, 100)]
    assert [event.name for commit in log for event in commit.events] == ["first", "second"]


async def test_an_answer_that_cannot_be_given(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """Whoever fails to take its answer costs the others of its batch nothing."""
    await worker.follow(ROOM)

    def fail(settled: object) -> None:
        raise TypeError("no place on the wire")

    faulty = worker.submit("faulty", setting(ROOM, "counter:0", n=1))
    faulty._settle = fail
    worker.submit("other", setting(ROOM, "counter:1", n=1))
    await until(lambda: worker.answer("other"))
    assert stored(store, ROOM, "counter:0") == stored(store, ROOM, "counter:1") == {"n": 1}
    await worker.write(ROOM, "counter:2", n=1)


async def test_a_batch_that_cannot_be_sent(worker: OneWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours while sending is answered to everybody concerned, and the next batch goes."""
    await worker.follow(ROOM)
    commit = worker.bus.commit

    async def fail(batch: Any) -> Any:
        raise OverflowError("a number too large for the store's encoding")

    monkeypatch.setattr(worker.bus, "commit", fail)
    worker.submit("lost", setting(ROOM, "counter:0", n=1))
    await until(lambda: worker.answer("lost"))
    monkeypatch.setattr(worker.bus, "commit", commit)
    await worker.write(ROOM, "counter:1", n=1)


async def test_refusals_get_their_turn(worker: OneWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are refused, the event loop is not theirs alone, and the store is asked of a few at a time."""
    monkeypatch.setattr("gameserver.runtime.committer.RUNS_AT_ONCE", 50)
    monkeypatch.setattr("gameserver.runtime.committer.WORKS_AT_ONCE", 10)
    await worker.follow(ROOM)

    def refuse(draft: Draft) -> None:
        raise Rejected("no")

    for number in range(200):
        worker.submit(f"anonymous:{number}", refuse)
        worker.submit(f"named:{number}", refuse, player="ada", id=f"i{number}")
    seen = set()
    while len(worker.settled) < 400:
        seen.add(len(worker.settled))
        await asyncio.sleep(0)
    assert len(seen) > 10
    assert max(len(group.commands) for batch in worker.bus.batches for group in batch.groups) <= 20


# -- replicas ---------------------------------------------------------------------------------------------------


async def test_poison_in_the_log(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """A commit that cannot be read is in the log as well: the room is loaded anew instead of read for ever."""
    await worker.follow(ROOM)
    outsider.write(ROOM, "counter:0", n=1)
    room = store._rooms[ROOM]
    poison = encode_part(Part([], {}, [Event(7, {}, None, 3)], []))  # type: ignore[arg-type]
    write, room.parts = outsider.write, [poison]
    write(ROOM, "counter:0", n=2)
    write(ROOM, "counter:0", n=3)
    await until(lambda: worker.seq(ROOM) == 3)
    assert worker.state(ROOM) == {"counter:0": {"n": 3}}


async def test_another_epoch_is_no_short_log(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """A store that came back empty while a gap is being filled does not make the old state pass for whole."""
    outsider.write(ROOM, "counter:0", n=1)
    await worker.follow(ROOM)
    entry = worker.replication._rooms[ROOM]
    store.clear()
    store.epoch(worker.replication.epoch + 1)
    worker.replication._mend(ROOM, entry)
    replica = await worker.replication.want(ROOM)
    assert replica.entities == {}


async def test_an_empty_store_is_shown_as_a_new_world(
    worker: OneWorker, outsider: Outsider, store: MemoryStore
) -> None:
    """A room that is loaded before anybody noticed has the new epoch from the start, and so have all others."""
    outsider.write(ROOM, "counter:0", n=1)
    outsider.write(OTHER, "counter:0", n=1)
    await worker.follow(ROOM, OTHER)
    old = worker.replication.epoch
    store.clear()
    worker.replication.distrust(ROOM)
    await worker.replication.want(ROOM)
    assert [(what, position.epoch > old) for what, room, position in worker.told.jumps if room == ROOM] == [
        ("reloading", False),
        ("reloaded", True),
    ]
    assert (await worker.replication.want(OTHER)).epoch == worker.replication.epoch > old


async def test_distrusted_while_it_is_mended(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """A replica found to be wrong is loaded again, also when a gap of it is being filled just then."""
    outsider.write(ROOM, "counter:0", n=1)
    await worker.follow(ROOM)
    replica = worker.replication.ready(ROOM)
    worker.bus.fates.append("lose")
    outsider.write(ROOM, "counter:1", n=1)
    worker.replication.expect(ROOM, 2)
    replica.entities["counter:0"]["n"] = 7
    before = worker.bus.calls["read_log"]
    await asyncio.sleep(0)
    assert worker.bus.calls["read_log"] == before + 1
    worker.replication.distrust(ROOM)
    await worker.replication.want(ROOM)
    assert worker.state(ROOM) == {"counter:0": {"n": 1}, "counter:1": {"n": 1}}
