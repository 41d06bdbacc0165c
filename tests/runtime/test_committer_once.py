"""Commands that are sent again, or have to wait: applied once, answered as before, in their player's order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gameserver.buses.memory_store import MemoryStore
from gameserver.errors import KeyConflict, Rejected, Unavailable
from gameserver.state.draft import Draft
from tests.runtime.one_worker import OneWorker, Outsider, adding, setting, stored
from tests.runtime.virtual_time import until
from tests.state.things import OTHER, ROOM


async def follow(worker: OneWorker, outsider: Outsider, counters: int = 3) -> None:
    """A room of counters at 0, followed."""
    for number in range(counters):
        outsider.write(ROOM, f"counter:{number}", n=0)
    await worker.follow(ROOM, OTHER)


def count(store: MemoryStore, entity: str = "counter:1", room: str = ROOM) -> int:
    fields = stored(store, room, entity)
    return 0 if fields is None else fields["n"]


def following(entity: str, into: str) -> Callable[[Draft], None]:
    """Game code that copies one counter into another."""

    def run(draft: Draft) -> None:
        room = draft.room(ROOM)
        room[into].n = room[entity].n

    return run


def refusing(entity: str, at: int) -> Callable[[Draft], None]:
    def run(draft: Draft) -> None:
        if draft.room(ROOM)[entity].n == at:
            raise Rejected("enough")
        draft.room(ROOM)[entity].n += 100

    return run


async def test_sent_again_it_is_answered_again(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """The same id and body, on this worker or another: the first answer, and no second effect."""
    await follow(worker, outsider)
    once = {"player": "ada", "id": "i7", "body": b"add"}
    worker.submit("first", adding(ROOM, "counter:1"), **once)
    await until(lambda: worker.answer("first"))
    outsider.write(ROOM, "counter:2", n=4)
    worker.submit("again", adding(ROOM, "counter:1"), **once)
    worker.submit("beside", adding(ROOM, "counter:0"))
    await until(lambda: len(worker.settled) == 3)
    assert worker.answer("again") == worker.answer("first") == {ROOM: 4}
    async with OneWorker(store, "w2") as second:
        second.submit("elsewhere", adding(ROOM, "counter:1"), **once)
        await until(lambda: second.answer("elsewhere"))
        assert second.answer("elsewhere") == {ROOM: 4}
        assert second.committer.stats.answered == 1
    assert count(store) == 1
    assert count(store, "counter:0") == 1


async def test_the_same_id_for_something_else(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """KeyConflict, the original stands; another player's same id, or the id as a string, is another command."""
    await follow(worker, outsider)
    worker.submit("first", adding(ROOM, "counter:1"), player="ada", id="i7", body=b"add")
    await until(lambda: worker.answer("first"))
    worker.submit("other body", adding(ROOM, "counter:1", 10), player="ada", id="i7", body=b"add ten")
    worker.submit("other player", adding(ROOM, "counter:1"), player="bob", id="i7", body=b"add")
    worker.submit("other type", adding(ROOM, "counter:1"), player="ada", id="s7", body=b"add")
    await until(lambda: len(worker.settled) == 4)
    assert isinstance(worker.answer("other body"), KeyConflict)
    assert count(store) == 3


@pytest.mark.parametrize("body", [b"add", b"other"])
async def test_doubled_within_one_batch(worker: OneWorker, outsider: Outsider, store: MemoryStore, body: bytes) -> None:
    """The second waits for the first one's commit; what the player sent after it keeps its place."""
    await follow(worker, outsider)
    worker.submit("first", adding(ROOM, "counter:1"), player="ada", id="i7", body=b"add")
    worker.submit("doubled", adding(ROOM, "counter:1"), player="ada", id="i7", body=body)
    worker.submit("after", following("counter:1", "counter:2"), player="ada", id="i8", body=b"copy")
    await until(lambda: len(worker.settled) == 3)
    assert worker.order == ["first", "doubled", "after"]
    assert count(store) == count(store, "counter:2") == 1
    if body == b"add":
        assert worker.answer("doubled") == worker.answer("first")
    else:
        assert isinstance(worker.answer("doubled"), KeyConflict)


async def test_a_retry_that_could_not_be_done_again(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """Game code would refuse it now, or find nothing to change: it is answered as it was, wherever it is sent."""
    await follow(worker, outsider)
    once = {"player": "ada", "id": "i7", "body": b"add"}
    taking, setting_five = refusing("counter:1", at=100), setting(ROOM, "counter:2", n=5)
    worker.submit("take", taking, **once)
    worker.submit("set", setting_five, player="bob", id="i7", body=b"set")
    await until(lambda: len(worker.settled) == 2)
    worker.submit("take again", taking, **once)
    worker.submit("set again", setting_five, player="bob", id="i7", body=b"set")
    worker.submit("first time", taking, player="ada", id="i8", body=b"add")
    await until(lambda: len(worker.settled) == 5)
    for name in ("take", "set"):
        assert worker.answer(f"{name} again") == worker.answer(name) == {ROOM: 4}
    assert isinstance(worker.answer("first time"), Rejected)
    async with OneWorker(store, "w2") as second:
        second.submit("elsewhere", taking, **once)
        await until(lambda: second.answer("elsewhere"))
        assert second.answer("elsewhere") == {ROOM: 4}
    assert count(store) == 100


async def test_a_refusal_that_cannot_be_asked_about(worker: OneWorker, outsider: Outsider) -> None:
    """Without a store nobody knows whether it is a retry: it is unavailable, not refused."""
    await follow(worker, outsider)
    worker.bus.go_down()
    worker.submit("refused", refusing("counter:1", at=0), player="ada", id="i7", body=b"add")
    await until(lambda: worker.answer("refused"))
    assert isinstance(worker.answer("refused"), Unavailable)


async def test_a_refusal_is_not_remembered(worker: OneWorker, outsider: Outsider) -> None:
    """The same id may be used again after a refusal that committed nothing."""
    await follow(worker, outsider)
    worker.submit("refused", refusing("counter:1", at=0), player="ada", id="i7", body=b"add")
    await until(lambda: worker.answer("refused"))
    outsider.write(ROOM, "counter:1", n=1)
    worker.submit("again", refusing("counter:1", at=0), player="ada", id="i7", body=b"add")
    await until(lambda: worker.answer("again"))
    assert worker.state(ROOM)["counter:1"]["n"] == 101


async def test_a_room_that_is_not_loaded(worker: OneWorker, outsider: Outsider) -> None:
    """The command waits and runs again; the player's later ones keep their order, others pass by."""
    outsider.write(ROOM, "counter:1", n=5)
    await worker.follow(OTHER)
    worker.submit("first", adding(ROOM, "counter:1"), player="ada")
    worker.submit("second", adding(OTHER, "counter:1"), player="ada")
    worker.submit("third", adding(OTHER, "counter:1"), player="ada")
    worker.submit("passing", adding(OTHER, "counter:2"), player="bob")
    await until(lambda: len(worker.settled) == 4)
    assert worker.order == ["passing", "first", "second", "third"]
    assert worker.state(ROOM)["counter:1"]["n"] == 6
    assert worker.committer.stats.suspended == 1
    assert worker.committer.backlog == 0


async def test_a_room_that_never_comes(worker: OneWorker, outsider: Outsider) -> None:
    """The command is refused in time; the player's later ones go on."""
    await worker.follow(OTHER)

    async def stuck(rooms: object) -> None:
        raise Unavailable("no subscriptions today")

    worker.bus.subscribe = stuck  # type: ignore[method-assign]
    worker.submit("first", adding(ROOM, "counter:1"), player="ada")
    worker.submit("second", adding(OTHER, "counter:1"), player="ada")
    await until(lambda: len(worker.settled) == 2)
    refused = worker.answer("first")
    assert isinstance(refused, Unavailable)
    assert refused.retry_after
    assert worker.answer("second") == {OTHER: 1}


async def test_a_conflict_does_not_let_a_suspended_one_pass(worker: OneWorker, outsider: Outsider) -> None:
    """The player's first command lost a conflict while the second waits for its room: the order stays."""
    outsider.write(ROOM, "counter:1", n=0)
    outsider.write(OTHER, "counter:1", n=0)
    await worker.follow(ROOM)
    worker.bus.intruders.append(lambda: outsider.write(ROOM, "counter:1", n=5))
    worker.bus.pauses = iter([0.0, 0.0])
    order = []

    def first(draft: Draft) -> None:
        adding(ROOM, "counter:1")(draft)
        order.append("first")

    def second(draft: Draft) -> None:
        adding(OTHER, "counter:1")(draft)
        order.append("second")

    worker.bus.hold_commits()
    worker.submit("first", first, player="ada")
    worker.submit("second", second, player="ada")
    worker.bus.let_commits()
    await until(lambda: len(worker.settled) == 2)
    assert worker.order == ["first", "second"]
    assert order[-2:] == ["first", "second"]
