"""Replicas at the store's position, whatever publications do: filled from the log, reloaded, loaded once."""

from __future__ import annotations

import asyncio

import pytest

from gameserver.buses.base import StoreLimits
from gameserver.buses.memory_store import MemoryStore
from gameserver.errors import Unavailable
from gameserver.runtime import replication as module
from gameserver.runtime.replication import FOLLOWED_AT_ONCE, LINGER, Replication
from gameserver.state.commit import FORMAT, Header, Part, encode_commit, encode_part
from gameserver.state.draft import RoomNotLoaded
from gameserver.state.position import Position
from gameserver.state.signal import encode_signal
from tests.compiled import on_sources
from tests.runtime.faulty_bus import DELAY, DELIVER, DOUBLE, LOSE
from tests.runtime.one_worker import OneWorker, Outsider, new_store, stored
from tests.runtime.virtual_time import idle, passed, until
from tests.state.things import OTHER, ROOM


async def follow(worker: OneWorker, outsider: Outsider) -> None:
    """One commit made, and the room followed."""
    outsider.write(ROOM, "counter:1", n=0)
    await worker.follow(ROOM)
    assert worker.seq(ROOM) == 1


async def test_a_commit_is_applied_and_told(worker: OneWorker, outsider: Outsider) -> None:
    """In order, once each, in the same turn it is published."""
    await follow(worker, outsider)
    for number in range(1, 4):
        outsider.write(ROOM, "counter:1", n=number)
        assert worker.state(ROOM)["counter:1"]["n"] == number
    assert worker.told.seqs(ROOM) == [2, 3, 4]
    assert worker.replication.stats.applied == 3
    assert worker.bus.calls["read_log"] == 0


async def test_an_unknown_room_is_empty(worker: OneWorker) -> None:
    """A room that was never written is at 0, and ready."""
    await worker.follow(ROOM)
    assert worker.state(ROOM) == {}
    assert worker.replication.ready(ROOM).position == Position(worker.replication.epoch, 0)


@pytest.mark.parametrize("lost", [1, 3])
async def test_a_gap_is_filled_from_the_log(worker: OneWorker, outsider: Outsider, lost: int) -> None:
    """What follows a lost publication shows that it is missing; nobody sees a snapshot."""
    await follow(worker, outsider)
    worker.bus.fates.extend([LOSE] * lost)
    for number in range(1, lost + 2):
        outsider.write(ROOM, "counter:1", n=number)
    with pytest.raises(RoomNotLoaded):
        worker.replication.ready(ROOM)
    await worker.replication.want(ROOM)
    assert worker.state(ROOM)["counter:1"]["n"] == lost + 1
    assert worker.told.seqs(ROOM) == list(range(2, lost + 3))
    stats = worker.replication.stats
    assert (stats.gaps, stats.repairs, stats.reloads) == (1, 1, 0)
    assert worker.replication.ready(ROOM).seq == lost + 2


async def test_what_arrives_during_a_repair_is_kept(worker: OneWorker, outsider: Outsider) -> None:
    """Buffered and merged by seq: each commit is told once and in order."""
    await follow(worker, outsider)
    worker.bus.fates.extend([LOSE, DELIVER, DELIVER, LOSE, DELIVER])
    for number in range(1, 6):
        outsider.write(ROOM, "counter:1", n=number)
    await until(lambda: worker.seq(ROOM) == 6)
    assert worker.told.seqs(ROOM) == [2, 3, 4, 5, 6]
    assert worker.state(ROOM)["counter:1"]["n"] == 5


async def test_late_and_out_of_order(worker: OneWorker, outsider: Outsider) -> None:
    """Publications that come late and backwards change nothing that is not already right."""
    await follow(worker, outsider)
    worker.bus.fates.extend([DELAY] * 3)
    for number in range(1, 4):
        outsider.write(ROOM, "counter:1", n=number)
    assert worker.seq(ROOM) == 1
    worker.bus.deliver_delayed()
    await until(lambda: worker.seq(ROOM) == 4)
    assert worker.told.seqs(ROOM) == [2, 3, 4]
    assert worker.state(ROOM)["counter:1"]["n"] == 3


async def test_duplicates_are_dropped(worker: OneWorker, outsider: Outsider) -> None:
    """Counted, not told."""
    await follow(worker, outsider)
    worker.bus.fates.extend([DOUBLE, DOUBLE])
    outsider.write(ROOM, "counter:1", n=1)
    outsider.write(ROOM, "counter:1", n=2)
    assert worker.told.seqs(ROOM) == [2, 3]
    assert worker.replication.stats.duplicates == 2


async def test_a_lost_tail_is_found_by_comparing_positions(worker: OneWorker, outsider: Outsider) -> None:
    """Nothing else is published; until `check` nobody can know, after it the replica is right."""
    await follow(worker, outsider)
    worker.bus.fates.append(LOSE)
    outsider.write(ROOM, "counter:1", n=9)
    await idle()
    assert worker.seq(ROOM) == 1
    await worker.replication.check()
    await until(lambda: worker.seq(ROOM) == 2)
    assert worker.replication.stats.lost_tails == 1
    assert worker.told.seqs(ROOM) == [2]
    await worker.replication.check()
    assert worker.replication.stats.lost_tails == 1


async def test_a_check_finds_nothing_where_nothing_is_missing(worker: OneWorker, outsider: Outsider) -> None:
    """Also when commits arrive while the answer is on its way."""
    await follow(worker, outsider)
    check = asyncio.ensure_future(worker.replication.check())
    await asyncio.sleep(0)
    outsider.write(ROOM, "counter:1", n=1)
    await check
    stats = worker.replication.stats
    assert (stats.lost_tails, stats.repairs, stats.reloads) == (0, 0, 0)


async def test_the_workers_own_echo(worker: OneWorker, outsider: Outsider) -> None:
    """A reply proves how far the room is: a lost publication of our own commit is refilled at once."""
    await follow(worker, outsider)
    worker.bus.fates.append(LOSE)
    assert await worker.write(ROOM, "counter:1", n=5) == {ROOM: 2}
    await idle()
    assert worker.state(ROOM)["counter:1"]["n"] == 5
    assert worker.replication.stats.lost_echoes == 1


@on_sources
async def test_without_that_proof_the_echo_stays_lost(
    worker: OneWorker, outsider: Outsider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above holds because of `expect`, and of nothing else."""
    monkeypatch.setattr(Replication, "expect", lambda self, room, seq: None)
    await follow(worker, outsider)
    worker.bus.fates.append(LOSE)
    await worker.write(ROOM, "counter:1", n=5)
    await passed(10)
    assert worker.seq(ROOM) == 1


async def test_a_log_that_is_too_short() -> None:
    """What the log has lost is replaced by a snapshot; the listener is told before and after."""
    store = new_store(StoreLimits(log_bytes=1))
    outsider = Outsider(store)
    async with OneWorker(store) as worker:
        await follow(worker, outsider)
        worker.bus.fates.extend([LOSE, LOSE])
        for number in range(1, 4):
            outsider.write(ROOM, "counter:1", n=number)
        await until(lambda: worker.seq(ROOM) == 4)
        assert worker.told.seqs(ROOM) == []
        epoch = worker.replication.epoch
        assert worker.told.jumps == [
            ("reloading", ROOM, Position(epoch, 1)),
            ("reloaded", ROOM, Position(epoch, 4)),
        ]
        assert worker.state(ROOM)["counter:1"]["n"] == 3
        assert worker.replication.stats.reloads == 1


async def test_a_log_that_has_aged_away() -> None:
    """An empty answer is no proof that nothing is missing."""
    store = new_store(StoreLimits(log_age=1.0))
    outsider = Outsider(store)
    async with OneWorker(store) as worker:
        await follow(worker, outsider)
        worker.bus.fates.append(LOSE)
        outsider.write(ROOM, "counter:1", n=1)
        await passed(2)
        await worker.replication.check()
        await until(lambda: worker.seq(ROOM) == 2)
        assert worker.replication.stats.reloads == 1
        assert worker.state(ROOM)["counter:1"]["n"] == 1


async def test_a_long_gap_is_read_in_pieces(
    worker: OneWorker, outsider: Outsider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More commits than one read brings."""
    monkeypatch.setattr(module, "READ_AT_ONCE", 4)
    await follow(worker, outsider)
    worker.bus.fates.extend([LOSE] * 11)
    for number in range(1, 13):
        outsider.write(ROOM, "counter:1", n=number)
    await until(lambda: worker.seq(ROOM) == 13)
    assert worker.told.seqs(ROOM) == list(range(2, 14))
    assert worker.replication.stats.reloads == 0


async def test_too_much_to_buffer(worker: OneWorker, outsider: Outsider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap the buffer is given up for a snapshot; the end is right."""
    monkeypatch.setattr(module, "MAX_BUFFERED", 3)
    await follow(worker, outsider)
    worker.bus.fates.append(LOSE)
    for number in range(1, 13):
        outsider.write(ROOM, "counter:1", n=number)
    await until(lambda: worker.seq(ROOM) == 13)
    assert worker.state(ROOM)["counter:1"]["n"] == 12
    assert worker.replication.stats.reloads == 1


async def test_poison_is_counted_and_dropped(worker: OneWorker, outsider: Outsider) -> None:
    """Bytes that are no commit change nothing; what they replaced is found missing by the next."""
    await follow(worker, outsider)
    for payload in (b"", b"\xc1", b"\x90", b"\x91\x01", encode_commit(Header(99, 1, 2, 0, 0, "w", 1), [])):
        worker.bus.inject(ROOM, payload)
    assert worker.replication.stats.poison == 5
    assert worker.seq(ROOM) == 1
    worker.bus.unreadable[ROOM] = 1
    outsider.write(ROOM, "counter:1", n=1)
    outsider.write(ROOM, "counter:1", n=2)
    await until(lambda: worker.seq(ROOM) == 3)
    assert worker.replication.stats.poison == 6
    assert worker.state(ROOM)["counter:1"]["n"] == 2


async def test_a_store_that_comes_back_empty(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """A new epoch: everything is loaded anew, the listener is told, nothing of the old remains."""
    await follow(worker, outsider)
    await worker.follow(OTHER)
    before = worker.replication.epoch
    store.clear()
    await worker.replication.check()
    assert worker.replication.epoch > before
    assert (await worker.replication.want(ROOM)).epoch == worker.replication.epoch
    assert worker.state(ROOM) == {}
    assert [what for what, room, _ in worker.told.jumps if room == ROOM] == ["reloading", "reloaded"]
    assert await worker.write(ROOM, "counter:2", n=1) == {ROOM: 1}
    assert worker.state(ROOM) == {"counter:2": {"n": 1}}


async def test_a_publication_of_a_newer_epoch(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """Somebody else found the store empty first: their commit alone makes us reload."""
    await follow(worker, outsider)
    store.clear()
    store.epoch(worker.replication.epoch)
    outsider.number = 0
    for number in range(3):
        outsider.write(ROOM, "counter:3", n=number)
    await until(lambda: worker.seq(ROOM) == 3 and ROOM in worker.replication.rooms())
    assert worker.state(ROOM) == {"counter:3": {"n": 2}}
    # Committing under the old epoch is refused by the store, and works after the new one is learned.
    assert await worker.write(ROOM, "counter:3", n=7) == {ROOM: 4}
    assert worker.replication.epoch == store.epoch()


async def test_a_late_publication_of_the_old_epoch(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """It does not undo what the new epoch has."""
    await follow(worker, outsider)
    old = worker.replication.epoch
    store.clear()
    await worker.replication.check()
    assert (await worker.replication.want(ROOM)).epoch > old
    await worker.write(ROOM, "counter:2", n=1)
    part = Part([], {"counter:1": {"n": 66}}, [], [])
    worker.bus.inject(ROOM, encode_commit(Header(FORMAT, old, 2, 0, 0, "w", 9), [encode_part(part)]))
    await passed(1)
    assert worker.state(ROOM) == {"counter:2": {"n": 1}}
    assert worker.replication.ready(ROOM).position == Position(worker.replication.epoch, 1)


async def test_loads_are_shared(worker: OneWorker, outsider: Outsider) -> None:
    """However many want a room at once: one subscription, one snapshot, the same replica for all."""
    outsider.write(ROOM, "counter:1", n=1)
    wanted = await asyncio.gather(*(worker.replication.hold(ROOM) for _ in range(20)))
    assert len({id(replica) for replica in wanted}) == 1
    assert (worker.bus.calls["load"], worker.bus.calls["subscribe"]) == (1, 1)


async def test_rooms_wanted_at_once_are_loaded_together(worker: OneWorker, outsider: Outsider) -> None:
    """As a thousand who join at once want them: in a few requests, each of a bounded size."""
    rooms = [f"private:{number}" for number in range(FOLLOWED_AT_ONCE + 10)]
    for room in rooms:
        outsider.write(room, "counter:1", n=1)
    await asyncio.gather(*(worker.replication.hold(room) for room in rooms))
    assert worker.bus.calls["follow"] == 2
    for room in rooms:
        outsider.write(room, "counter:1", n=2)
        assert worker.state(room) == {"counter:1": {"n": 2}}


async def test_one_bad_room_among_many(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """What cannot be read keeps nobody from the rooms it was asked for with, and is read as soon as it can be."""
    for number in range(3):
        outsider.write(f"sector:{number}", "counter:1", n=number)
    good = store._rooms["sector:1"].entities["counter:1"]
    store._rooms["sector:1"].entities["counter:1"] = (good[0], b"\xc1")
    bad = worker.replication.want("sector:1")
    for number in (0, 2):
        assert (await worker.replication.want(f"sector:{number}")).entities["counter:1"]["n"] == number
    assert not bad.done()
    store._rooms["sector:1"].entities["counter:1"] = good
    assert (await bad).entities == {"counter:1": {"n": 1}}


async def test_rooms_are_followed_after_an_outage(worker: OneWorker, outsider: Outsider) -> None:
    """A store that is away when rooms are first wanted costs them nothing but the time."""
    outsider.write(ROOM, "counter:1", n=1)
    worker.bus.down = True
    wanted = [worker.replication.want(room) for room in (ROOM, OTHER)]
    await passed(1)
    assert not any(future.done() for future in wanted)
    worker.bus.come_back()
    assert [(await future).seq for future in wanted] == [1, 0]


async def test_what_is_committed_while_a_room_is_loaded(worker: OneWorker, outsider: Outsider) -> None:
    """Subscribed first, loaded then: between the two nothing is lost and nothing is applied twice."""
    for number in range(8):
        room = f"sector:{number}"
        outsider.write(room, "counter:1", n=0)
        wanted = worker.replication.want(room)
        for _ in range(number):
            await asyncio.sleep(0)
        outsider.write(room, "counter:1", n=1)
        await asyncio.sleep(0)
        outsider.write(room, "counter:1", n=2)
        await wanted
        assert worker.seq(room) == 3
        assert worker.state(room)["counter:1"]["n"] == 2


async def test_hold_release_sweep(worker: OneWorker, outsider: Outsider) -> None:
    """Held replicas stay; what nobody holds stays a while, then goes, and can come again."""
    await follow(worker, outsider)
    await worker.follow(ROOM)
    worker.replication.release(ROOM)
    await passed(LINGER + 1)
    await worker.replication.sweep()
    assert worker.replication.follows(ROOM)
    worker.replication.release(ROOM)
    await passed(LINGER - 1)
    await worker.replication.sweep()
    assert worker.replication.follows(ROOM)
    await passed(2)
    await worker.replication.sweep()
    assert not worker.replication.follows(ROOM)
    with pytest.raises(RoomNotLoaded):
        worker.replication.ready(ROOM)
    outsider.write(ROOM, "counter:1", n=3)
    assert worker.told.seqs(ROOM) == []
    worker.replication.release(ROOM)
    await worker.follow(ROOM)
    assert worker.state(ROOM)["counter:1"]["n"] == 3


async def test_use_counts_as_interest(worker: OneWorker, outsider: Outsider) -> None:
    """A room that commands keep touching is not forgotten though nobody holds it."""
    outsider.write(ROOM, "counter:1", n=0)
    await worker.replication.want(ROOM)
    for _ in range(4):
        await passed(LINGER / 2)
        worker.replication.ready(ROOM)
        await worker.replication.sweep()
    assert worker.replication.follows(ROOM)


async def test_a_store_that_is_down(worker: OneWorker, outsider: Outsider) -> None:
    """`hold` gives up in time and holds nothing; when the store is back the room loads without being asked again."""
    worker.bus.go_down()
    with pytest.raises(Unavailable) as refused:
        await worker.replication.hold(ROOM, deadline=2.0)
    assert refused.value.retry_after
    outsider.write(ROOM, "counter:1", n=1)
    worker.bus.come_back()
    await until(lambda: worker.seq(ROOM) == 1, within=2.0)
    await passed(LINGER + 1)
    await worker.replication.sweep()
    assert not worker.replication.follows(ROOM)


async def test_what_was_missed_while_disconnected(worker: OneWorker, outsider: Outsider) -> None:
    """Coming back, positions are compared; what is missing comes from the log."""
    await follow(worker, outsider)
    worker.bus.go_down()
    for number in range(1, 4):
        outsider.write(ROOM, "counter:1", n=number)
    await passed(3)
    assert worker.replication.ready(ROOM).seq == 1
    worker.bus.come_back()
    await until(lambda: worker.seq(ROOM) == 4, within=2.0)
    assert worker.told.seqs(ROOM) == [2, 3, 4]
    assert worker.told.jumps == []


async def test_a_replica_that_is_ahead_of_the_store(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """The store lost its last writes but not its epoch: the replica goes back to what the store has."""
    await follow(worker, outsider)
    part = Part([], {"counter:1": {"n": 66}}, [], [])
    header = Header(FORMAT, worker.replication.epoch, 2, 0, 0, "w", 9)
    worker.bus.inject(ROOM, encode_commit(header, [encode_part(part)]))
    assert worker.seq(ROOM) == 2
    await worker.replication.check()
    await until(lambda: worker.seq(ROOM) == 1)
    assert worker.state(ROOM)["counter:1"] == stored(store, ROOM, "counter:1")


async def test_distrust_takes_a_snapshot(worker: OneWorker, outsider: Outsider, store: MemoryStore) -> None:
    """A replica found wrong at the right position is replaced."""
    await follow(worker, outsider)
    replica = worker.replication.ready(ROOM)
    replica.entities["counter:1"] = {"n": 99}
    worker.replication.distrust(ROOM)
    await worker.replication.want(ROOM)
    assert worker.state(ROOM)["counter:1"] == stored(store, ROOM, "counter:1")
    assert worker.replication.stats.reloads == 1


async def test_signals_pass_through(worker: OneWorker, outsider: Outsider) -> None:
    """Also while the room is being repaired; one of an unknown room is nobody's."""
    await follow(worker, outsider)
    worker.bus.publish(ROOM, encode_signal("pose", {"x": 1}, "ada"))
    worker.replication.distrust(ROOM)
    worker.bus.publish(ROOM, encode_signal("pose", {"x": 2}, None))
    worker.bus.publish(OTHER, encode_signal("pose", {"x": 3}, None))
    assert worker.told.signals == [(ROOM, "pose", {"x": 1}, "ada"), (ROOM, "pose", {"x": 2}, None)]
