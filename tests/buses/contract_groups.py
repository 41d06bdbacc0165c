"""Which groups a bus accepts, and what it remembers of them."""

from __future__ import annotations

import pytest

from gameserver.buses.base import CLAIM_REFUSALS, MEMBERSHIP, Group, Outcome, StaleBatch
from gameserver.errors import ForeignEpoch
from tests.buses.batches import Seat, key, look, say, write
from tests.buses.seats import A, B, Seats

ACCEPTED, CONFLICT, FENCED = Outcome.ACCEPTED, Outcome.CONFLICT, Outcome.FENCED
ANSWERED, CLAIMED = Outcome.ANSWERED, Outcome.CLAIMED


class Deciding:
    """Which groups are accepted, and what becomes of them."""

    async def test_a_group_over_two_rooms_is_one_commit_in_each(self, seat: Seat) -> None:
        """Both rooms move to seq 1 under the same commit id."""
        await seat.bus.subscribe([A, B])
        reply = await seat.commit(Group([write(A, 0, {"ship:1": {"x": 1}}), write(B, 0, {"ship:2": {"x": 2}})]))
        assert [result.outcome for result in reply.results] == [ACCEPTED]
        assert reply.seq == {A: 1, B: 1}
        (in_a,), (in_b,) = seat.commits(A), seat.commits(B)
        assert in_a.id == in_b.id == ("w1", 1)
        assert await seat.state(A) == {"ship:1": {"x": 1}}
        assert await seat.state(B) == {"ship:2": {"x": 2}}

    async def test_a_conflict_in_one_room_refuses_all(self, seat: Seat) -> None:
        """Nothing of the group is applied, logged or published, in any of its rooms."""
        await seat.write(write(A, 0, {"ship:1": {"x": 1}}))
        await seat.write(write(A, 1, {"ship:1": {"x": 2}}, existing=["ship:1"]))
        await seat.bus.subscribe([A, B])
        reply = await seat.commit(
            Group([write(B, 0, {"ship:2": {"x": 2}}), write(A, 1, {"ship:1": {"x": 3}}, existing=["ship:1"])])
        )
        (result,) = reply.results
        assert (result.outcome, result.room, result.entity) == (CONFLICT, A, "ship:1")
        assert reply.seq == {}
        assert seat.received == []
        assert await seat.bus.positions([A, B]) == (seat.epoch, [2, 0])
        assert await seat.log(B) == []

    async def test_only_entities_touched_are_compared(self, seat: Seat) -> None:
        """A change of another entity after the base is no conflict."""
        await seat.write(write(A, 0, {"ship:1": {}, "ship:2": {}}))
        await seat.write(write(A, 1, {"ship:1": {"x": 1}}, existing=["ship:1"]))
        result = await seat.write(write(A, 1, {"ship:2": {"x": 1}}, existing=["ship:2"]))
        assert result.outcome is ACCEPTED

    async def test_a_read_is_compared(self, seat: Seat) -> None:
        """An entity read and changed after the base is a conflict, though something else is written."""
        await seat.write(write(A, 0, {"ship:1": {}}))
        await seat.write(write(A, 1, {"ship:1": {"x": 1}}, existing=["ship:1"]))
        result = await seat.write(look(A, 1, "ship:1"), write(B, 0, {"ship:2": {}}))
        assert (result.outcome, result.entity) == (CONFLICT, "ship:1")

    async def test_creation_after_the_base_conflicts(self, seat: Seat) -> None:
        """What was read as missing exists now."""
        await seat.write(write(A, 0, {"rock": {}}))
        await seat.write(write(A, 1, {"ship:1": {}}))
        assert (await seat.write(write(A, 1, {"ship:1": {"x": 1}}))).entity == "ship:1"

    async def test_deletion_after_the_base_conflicts(self, seat: Seat) -> None:
        """What was read as existing is gone, and its stamp with it."""
        await seat.write(write(A, 0, {"ship:1": {}}))
        await seat.write(write(A, 1, {"ship:1": None}, existing=["ship:1"]))
        assert (await seat.write(look(A, 1, "ship:1"), say(B, "seen"))).entity == "ship:1"
        assert await seat.state(A) == {}

    async def test_a_base_equal_to_the_room_needs_no_comparison(self, seat: Seat) -> None:
        """Nothing can have changed since, whatever the group believes of existence."""
        await seat.write(write(A, 0, {"ship:1": {}}))
        assert (await seat.write(look(A, 1, missing=["ship:1"]), say(B, "seen"))).outcome is ACCEPTED

    async def test_membership_conflicts_with_creation_and_deletion(self, seat: Seat) -> None:
        """Iterating a room reads who is in it, not what they are."""
        await seat.write(write(A, 0, {"ship:1": {}}))
        await seat.write(write(A, 1, {"ship:1": {"x": 1}}, existing=["ship:1"]))
        assert (await seat.write(look(A, 1, membership=True), say(B, "counted"))).outcome is ACCEPTED
        await seat.write(write(A, 2, {"ship:2": {}}))
        assert (await seat.write(look(A, 2, membership=True), say(B, "counted"))).entity == MEMBERSHIP
        await seat.write(write(A, 3, {"ship:2": None}, existing=["ship:2"]))
        assert (await seat.write(look(A, 3, membership=True), say(B, "counted"))).entity == MEMBERSHIP
        assert (await seat.write(look(A, 4, membership=True), say(B, "counted"))).outcome is ACCEPTED

    async def test_a_part_without_base_only_appends_events(self, seat: Seat) -> None:
        """It is accepted at any seq, moves it, and leaves state and sum alone."""
        await seat.write(write(A, 0, {"ship:1": {}}, sum_change=7))
        assert (await seat.write(say(A, "hello", "again"))).outcome is ACCEPTED
        snapshot = await seat.bus.load(A)
        assert (snapshot.seq, snapshot.sum, list(snapshot.entities)) == (2, 7, ["ship:1"])
        assert [event.name for event in (await seat.log(A, 1))[0].events] == ["hello", "again"]

    async def test_one_seq_per_batch_however_many_groups(self, seat: Seat) -> None:
        """The parts stand in the order of the groups, without those of the refused."""
        await seat.bus.subscribe([A])
        await seat.write(write(A, 0, {"rock": {}}, sum_change=2**32 - 1))
        await seat.write(write(A, 1, {"rock": {"x": 1}}, existing=["rock"], sum_change=-5))
        reply = await seat.commit(
            Group([write(A, 2, {"ship:1": {}}, events=["first"], sum_change=10)]),
            Group([write(A, 1, {"rock": {}}, existing=["rock"], events=["refused"], sum_change=1000)]),
            Group([write(A, 1, {"ship:2": {}}, events=["third"], sum_change=20)]),
            Group([say(A, "fourth")]),
        )
        assert [result.outcome for result in reply.results] == [ACCEPTED, CONFLICT, ACCEPTED, ACCEPTED]
        assert reply.seq == {A: 3}
        commit = seat.commits(A)[-1]
        assert [event.name for event in commit.events] == ["first", "third", "fourth"]
        assert (commit.header.seq, commit.header.sum) == (3, (2**32 - 1 - 5 + 30) % 2**32)

    async def test_more_parts_than_a_short_array_holds(self, seat: Seat) -> None:
        """Forty groups of one room are one readable commit."""
        await seat.bus.subscribe([A])
        await seat.commit(*(Group([say(A, f"event {index}")]) for index in range(40)))
        (commit,) = seat.commits(A)
        assert [event.name for event in commit.events] == [f"event {index}" for index in range(40)]

    async def test_a_group_that_only_reads_moves_nothing(self, seat: Seat) -> None:
        """It is judged all the same, and its commands are remembered at the seq it saw."""
        await seat.write(write(A, 0, {"ship:1": {}}))
        reply = await seat.commit(Group([look(A, 1, "ship:1")], [key("ann", "i1", A, B)]))
        assert reply.seq == {}
        assert await seat.bus.positions([A]) == (seat.epoch, [1])
        again = await seat.write(look(A, 1, "ship:1"), commands=[key("ann", "i1", A, B)])
        assert again.answered[0].seq == {A: 1, B: 0}

    async def test_a_base_ahead_of_the_store_proves_loss(self, seat: Seat) -> None:
        """The store went back within its epoch: nothing of the batch is applied."""
        await seat.write(write(A, 0, {"ship:1": {}}))
        for room, base in ((A, 5), (B, 1)):
            with pytest.raises(ForeignEpoch):
                await seat.commit(Group([write("sector:c", 0, {"rock": {}})]), Group([write(room, base, {"rock": {}})]))
        assert await seat.bus.positions([A, B, "sector:c"]) == (seat.epoch, [1, 0, 0])

    async def test_a_batch_of_many_entities(self, seat: Seat) -> None:
        """Nine thousand in one group: created, compared, deleted."""
        ships = [f"ship:{number}" for number in range(9000)]
        await seat.write(write(A, 0, {ship: {"x": 1} for ship in ships}))
        await seat.write(write(A, 1, {"rock": {}}))
        await seat.write(write(A, 1, {ship: {"x": 2} for ship in ships}, existing=ships))
        assert len((await seat.bus.load(A)).entities) == 9001
        assert (await seat.write(look(A, 1, *ships), say(B, "late"))).entity == "ship:0"
        await seat.write(write(A, 3, dict.fromkeys(ships), existing=ships))
        assert await seat.state(A) == {"rock": {}}

    async def test_values_come_back_as_they_went(self, seat: Seat) -> None:
        """Every byte of MessagePack survives, and so do names beyond ASCII."""
        values = {"big": 2**53 - 1, "low": -(2**53) + 1, "f": 1.5, "text": "żółw \U0001f422", "list": [1, None, "x"]}
        room = "team:ü|+@x"
        await seat.bus.subscribe([room])
        await seat.write(write(room, 0, {"schiff:ä": values}, events=["größe"]))
        assert await seat.state(room) == {"schiff:ä": values}
        (commit,) = seat.commits(room)
        assert commit.parts[0].sets == {"schiff:ä": values}
        assert commit.events[0].name == "größe"
        assert await seat.bus.rooms() == [room]
        conflict = await seat.write(write(room, 0, {"schiff:ä": {}}))
        assert (conflict.room, conflict.entity) == (room, "schiff:ä")


class Remembering:
    """Batches and commands that come twice."""

    async def test_the_same_batch_again_changes_nothing(self, seat: Seat) -> None:
        """It is answered word for word as the first time, refusals included."""
        await seat.write(write(A, 0, {"ship:1": {}}))
        await seat.bus.subscribe([A])
        batch = seat.batch(Group([write(A, 1, {"ship:2": {}})]), Group([write(A, 0, {"ship:1": {}})]))
        first = await seat.bus.commit(batch)
        assert await seat.bus.commit(batch) == first
        assert [result.outcome for result in first.results] == [ACCEPTED, CONFLICT]
        assert len(seat.received) == 1
        assert len(await seat.log(A)) == 2

    async def test_an_older_batch_is_refused(self, seat: Seat, seats: Seats) -> None:
        """However late the copy, and whatever other workers did meanwhile."""
        late = seat.batch(Group([say(A, "late")]))
        await seat.write(say(A, "newer"))
        other = await seats("w2")
        await other.write(say(A, "another's"))
        with pytest.raises(StaleBatch):
            await seat.bus.commit(late)
        assert [commit.events[0].name for commit in await seat.log(A)] == ["newer", "another's"]

    async def test_a_command_is_answered_with_its_own_seqs(self, seat: Seat, seats: Seats) -> None:
        """On any worker, long after the rooms moved on, and nothing is applied again."""
        await seat.write(say(B, "before"))
        done = Group([write(A, 0, {"ship:1": {}}), say(B, "created")], [key("ann", "s7", A, B)])
        await seat.commit(done)
        await seat.write(say(A, "later"))
        other = await seats("w2")
        (result,) = (await other.commit(Group([say(A, "twice")], [key("ann", "s7", A, B)]))).results
        assert result.outcome is ANSWERED
        assert [(answer.command, answer.seq) for answer in result.answered] == [(0, {A: 1, B: 2})]
        assert await other.bus.positions([A]) == (seat.epoch, [2])

    async def test_another_body_is_a_conflict_of_keys(self, seat: Seat) -> None:
        """The original stands; of several commands those answered are named."""
        await seat.write(say(A, "one"), commands=[key("ann", "s1", A)])
        await seat.write(say(A, "three"), commands=[key("ann", "s3", A)])
        result = await seat.write(
            say(A, "again"),
            commands=[key("ann", "s1", A, body=b"an other"), key("ann", "s2", A), key("ann", "s3", A)],
        )
        assert result.outcome is ANSWERED
        assert [(answer.command, answer.seq) for answer in result.answered] == [(0, None), (2, {A: 2})]
        assert (await seat.write(say(A, "two"), commands=[key("ann", "s2", A)])).outcome is ACCEPTED

    async def test_ids_belong_to_a_player_and_are_typed(self, seat: Seat) -> None:
        """The same id of another player, and 7 beside "7", are other commands."""
        await seat.write(say(A, "one"), commands=[key("ann", "i7", A)])
        assert (await seat.write(say(A, "two"), commands=[key("ann", "s7", A)])).outcome is ACCEPTED
        assert (await seat.write(say(A, "three"), commands=[key("bob", "i7", A)])).outcome is ACCEPTED
        assert (await seat.write(say(A, "four"), commands=[key("ann", "i7", A)])).outcome is ANSWERED

    async def test_a_group_without_rooms_only_asks(self, seat: Seat) -> None:
        """It names those of its commands that were answered before, changes nothing, and is not remembered."""
        await seat.write(say(A, "one"), commands=[key("ann", "s1", A)])
        question = [key("ann", "s0"), key("ann", "s1"), key("ann", "s1", body=b"an other")]
        result = await seat.write(commands=question)
        assert result.outcome is ANSWERED
        assert [(answer.command, answer.seq) for answer in result.answered] == [(1, {A: 1}), (2, None)]
        for _ in range(2):
            assert (await seat.write(commands=question[:1])).outcome is ACCEPTED
        assert (await seat.write(say(A, "two"), commands=[key("ann", "s0", A)])).outcome is ACCEPTED
        assert await seat.bus.positions([A]) == (seat.epoch, [2])

    async def test_a_refused_command_is_not_remembered(self, seat: Seat) -> None:
        """After a conflict or a wrong fence the same id may be tried again."""
        await seat.write(write(A, 0, {"ship:1": {}}))
        await seat.write(write(A, 1, {"ship:1": {"x": 1}}, existing=["ship:1"]))
        command = key("ann", "s1", A)
        conflict = await seat.write(write(A, 1, {"ship:1": {"x": 2}}, existing=["ship:1"]), commands=[command])
        fenced = await seat.write(say(A, "x"), commands=[command], fence=12345)
        assert [conflict.outcome, fenced.outcome] == [CONFLICT, FENCED]
        assert (await seat.write(say(A, "x"), commands=[command])).outcome is ACCEPTED


class Claiming:
    """Claims against starvation."""

    async def contend(self, seat: Seat) -> None:
        """Leave a claim of ann's on ship:1 of A, which is at seq 2."""
        await seat.write(write(A, 0, {"ship:1": {}, "ship:2": {}}))
        await seat.write(write(A, 1, {"ship:1": {"x": 1}}, existing=["ship:1"]))
        result = await seat.write(write(A, 1, {"ship:1": {"x": 2}}, existing=["ship:1"]), claim="ann")
        assert result.outcome is CONFLICT

    async def test_a_claim_refuses_the_next_few_others(self, seat: Seat) -> None:
        """Exactly CLAIM_REFUSALS groups that touch the entity, and none that does not."""
        await self.contend(seat)
        for _ in range(CLAIM_REFUSALS):
            result = await seat.write(look(A, 2, "ship:1"), say(B, "looked"))
            assert (result.outcome, result.room, result.entity) == (CLAIMED, A, "ship:1")
            assert (await seat.write(look(A, 2, "ship:2"), say(B, "looked"))).outcome is ACCEPTED
        assert (await seat.write(look(A, 2, "ship:1"), say(B, "looked"))).outcome is ACCEPTED

    async def test_the_claimant_passes_and_the_claim_ends(self, seat: Seat, seats: Seats) -> None:
        """From any worker; afterwards nobody is refused."""
        await self.contend(seat)
        other = await seats("w2")
        ship = ["ship:1"]
        assert (await other.write(write(A, 2, {"ship:1": {}}, existing=ship), claim="bob")).outcome is CLAIMED
        assert (await other.write(write(A, 2, {"ship:1": {}}, existing=ship), claim="ann")).outcome is ACCEPTED
        assert (await seat.write(write(A, 3, {"ship:1": {}}, existing=ship))).outcome is ACCEPTED

    async def test_membership_can_be_claimed(self, seat: Seat) -> None:
        """Others may then not create or delete, but may change what exists."""
        await self.contend(seat)
        await seat.write(write(A, 2, {"ship:3": {}}))
        claiming = await seat.write(look(A, 2, membership=True), say(B, "counted"), claim="bob")
        assert (claiming.outcome, claiming.entity) == (CONFLICT, MEMBERSHIP)
        assert (await seat.write(write(A, 3, {"ship:4": {}}))).entity == MEMBERSHIP
        assert (await seat.write(write(A, 3, {"ship:2": {"x": 1}}, existing=["ship:2"]))).outcome is ACCEPTED

    async def test_without_a_claim_a_conflict_reserves_nothing(self, seat: Seat) -> None:
        """The next one may have it."""
        await seat.write(write(A, 0, {"ship:1": {}}))
        await seat.write(say(A, "x"))
        assert (await seat.write(write(A, 0, {"ship:1": {}}))).outcome is CONFLICT
        assert (await seat.write(write(A, 2, {"ship:1": {}}, existing=["ship:1"]))).outcome is ACCEPTED
