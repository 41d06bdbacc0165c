"""Leases, what can be read of a store, and what it publishes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gameserver.buses.base import Group, Outcome, StoreLimits
from gameserver.errors import ForeignEpoch, Unavailable
from gameserver.state.commit import PoisonCommit, decode_commit
from tests.buses.batches import Seat, say, unpack, write
from tests.buses.seats import A, B, Seats, World, until

ACCEPTED, FENCED = Outcome.ACCEPTED, Outcome.FENCED


class Leasing:
    """Who may tick, and the fence that holds them to it."""

    async def test_one_owner_at_a_time(self, seat: Seat, seats: Seats) -> None:
        """Renewing keeps the token; others are told who holds it."""
        first = await seat.bus.acquire("w1", 60)
        other = await seats("w2")
        assert first.owner == "w1"
        assert await other.bus.acquire("w2", 60) == first
        assert await seat.bus.acquire("w1", 60) == first

    async def test_the_fence_lets_only_the_holder_through(self, seat: Seat, seats: Seats) -> None:
        """A group with an old token is refused; one without any needs no lease."""
        old = await seat.bus.acquire("w1", 60)
        assert (await seat.write(say(A, "tick"), fence=old.token)).outcome is ACCEPTED
        assert (await seat.write(say(A, "tick"), fence=old.token + 1)).outcome is FENCED
        other = await seats("w2")
        await seat.bus.release("w1")
        assert (await seat.write(say(A, "tick"), fence=old.token)).outcome is FENCED
        new = await other.bus.acquire("w2", 60)
        assert (new.owner, new.token > old.token) == ("w2", True)
        reply = await seat.commit(Group([say(A, "late")], fence=old.token), Group([say(A, "cold")]))
        assert [result.outcome for result in reply.results] == [FENCED, ACCEPTED]
        assert (await other.write(say(A, "tick"), fence=new.token)).outcome is ACCEPTED

    async def test_a_lease_runs_out(self, seat: Seat, seats: Seats) -> None:
        """Then another takes it, and the former owner's writes are refused from that moment."""
        old = await seat.bus.acquire("w1", 0.05)
        other = await seats("w2")
        await until(lambda: _owns(other, "w2"))
        assert (await seat.write(say(A, "late"), fence=old.token)).outcome is FENCED
        assert (await seat.bus.acquire("w1", 60)).owner == "w2"

    async def test_only_the_owner_releases(self, seat: Seat, seats: Seats) -> None:
        """A release by somebody else changes nothing; after one's own the token is new."""
        lease = await seat.bus.acquire("w1", 60)
        other = await seats("w2")
        await other.bus.release("w2")
        assert await other.bus.acquire("w2", 60) == lease
        await seat.bus.release("w1")
        assert (await seat.bus.acquire("w1", 60)).token > lease.token

    async def test_tokens_grow_across_a_loss_of_the_store(self, seat: Seat, seats: Seats, world: World) -> None:
        """Neither the one who knew the old token nor a newcomer, some milliseconds later, undercuts it."""
        lease = await seat.bus.acquire("w1", 60)
        other = await seats("w2")
        world.lose()
        again = await seat.bus.acquire("w1", 60)
        assert again.token > lease.token
        await until(lambda: _is_past(again.token))
        world.lose()
        assert (await other.bus.acquire("w2", 60)).token > again.token


async def _is_past(moment: int) -> bool:
    return time.time() * 1000 > moment + 1


async def _is_complete(seat: Seat, rooms: list[str], seqs: list[int]) -> bool:
    """Whether the seat knows each room's five commits, by its snapshot or by publications."""
    known = {room: set(range(1, seq + 1)) for room, seq in zip(rooms, seqs, strict=True)}
    for room, payload in seat.received:
        known[room].add(decode_commit(payload).header.seq)
    return all(seen == {1, 2, 3, 4, 5} for seen in known.values())


async def _owns(seat: Seat, owner: str) -> bool:
    return (await seat.bus.acquire(owner, 60)).owner == owner


class Reading:
    """Epoch, rooms, positions, snapshots, logs."""

    async def test_an_empty_store(self, seat: Seat) -> None:
        """Unknown rooms are at seq 0 and have nothing."""
        snapshot = await seat.bus.load(A)
        assert (snapshot.epoch, snapshot.seq, snapshot.sum, snapshot.entities) == (seat.epoch, 0, 0, {})
        assert await seat.bus.rooms() == []
        assert await seat.bus.positions([A, B]) == (seat.epoch, [0, 0])
        assert await seat.bus.positions([]) == (seat.epoch, [])
        assert await seat.bus.read_log(A, 0) == []

    async def test_the_epoch_is_shared(self, seat: Seat, seats: Seats) -> None:
        """Milliseconds since 1970, the same for all."""
        assert (await seats("w2")).epoch == seat.epoch > 1_600_000_000_000

    async def test_rooms_positions_and_snapshots(self, seat: Seat) -> None:
        """A room exists from its first commit on, even one of events alone."""
        await seat.write(write(B, 0, {"ship:1": {"x": 1}}, sum_change=3_000_000_000))
        await seat.write(write(B, 1, {"ship:2": {"x": 2}}, sum_change=3_000_000_000), say(A, "hello"))
        assert await seat.bus.rooms() == [A, B]
        assert await seat.bus.rooms("sector:b") == [B]
        assert await seat.bus.rooms("sector:") == [A, B]
        assert await seat.bus.rooms("*") == await seat.bus.rooms("sector:[ab]") == []
        assert await seat.bus.positions([B, "nowhere", A]) == (seat.epoch, [2, 0, 1])
        snapshot = await seat.bus.load(B)
        assert (snapshot.epoch, snapshot.seq, snapshot.sum) == (seat.epoch, 2, 6_000_000_000 % 2**32)
        assert await seat.state(B) == {"ship:1": {"x": 1}, "ship:2": {"x": 2}}

    async def test_many_rooms(self, seat: Seat) -> None:
        """All of them are found, and those of a kind among all."""
        private = [f"private:{number}" for number in range(3000)]
        for first in range(0, len(private), 500):
            await seat.write(*(say(room, "hello") for room in private[first : first + 500]), say(A, "hello"))
        assert await seat.bus.rooms() == sorted([*private, A])
        assert await seat.bus.rooms("private:1") == sorted(room for room in private if room.startswith("private:1"))
        assert await seat.bus.rooms("sector:") == [A]

    async def test_following_rooms(self, seat: Seat, seats: Seats) -> None:
        """Snapshots in the order asked for; of each room every commit after its snapshot is seen."""
        await seat.write(write(A, 0, {"ship:1": {"x": 1}}), write(B, 0, {"ship:2": {"x": 2}}))
        other = await seats("w2")
        first, second, empty = await other.bus.follow([B, A, "nowhere"])
        assert (first.epoch, first.seq, unpack(first.entities["ship:2"])) == (seat.epoch, 1, {"x": 2})
        assert (second.epoch, second.seq, list(second.entities)) == (seat.epoch, 1, ["ship:1"])
        assert (empty.seq, empty.sum, empty.entities) == (0, 0, {})
        await other.write(say("nowhere", "hello"), say(A, "hello"))
        assert sorted(room for room, _ in other.received) == ["nowhere", A]

    async def test_snapshots_and_publications_meet(self, seat: Seat, seats: Seats) -> None:
        """Whatever is committed while a room begins to be followed is in the snapshot or published."""
        other = await seats("w2")
        rooms = [f"private:{number}" for number in range(20)]
        writing = asyncio.gather(*(seat.write(*(say(room, "hello") for room in rooms)) for _ in range(5)))
        snapshots = await other.bus.follow(rooms)
        await writing
        await until(lambda: _is_complete(other, rooms, [snapshot.seq for snapshot in snapshots]))

    async def test_the_log_from_a_position(self, seat: Seat) -> None:
        """Oldest first, above `after`, at most `limit`; the same bytes as were published."""
        await seat.bus.subscribe([A])
        for number in range(10):
            await seat.write(say(A, f"event {number}"))
        assert await seat.bus.read_log(A, 0) == [payload for _, payload in seat.received]
        assert [commit.header.seq for commit in await seat.log(A, 7)] == [8, 9, 10]
        assert await seat.bus.read_log(A, 3, 2) == [payload for _, payload in seat.received[3:5]]
        assert (
            await seat.bus.read_log(A, 10) == await seat.bus.read_log(A, 99) == await seat.bus.read_log(A, 0, 0) == []
        )

    async def test_the_header_of_a_commit(self, seat: Seat) -> None:
        """Integers stay integers: seq, a sum above 2^31, a time in milliseconds above 2^40."""
        await seat.write(write(A, 0, {"ship:1": {}}, sum_change=2**32 - 1))
        ((header,),) = ([commit.header for commit in await seat.log(A)],)
        assert (header.format, header.epoch, header.seq, header.sum) == (3, seat.epoch, 1, 2**32 - 1)
        assert (header.worker, header.number) == ("w1", 1)
        assert abs(header.at - seat.epoch) < 60_000

    async def test_the_log_is_capped_by_bytes(self, seats: Seats) -> None:
        """At no time above the cap, never much below it, always contiguous up to the newest."""
        seat = await seats(log_bytes=20_000)
        for number in range(1, 101):
            await seat.write(say(A, "x" * 900))
            if number % 10 == 0:
                payloads = await seat.bus.read_log(A, 0)
                assert sum(map(len, payloads)) <= 20_000
                seqs = [commit.header.seq for commit in await seat.log(A)]
                assert seqs == list(range(number - len(seqs) + 1, number + 1))
        assert len(seqs) >= 15
        assert (await seat.log(A, 2))[0].header.seq == seqs[0]

    async def test_one_commit_above_the_cap_is_kept_until_the_next(self, seats: Seats) -> None:
        """The newest is always there to be read."""
        seat = await seats(log_bytes=1_000)
        for size in (5000, 10, 5000):
            await seat.write(say(A, "x" * size))
            assert (await seat.log(A))[-1].events[0].name == "x" * size

    async def test_the_log_is_capped_by_age(self, seats: Seats) -> None:
        """Also in a room where nothing happens any more, which starts again without a hole."""
        seat = await seats(log_age=0.2)
        await seat.write(say(A, "old"))
        assert len(await seat.log(A)) == 1
        await until(lambda: _has_no_log(seat))
        await seat.write(say(A, "new"))
        assert [commit.header.seq for commit in await seat.log(A)] == [2]

    async def test_another_epoch_is_refused(self, seat: Seat, world: World) -> None:
        """After a loss nothing is written until the new epoch is taken, which is higher than the old."""
        await seat.write(say(A, "before"))
        old = seat.epoch
        world.lose()
        with pytest.raises(ForeignEpoch):
            await seat.write(say(A, "lost"))
        assert await seat.bus.positions([A]) == (0, [0])
        seat.epoch = await seat.bus.epoch()
        assert seat.epoch > old
        with pytest.raises(ForeignEpoch):
            await seat.bus.commit(_of_epoch(seat, old))
        assert (await seat.write(say(A, "after"))).outcome is ACCEPTED
        assert await seat.bus.positions([A]) == (seat.epoch, [1])


async def _has_no_log(seat: Seat) -> bool:
    return await seat.bus.read_log(A, 0) == []


def _of_epoch(seat: Seat, epoch: int) -> Any:
    batch = seat.batch(Group([say(A, "foreign")]))
    batch.epoch = epoch
    return batch


class Publishing:
    """What reaches whom, and when."""

    async def test_publications_come_before_the_reply(self, seat: Seat) -> None:
        """When commit returns, its own publications have been seen, one for each room that moved."""
        await seat.bus.subscribe([A, B])
        for seq in range(1, 20):
            await seat.write(say(A, "x"), say(B, "y"))
            assert [commit.header.seq for commit in seat.commits(A)] == list(range(1, seq + 1))
            assert [commit.header.seq for commit in seat.commits(B)] == list(range(1, seq + 1))

    async def test_workers_see_each_other(self, seat: Seat, seats: Seats) -> None:
        """In order, the same bytes for all, and only the rooms they subscribed."""
        other = await seats("w2")
        await seat.bus.subscribe([A])
        await other.bus.subscribe([A, B])
        for worker in (seat, other, seat):
            await worker.write(say(A, worker.bus.__class__.__name__), say(B, "x"))
        await other.bus.probe()
        await seat.bus.probe()
        assert [commit.header.seq for commit in other.commits(A)] == [1, 2, 3]
        assert [payload for room, payload in other.received if room == A] == [payload for _, payload in seat.received]
        assert len(other.commits(B)) == 3

    async def test_unsubscribed_means_silence(self, seat: Seat, seats: Seats) -> None:
        """And a room may be subscribed again."""
        other = await seats("w2")
        await seat.bus.subscribe([A, B])
        await seat.bus.unsubscribe([A, "never"])
        await other.write(say(A, "unheard"), say(B, "heard"))
        await seat.bus.probe()
        assert [room for room, _ in seat.received] == [B]
        await seat.bus.subscribe([A])
        await seat.bus.subscribe([A])
        await other.write(say(A, "heard"))
        await seat.bus.probe()
        assert [room for room, _ in seat.received] == [B, A]

    async def test_a_late_publication_of_a_room_given_up_is_dropped(self, seat: Seat, seats: Seats) -> None:
        """From the call on, not only from its confirmation."""
        other = await seats("w2")
        await seat.bus.subscribe([A])
        leaving = asyncio.ensure_future(seat.bus.unsubscribe([A]))
        await asyncio.sleep(0)
        await other.write(say(A, "late"))
        await leaving
        await seat.bus.probe()
        assert seat.received == []

    async def test_many_rooms(self, seat: Seat) -> None:
        """Two thousand subscriptions in one call, and a commit over fifty of them."""
        rooms = [f"sector:{number}" for number in range(2000)]
        await seat.bus.subscribe(rooms)
        await seat.write(*(say(room, "x") for room in rooms[::40]))
        assert [room for room, _ in seat.received] == rooms[::40]
        await seat.bus.unsubscribe(rooms)

    async def test_a_reader_that_fails_costs_nobody_the_bus(self, seats: Seats, world: World) -> None:
        """The fault is counted, and the next publication is delivered."""
        bus = world.bus("w1", StoreLimits())
        seen: list[bytes] = []

        def fail_first(room: str, payload: bytes) -> None:
            seen.append(payload)
            if len(seen) == 1:
                raise PoisonCommit("garbage")

        seat = Seat(bus)
        await bus.start(fail_first, lambda: None)
        seat.epoch = await bus.epoch()
        await bus.subscribe([A])
        await seat.write(say(A, "one"))
        await seat.write(say(A, "two"))
        assert (len(seen), bus.stats.poison, bus.stats.batches, bus.stats.published) == (2, 1, 2, 2)
        await bus.close()

    async def test_a_probe_goes_round(self, seat: Seat) -> None:
        """Also several at once."""
        await asyncio.gather(*(seat.bus.probe() for _ in range(5)))

    async def test_a_closed_bus(self, seat: Seat) -> None:
        """Is not connected, answers Unavailable, and may be closed again."""
        assert seat.bus.connected
        await seat.bus.subscribe([A])
        await seat.bus.close()
        await seat.bus.close()
        assert not seat.bus.connected
        for call in (seat.bus.epoch(), seat.bus.load(A), seat.bus.probe(), seat.write(say(A, "x"))):
            with pytest.raises(Unavailable):
                await call
