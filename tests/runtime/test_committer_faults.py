"""Commits over a store that fails and among workers that compete: every effect exactly once, and nobody starves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import repeat
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.buses.base import CLAIM_REFUSALS, Group, Outcome
from gameserver.buses.memory import MemoryBus
from gameserver.buses.memory_store import MemoryStore
from gameserver.errors import Conflict, Rejected, Unavailable
from gameserver.runtime import committer as module
from gameserver.runtime.batch import BatchBuilder
from gameserver.state.draft import Draft
from tests.buses.batches import Seat, write
from tests.compiled import on_sources
from tests.runtime.faulty_bus import LOSE
from tests.runtime.one_worker import OneWorker, Outsider, adding, new_store, stored
from tests.runtime.virtual_time import now, passed, run, until
from tests.state.things import OTHER, ROOM


async def follow(worker: OneWorker, outsider: Outsider, counters: int = 3) -> None:
    for number in range(counters):
        outsider.write(ROOM, f"counter:{number}", n=0)
    await worker.follow(ROOM, OTHER)


def count(store: MemoryStore, entity: str = "counter:1", room: str = ROOM) -> int:
    fields = stored(store, room, entity)
    return 0 if fields is None else fields["n"]


# -- conflicts --------------------------------------------------------------------------------------------


async def test_a_conflict_runs_it_again(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """Over what the other worker made of it; answered once, with the seq of the run that counts."""
    await follow(worker, outsider)
    worker.bus.intruders.append(lambda: outsider.write(ROOM, "counter:1", n=10))
    seen = []

    def add(draft: Draft) -> None:
        seen.append(draft.room(ROOM)["counter:1"].n)
        adding(ROOM, "counter:1")(draft)

    worker.submit("add", add)
    await until(lambda: worker.answer("add"))
    assert seen == [0, 10]
    assert worker.answer("add") == {ROOM: 5}
    assert count(store) == 11
    assert worker.committer.stats.conflicts == 1


async def test_without_comparison_an_update_is_lost(
    worker: OneWorker, outsider: Outsider, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above holds because the store compares, and of nothing else."""
    monkeypatch.setattr("gameserver.buses.memory_store._contested", lambda room, part: None)
    await follow(worker, outsider)
    worker.bus.intruders.append(lambda: outsider.write(ROOM, "counter:1", n=10))
    worker.submit("add", adding(ROOM, "counter:1"))
    await until(lambda: worker.answer("add"))
    assert count(store) == 1


async def test_a_conflict_nobody_told_us_of(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """The publication that would have shown it was lost: the refusal itself proves what is missing."""
    await follow(worker, outsider)

    def unseen() -> None:
        worker.bus.fates.append(LOSE)
        outsider.write(ROOM, "counter:1", n=10)

    worker.bus.intruders.append(unseen)
    worker.submit("add", adding(ROOM, "counter:1"))
    await until(lambda: worker.answer("add"), within=0.1)
    assert count(store) == 11
    assert worker.replication.stats.lost_echoes == 1


async def test_a_conflict_in_what_was_only_read(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """Also the membership: no decision stands on what has changed since."""
    await follow(worker, outsider)
    worker.bus.intruders.append(lambda: outsider.write(ROOM, "counter:7", n=10))

    def total(draft: Draft) -> None:
        room = draft.room(ROOM)
        adding(OTHER, "counter:1", sum(counter.n for _, counter in room.all("counter")))(draft)

    worker.submit("total", total)
    await until(lambda: worker.answer("total"))
    assert count(store, room=OTHER) == 10


async def test_conflicts_without_end(
    worker: OneWorker, outsider: Outsider, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many the command is refused with a hint, and has changed nothing."""
    monkeypatch.setattr(module, "MAX_CONFLICTS", 5)
    await follow(worker, outsider)
    worker.bus.intruders.extend(
        (lambda number=number: outsider.write(ROOM, "counter:1", n=number)) for number in range(1, 10)
    )
    worker.submit("add", adding(ROOM, "counter:1", 100))
    await until(lambda: worker.answer("add"))
    refused = worker.answer("add")
    assert isinstance(refused, Conflict)
    assert refused.retry_after
    assert count(store) == 6


async def test_a_claim_says_nothing_about_the_room(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """Turned away by a claim, nothing of the room is missing: no repair, and the turn comes."""
    await follow(worker, outsider)
    claimer = await Seat(MemoryBus(store, "claimer")).open()
    part = write(ROOM, 1, {"counter:1": {"n": 5}}, existing=["counter:1"])
    assert (await claimer.commit(Group([part], claim="claimer.1"))).results[0].outcome is Outcome.CONFLICT
    worker.submit("add", adding(ROOM, "counter:1"))
    await until(lambda: worker.answer("add"))
    assert worker.committer.stats.claimed == CLAIM_REFUSALS
    assert worker.replication.stats.lost_echoes == 0
    assert worker.bus.calls["read_log"] == 0
    assert count(store) == 1


# -- two committers ---------------------------------------------------------------------------------------

pauses = st.lists(st.sampled_from([0.0, 0.001, 0.002, 0.005]), max_size=30)


@given(st.tuples(pauses, pauses), st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), max_size=24), st.data())
@settings(max_examples=40, deadline=None)
def test_every_effect_exactly_once(
    pauses: tuple[list[float], list[float]], works: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Two committers on one store, whatever the interleaving and whatever is lost: the sums are exact, every work is
    answered once, and both replicas end where the store is."""
    faults = [data.draw(st.lists(st.sampled_from(["publication", "reply", "request"]), max_size=4)) for _ in range(2)]

    async def compete() -> None:
        store = new_store()
        async with OneWorker(store, "w1") as one, OneWorker(store, "w2") as two:
            workers = (one, two)
            for place, worker in enumerate(workers):
                await worker.follow(ROOM, OTHER)
                worker.bus.pauses = iter(pauses[place])
                worker.bus.fates.extend([LOSE] * faults[place].count("publication"))
                worker.bus.lost_replies = faults[place].count("reply")
                worker.bus.lost_requests = faults[place].count("request")
            for serial, (place, counter) in enumerate(works):
                workers[place].submit(
                    f"{serial}", both_rooms(f"counter:{counter}"), player=f"p{counter}", id=f"i{serial}"
                )
            await until(lambda: len(one.settled) + len(two.settled) == len(works), within=60)
            assert all(isinstance(answer, dict) for worker in workers for _, answer in worker.settled)
            for room in (ROOM, OTHER):
                for counter in range(3):
                    wanted = sum(1 for _, touched in works if touched == counter)
                    assert count(store, f"counter:{counter}", room) == wanted
            for worker in workers:
                await worker.replication.check()
                for room in (ROOM, OTHER):
                    assert (await worker.replication.want(room)).seq == store.load(room).seq
                    assert worker.state(room) == {
                        entity: stored(store, room, entity) for entity in store.load(room).entities
                    }

    run(compete)


def both_rooms(entity: str) -> Callable[[Draft], None]:
    def count_up(draft: Draft) -> None:
        adding(ROOM, entity)(draft)
        adding(OTHER, entity)(draft)

    return count_up


async def test_many_at_once(store: MemoryStore) -> None:
    """Two workers, a few hundred commands on three counters, some of them refused at a limit: not one too many."""
    random = Random(7)

    def take(entity: str) -> Callable[[Draft], None]:
        def take_one(draft: Draft) -> None:
            stock = draft.room(ROOM)[entity]
            if stock.n == 0:
                raise Rejected("out_of_stock")
            stock.n -= 1
            adding(OTHER, entity)(draft)

        return take_one

    Outsider(store).commit(lambda draft: [draft.room(ROOM).create(f"counter:{n}", n=40) for n in range(3)])
    async with OneWorker(store, "w1") as one, OneWorker(store, "w2") as two:
        for worker in (one, two):
            worker.bus.pauses = (random.choice([0.0, 0.001, 0.002]) for _ in repeat(None))
            await worker.follow(ROOM, OTHER)
        for number in range(100):
            for worker in (one, two):
                worker.submit(f"{number}", take(f"counter:{number % 3}"))
                await passed(random.choice([0.0, 0.001]))
        await until(lambda: len(one.settled) + len(two.settled) == 200, within=60)
        answers = [answer for worker in (one, two) for _, answer in worker.settled]
        assert sum(isinstance(answer, dict) for answer in answers) == 120
        assert sum(isinstance(answer, Rejected) for answer in answers) == 80
        assert one.committer.stats.conflicts + two.committer.stats.conflicts > 0
    assert [(count(store, f"counter:{n}"), count(store, f"counter:{n}", OTHER)) for n in range(3)] == [(0, 40)] * 3


class Crowd:
    """A worker whose small commands keep twenty counters changing, one batch after the other."""

    def __init__(self, worker: OneWorker) -> None:
        self.worker = worker
        self.done = 0
        self.going = True
        self._random = Random(3)
        for _ in range(6):
            self._next(None)

    def _next(self, settled: object) -> None:
        self.done += settled is not None
        if self.going:
            run = adding(ROOM, f"counter:{self._random.randrange(20)}")
            self.worker.committer.submit(module.FunctionWork(run, self._next))


async def starve(store: MemoryStore) -> tuple[int | None, int]:
    """In how many batches a command that reads twenty busy counters is committed (None: never), and what else was."""
    outsider = Outsider(store)
    async with OneWorker(store, "big") as big, OneWorker(store, "crowd") as crowded:
        await follow(big, outsider, counters=20)
        await follow(crowded, outsider, counters=20)
        for worker in (big, crowded):
            worker.bus.pauses = repeat(0.001)
        crowd = Crowd(crowded)

        def sum_up(draft: Draft) -> None:
            room = draft.room(ROOM)
            adding(OTHER, "counter:1", sum(room[f"counter:{number}"].n for number in range(20)))(draft)

        big.submit("sum", sum_up)
        await until(lambda: big.answer("sum"), within=30)
        crowd.going = False
        return (len(big.bus.batches) if isinstance(big.answer("sum"), dict) else None), crowd.done


async def test_claims_end_starvation(store: MemoryStore) -> None:
    """A big footprint among many small commands gets through within a few batches, and the small ones go on."""
    batches, others = await starve(store)
    assert batches is not None
    assert batches <= 20
    assert others > 0


@on_sources
async def test_without_claims_it_starves(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above holds because of the claims, and of nothing else."""
    for_bus = BatchBuilder.for_bus

    def without_claim(self: BatchBuilder, *arguments: object) -> Group:
        group = for_bus(self, *arguments)  # type: ignore[arg-type]
        group.claim = ""
        return group

    monkeypatch.setattr(BatchBuilder, "for_bus", without_claim)
    batches, _ = await starve(store)
    assert batches is None


# -- replies and stores that are gone -----------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lost_replies", "lost_requests"])
async def test_a_lost_reply_is_asked_for_again(
    worker: OneWorker, outsider: Outsider, store: MemoryStore, fault: str
) -> None:
    """Whether the commit was applied or not: sent again under its number, it has happened once."""
    await follow(worker, outsider)
    setattr(worker.bus, fault, 3)
    worker.submit("add", adding(ROOM, "counter:1"))
    await until(lambda: worker.answer("add"))
    assert worker.answer("add") == {ROOM: 4}
    assert count(store) == 1
    assert worker.committer.stats.resent == 3
    assert worker.seq(ROOM) == 4


async def test_a_lost_reply_and_a_lost_publication(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """The reply of the second asking still proves what the replica has to have."""
    await follow(worker, outsider)
    worker.bus.fates.append(LOSE)
    worker.bus.lost_replies = 1
    worker.submit("add", adding(ROOM, "counter:1"))
    await until(lambda: worker.seq(ROOM) == 4, within=1)
    assert worker.state(ROOM)["counter:1"]["n"] == 1


async def test_a_store_that_is_down(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """What is in flight is refused after a while, what comes then at once, both with a hint; and then all is well."""
    await follow(worker, outsider)
    worker.bus.go_down()
    started = now()
    worker.submit("first", adding(ROOM, "counter:1"), player="ada", id="i1", body=b"add")
    await until(lambda: worker.answer("first"))
    assert now() - started <= module.GIVE_UP + 0.5
    worker.submit("second", adding(ROOM, "counter:1"))
    started = now()
    await until(lambda: worker.answer("second"))
    assert now() - started < 0.1
    for name in ("first", "second"):
        refused = worker.answer(name)
        assert isinstance(refused, Unavailable)
        assert refused.retry_after
    assert worker.state(ROOM)["counter:1"]["n"] == 0
    worker.bus.come_back()
    worker.submit("again", adding(ROOM, "counter:1"), player="ada", id="i1", body=b"add")
    await until(lambda: worker.answer("again"))
    assert worker.answer("again") == {ROOM: 4}
    assert count(store) == 1


async def test_given_up_but_applied(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """The commit was applied and its reply never came: sent again by the player, it is answered, not done twice."""
    await follow(worker, outsider)
    worker.bus.lost_replies = 10_000
    once = {"player": "ada", "id": "i1", "body": b"add"}
    worker.submit("first", adding(ROOM, "counter:1"), **once)
    await until(lambda: worker.answer("first"))
    assert isinstance(worker.answer("first"), Unavailable)
    worker.bus.lost_replies = 0
    worker.submit("again", adding(ROOM, "counter:1"), **once)
    await until(lambda: worker.answer("again"))
    assert worker.answer("again") == {ROOM: 4}
    assert count(store) == 1


async def test_a_store_that_comes_back_empty(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """What waits is run again over the new world, not lost and not mixed with the old."""
    await follow(worker, outsider)
    store.clear()
    worker.submit("add", adding(ROOM, "counter:1"))
    await until(lambda: worker.answer("add"))
    assert worker.answer("add") == {ROOM: 1}
    assert worker.state(ROOM) == {"counter:1": {"n": 1}}


async def test_perform_has_a_deadline(worker: OneWorker, outsider: Outsider) -> None:
    """A commit that hangs for ever is Unavailable for who awaits it."""
    await follow(worker, outsider)
    worker.bus.hold_commits()
    with pytest.raises(Unavailable):
        await worker.committer.perform(adding(ROOM, "counter:1"))
    worker.bus.let_commits()
    await asyncio.sleep(0)
