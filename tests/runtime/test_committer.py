"""Batches and groups: what goes together, what is answered when, and in which order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gameserver.buses.memory_store import MemoryStore
from gameserver.errors import Conflict, GameserverError, RateLimited, Rejected
from gameserver.runtime import committer as module
from gameserver.state.draft import Draft
from tests.runtime.one_worker import OneWorker, Outsider, adding, setting, stored
from tests.runtime.virtual_time import idle, until
from tests.state.things import OTHER, ROOM


async def follow(worker: OneWorker, outsider: Outsider, counters: int = 3) -> None:
    """A room of counters at 0, followed."""
    for number in range(counters):
        outsider.write(ROOM, f"counter:{number}", n=0)
    await worker.follow(ROOM, OTHER)


def group_sizes(worker: OneWorker) -> list[list[int]]:
    """Per batch sent, the number of entities written in each of its groups."""
    return [[sum(len(part.writes) for part in group.rooms) for group in batch.groups] for batch in worker.bus.batches]


def count(store: MemoryStore, entity: str = "counter:1", room: str = ROOM) -> int:
    fields = stored(store, room, entity)
    return 0 if fields is None else fields["n"]


def following(entity: str, into: str) -> Callable[[Draft], None]:
    """Game code that copies one counter into another."""

    def run(draft: Draft) -> None:
        room = draft.room(ROOM)
        room[into].n = room[entity].n

    return run


async def test_what_waits_together_is_one_commit(worker: OneWorker, outsider: Outsider) -> None:
    """One batch, one group, one seq for all; each is answered with it."""
    await follow(worker, outsider)
    for number in range(3):
        worker.submit(f"w{number}", adding(ROOM, f"counter:{number}"))
    await until(lambda: len(worker.settled) == 3)
    assert worker.settled == [(f"w{number}", {ROOM: 4}) for number in range(3)]
    assert group_sizes(worker) == [[3]]
    assert worker.committer.stats.accepted == 3


async def test_one_batch_is_in_flight(worker: OneWorker, outsider: Outsider) -> None:
    """What comes meanwhile goes into the next one together."""
    await follow(worker, outsider)
    worker.bus.hold_commits()
    worker.submit("first", adding(ROOM, "counter:0"))
    await idle()
    worker.submit("second", adding(ROOM, "counter:1"))
    worker.submit("third", adding(ROOM, "counter:1"))
    await idle()
    assert worker.settled == []
    assert worker.committer.backlog == 2
    worker.bus.let_commits()
    await until(lambda: len(worker.settled) == 3)
    assert group_sizes(worker) == [[1], [1]]
    assert dict(worker.settled) == {"first": {ROOM: 4}, "second": {ROOM: 5}, "third": {ROOM: 5}}


async def test_nothing_to_commit(worker: OneWorker, outsider: Outsider) -> None:
    """Reading, or writing what is there already: answered without asking the store."""
    await follow(worker, outsider)
    assert await worker.committer.perform(lambda draft: draft.room(ROOM)["counter:1"]) == {}
    assert await worker.write(ROOM, "counter:1", n=0) == {}
    assert worker.bus.batches == []


async def test_only_changed_rooms_are_named(worker: OneWorker, outsider: Outsider) -> None:
    """An answer has the seq of every room the work changed, not of those it read or others changed."""
    await follow(worker, outsider)

    def both(draft: Draft) -> None:
        draft.room(OTHER).create("counter:9", n=draft.room(ROOM)["counter:1"].n)

    worker.submit("both", both)
    worker.submit("one", adding(ROOM, "counter:2"))
    worker.submit("word", lambda draft: draft.room("sector:far").event("said"))
    await until(lambda: len(worker.settled) == 3)
    assert dict(worker.settled) == {"both": {OTHER: 1}, "one": {ROOM: 4}, "word": {"sector:far": 1}}


async def test_who_reads_an_uncommitted_write_joins_its_group(worker: OneWorker, outsider: Outsider) -> None:
    """Accepted or refused together; who read nothing of it is on its own."""
    await follow(worker, outsider)
    worker.submit("tick", adding(ROOM, "counter:1"), alone=True)
    worker.submit("other", adding(ROOM, "counter:0"))
    worker.submit("reader", following("counter:1", "counter:2"))
    await until(lambda: len(worker.settled) == 3)
    assert group_sizes(worker) == [[2, 1]]


async def test_who_iterates_joins_who_creates(worker: OneWorker, outsider: Outsider) -> None:
    """Reading the membership sees what was created; creating beside a creation does not."""
    await follow(worker, outsider)
    worker.submit("first", setting(ROOM, "counter:8", n=1), alone=True)
    worker.submit("second", setting(ROOM, "counter:9", n=1), alone=True)
    await until(lambda: len(worker.settled) == 2)
    worker.submit("third", setting(ROOM, "counter:6", n=1), alone=True)
    worker.submit("fourth", setting(ROOM, "counter:7", n=1), alone=True)
    worker.submit("all", lambda draft: setting(OTHER, "counter:1", n=len(draft.room(ROOM).ids()))(draft), alone=True)
    await until(lambda: len(worker.settled) == 5)
    assert group_sizes(worker) == [[1, 1], [3]]
    assert worker.state(OTHER)["counter:1"]["n"] == 7


async def test_one_players_works_are_one_group(worker: OneWorker, outsider: Outsider) -> None:
    """In their order, though they have nothing else in common."""
    await follow(worker, outsider)
    worker.submit("first", adding(ROOM, "counter:0"), player="ada", alone=True)
    worker.submit("other", adding(ROOM, "counter:1"), player="bob", alone=True)
    worker.submit("second", adding(ROOM, "counter:2"), player="ada", alone=True)
    await until(lambda: len(worker.settled) == 3)
    assert group_sizes(worker) == [[2, 1]]


async def test_contested_entities_have_groups_of_their_own(worker: OneWorker, outsider: Outsider) -> None:
    """After a conflict those that touch the place stand alone, and a conflict there costs nobody else a re-run."""
    await follow(worker, outsider)
    worker.bus.intruders.append(lambda: outsider.write(ROOM, "counter:1", n=5))
    worker.submit("hot", adding(ROOM, "counter:1"))
    await until(lambda: worker.answer("hot"))
    worker.bus.intruders.append(lambda: outsider.write(ROOM, "counter:1", n=50))
    ran = []
    worker.submit("cold", lambda draft: (ran.append("cold"), adding(ROOM, "counter:2")(draft)))
    worker.submit("hot again", adding(ROOM, "counter:1"))
    worker.submit("cold too", adding(ROOM, "counter:0"))
    await until(lambda: len(worker.settled) == 4)
    assert group_sizes(worker) == [[1], [1], [2, 1], [1]]
    assert ran == ["cold"]
    assert worker.state(ROOM)["counter:1"]["n"] == 51


async def test_places_cool_down(worker: OneWorker, outsider: Outsider, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some batches without conflict the place is as any other."""
    monkeypatch.setattr(module, "HOT_BATCHES", 2)
    await follow(worker, outsider)
    worker.bus.intruders.append(lambda: outsider.write(ROOM, "counter:1", n=5))
    for place in range(3):
        worker.submit(f"hot {place}", adding(ROOM, "counter:1"))
        worker.submit(f"cold {place}", adding(ROOM, "counter:0"))
        await until(lambda: worker.committer.backlog == 0 and len(worker.settled) % 2 == 0)
    assert group_sizes(worker) == [[2], [1, 1], [1, 1], [2]]


def refusing(entity: str, at: int) -> Callable[[Draft], None]:
    def run(draft: Draft) -> None:
        if draft.room(ROOM)[entity].n == at:
            raise Rejected("enough")
        draft.room(ROOM)[entity].n += 100

    return run


async def test_a_refusal_over_committed_state_stands_at_once(worker: OneWorker, outsider: Outsider) -> None:
    """It waits for no commit and leaves no trace."""
    await follow(worker, outsider)
    worker.bus.hold_commits()
    worker.submit("other", adding(ROOM, "counter:2"))
    worker.submit("refused", refusing("counter:1", at=0))
    await idle()
    assert isinstance(worker.answer("refused"), Rejected)
    assert worker.answer("other") is None
    worker.bus.let_commits()
    await until(lambda: worker.answer("other"))
    assert worker.state(ROOM)["counter:1"]["n"] == 0


async def test_a_refusal_that_saw_an_uncommitted_write_waits_for_it(worker: OneWorker, outsider: Outsider) -> None:
    """What it goes by may never come to be."""
    await follow(worker, outsider)
    worker.bus.hold_commits()
    worker.submit("write", adding(ROOM, "counter:1"))
    worker.submit("refused", refusing("counter:1", at=1))
    await idle()
    assert worker.settled == []
    worker.bus.let_commits()
    await until(lambda: len(worker.settled) == 2)
    assert worker.answer("write") == {ROOM: 4}
    assert isinstance(worker.answer("refused"), Rejected)
    assert worker.committer.stats.rejected == 1


async def test_it_is_run_again_when_that_never_came_to_be(worker: OneWorker, outsider: Outsider) -> None:
    """The write it saw lost a conflict: over what is really there it is not refused."""
    await follow(worker, outsider)
    worker.bus.intruders.append(lambda: outsider.write(ROOM, "counter:1", n=7))
    worker.submit("write", adding(ROOM, "counter:1"))
    worker.submit("refused", refusing("counter:1", at=1))
    await until(lambda: len(worker.settled) == 2)
    assert isinstance(worker.answer("refused"), dict)
    assert worker.state(ROOM)["counter:1"]["n"] == 108


async def test_a_bug_of_the_game_is_its_commands_alone(worker: OneWorker, outsider: Outsider) -> None:
    """It is told that the game failed; whatever it wrote is dropped, the others are committed."""
    await follow(worker, outsider)

    def buggy(draft: Draft) -> None:
        draft.room(ROOM)["counter:1"].n = 5
        raise ZeroDivisionError

    worker.submit("bug", buggy)
    worker.submit("wrong", lambda draft: setattr(draft.room(ROOM)["counter:0"], "n", "five"))
    worker.submit("fine", adding(ROOM, "counter:2"))
    await until(lambda: len(worker.settled) == 3)
    failed = worker.answer("bug")
    assert isinstance(failed, GameserverError)
    assert "ZeroDivisionError" in failed.message
    wrong = worker.answer("wrong")
    assert isinstance(wrong, GameserverError)
    assert "counter.n" in wrong.message
    assert worker.answer("fine") == {ROOM: 4}
    assert [fields["n"] for fields in worker.state(ROOM).values()] == [0, 0, 1]


async def test_over_capacity(worker: OneWorker, outsider: Outsider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused at once with a hint; those that waited are served."""
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    await follow(worker, outsider)
    for place in range(3):
        worker.submit(f"w{place}", adding(ROOM, "counter:1"))
    refused = worker.answer("w2")
    assert isinstance(refused, RateLimited)
    assert refused.retry_after
    await until(lambda: len(worker.settled) == 3)
    assert worker.state(ROOM)["counter:1"]["n"] == 2


async def test_batches_are_bounded(worker: OneWorker, outsider: Outsider, monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch takes more than so many works; their order stays."""
    monkeypatch.setattr(module, "WORKS_AT_ONCE", 4)
    await follow(worker, outsider)
    for place in range(10):
        worker.submit(f"w{place}", adding(ROOM, "counter:1"))
    await until(lambda: len(worker.settled) == 10)
    assert len(worker.bus.batches) == 3
    assert worker.order == [f"w{place}" for place in range(10)]


# -- fences -----------------------------------------------------------------------------------------------


async def test_a_stale_tick_takes_no_command_down_with_it(
    worker: OneWorker, outsider: Outsider, store: MemoryStore
) -> None:
    """The tick is refused; a command that had read what it wrote runs again over what is there."""
    await follow(worker, outsider)
    stale = (await worker.bus.acquire("w1", 2.0)).token
    await worker.bus.release("w1")
    fresh = (await worker.bus.acquire("w2", 2.0)).token
    assert fresh > stale
    worker.submit("tick", adding(ROOM, "counter:1", 50), fence=stale, alone=True)
    worker.submit("reader", following("counter:1", "counter:2"))
    worker.submit("beside", adding(ROOM, "counter:0"))
    await until(lambda: len(worker.settled) == 3)
    assert isinstance(worker.answer("tick"), Conflict)
    assert isinstance(worker.answer("beside"), dict)
    assert worker.answer("reader") == {}
    assert [count(store, f"counter:{number}") for number in range(3)] == [1, 0, 0]
    assert worker.committer.stats.fenced == 1


async def test_a_fence_that_holds(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """The owner's tick is committed, in a group of its own."""
    await follow(worker, outsider)
    token = (await worker.bus.acquire("w1", 2.0)).token
    worker.submit("tick", adding(ROOM, "counter:1"), fence=token, alone=True)
    worker.submit("beside", adding(ROOM, "counter:0"))
    await until(lambda: len(worker.settled) == 2)
    assert [(group.fence, len(group.rooms)) for group in worker.bus.batches[0].groups] == [(token, 1), (0, 1)]
    assert count(store) == 1


async def test_perform_raises_what_refused_it(worker: OneWorker, outsider: Outsider) -> None:
    """And leaves nothing behind."""
    await follow(worker, outsider)
    with pytest.raises(Rejected, match="enough"):
        await worker.committer.perform(refusing("counter:1", at=0))
    assert worker.committer.backlog == 0
    assert worker.bus.batches == []
