"""A commit over several rooms is shown in all of them at once, or late, but never half."""

from __future__ import annotations

import pytest

from gameserver.runtime.siblings import SIBLING_DEADLINE, Siblings
from gameserver.state.draft import Draft
from gameserver.state.position import Position
from tests.compiled import on_sources
from tests.runtime.hub_rig import Client, HubRig, moving
from tests.runtime.one_worker import setting
from tests.runtime.virtual_time import passed, until
from tests.state.things import OTHER, ROOM


@pytest.fixture
async def rig() -> HubRig:
    return HubRig()


async def watcher(rig: HubRig) -> Client:
    """Somebody who sees both rooms."""
    rig.write(ROOM, "counter:1", n=1)
    client = Client(rig)
    client.enter(ROOM)
    client.enter(OTHER)
    client.messages()
    return client


def sees(client: Client) -> tuple[bool, bool]:
    return "counter:1" in client.state(ROOM), "counter:1" in client.state(OTHER)


async def test_half_a_move_is_not_shown(rig: HubRig) -> None:
    """The second publication comes late: both rooms change in one flush, also with commits between."""
    client = await watcher(rig)
    rig.publish(moving("counter:1", ROOM, OTHER))
    rig.deliver(ROOM)
    await rig.flushed()
    assert sees(client) == (True, False)
    rig.publish(setting(ROOM, "counter:2", n=1))
    rig.deliver(ROOM)
    await passed(SIBLING_DEADLINE / 2)
    assert client.messages() == []
    before = rig.hub.stats.flushes
    rig.deliver(OTHER)
    await rig.flushed()
    assert sees(client) == (False, True)
    assert rig.hub.stats.flushes == before + 1
    assert "counter:2" in client.state(ROOM)
    await passed(1)
    assert (rig.missing, rig.hub.siblings.held, rig.hub.siblings.held_too_long) == (0, 1, 0)


@on_sources
async def test_without_holding_half_a_move_is_shown(rig: HubRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above holds because rooms wait for each other, and of nothing else."""
    monkeypatch.setattr(Siblings, "hold", lambda *_: None)
    client = await watcher(rig)
    rig.publish(moving("counter:1", ROOM, OTHER))
    rig.deliver(ROOM)
    await rig.flushed()
    assert sees(client) == (False, False)


async def test_a_sibling_that_never_comes(rig: HubRig) -> None:
    """After the deadline the room is shown without it, and somebody is told to look for it."""
    client = await watcher(rig)
    rig.publish(moving("counter:1", ROOM, OTHER))
    rig.deliver(ROOM)
    await passed(SIBLING_DEADLINE - 0.01)
    assert sees(client) == (True, False)
    assert rig.missing == 0
    await passed(0.02)
    assert sees(client) == (False, False)
    assert (rig.missing, rig.hub.siblings.held_too_long) == (1, 1)
    rig.deliver(OTHER)
    await rig.flushed()
    assert sees(client) == (False, True)
    await passed(1)
    assert rig.missing == 1


async def test_each_hold_has_its_own_deadline(rig: HubRig) -> None:
    """A second commit that waits begins anew when the first one's wait has ended."""
    client = await watcher(rig)
    for origin, target in ((ROOM, OTHER), (OTHER, ROOM)):
        rig.publish(moving("counter:1", origin, target))
        rig.deliver(ROOM)
        await passed(SIBLING_DEADLINE * 0.6)
        rig.deliver(OTHER)
        await rig.flushed()
    assert sees(client) == (True, False)
    await passed(1)
    assert (rig.missing, rig.hub.siblings.held, rig.hub.siblings.held_too_long) == (0, 2, 0)


async def test_three_rooms_chained(rig: HubRig) -> None:
    """A room waits for all the siblings of all its commits."""
    far = "sector:3"
    rig.follow(far)
    client = await watcher(rig)
    client.enter(far)
    rig.publish(setting_everywhere(1, ROOM, OTHER))
    rig.publish(setting_everywhere(2, ROOM, far))
    rig.deliver(ROOM)
    rig.deliver(OTHER)
    await rig.flushed()
    assert "box:1" not in client.state(ROOM)
    rig.deliver(far)
    await rig.flushed()
    assert [client.state(room)["box:1"]["x"] for room in (ROOM, OTHER, far)] == [2.0, 1.0, 2.0]
    assert rig.missing == 0


def setting_everywhere(x: float, *rooms: str):  # type: ignore[no-untyped-def]
    def run(draft: Draft) -> None:
        for room in rooms:
            setting(room, "box:1", x=x)(draft)

    return run


async def test_a_room_not_followed_here_is_not_waited_for(rig: HubRig) -> None:
    """Nobody on this worker can see the other half."""
    client = await watcher(rig)
    client.leave(OTHER)
    del rig.replicas[OTHER]
    rig.publish(moving("counter:1", ROOM, OTHER))
    rig.deliver(ROOM)
    await rig.flushed()
    assert client.state(ROOM) == {}
    assert rig.hub.siblings.held == 0


async def test_who_comes_while_a_room_waits(rig: HubRig) -> None:
    """A joiner sees no half of it either, and a resync neither."""
    client = await watcher(rig)
    rig.publish(moving("counter:1", ROOM, OTHER))
    rig.deliver(ROOM)
    await rig.flushed()
    late = Client(rig)
    late.enter(OTHER)
    late.enter(ROOM)
    assert [message["room"] for message in late.messages()] == [OTHER]
    rig.deliver(OTHER)
    await rig.flushed()
    assert sees(late) == sees(client) == (False, True)


async def test_a_resync_while_a_room_waits(rig: HubRig) -> None:
    """What is asked for during the wait is whole too, and what follows fits."""
    client = await watcher(rig)
    rig.publish(moving("counter:1", ROOM, OTHER))
    rig.deliver(ROOM)
    await rig.flushed()
    assert rig.hub.snapshot(client.member, ROOM)
    await rig.flushed()
    assert sees(client) == (True, False)
    rig.deliver(OTHER)
    await rig.flushed()
    rig.verify()
    assert sees(client) == (False, True)
    assert client.verified() == 2


async def test_proofs_wait_too(rig: HubRig) -> None:
    """A room that is held back is not proven: its members are not where the replica is."""
    client = await watcher(rig)
    rig.publish(moving("counter:1", ROOM, OTHER))
    rig.deliver(ROOM)
    await rig.flushed()
    assert rig.verify() == 1
    assert [message["room"] for message in client.messages()] == [OTHER]
    rig.deliver(OTHER)
    await until(lambda: sees(client) == (False, True))
    assert rig.verify() == 2
    assert client.verified() == 3


async def test_leaving_a_room_that_waits(rig: HubRig) -> None:
    """What was held back is still due before `left`."""
    client = await watcher(rig)
    rig.publish(moving("counter:1", ROOM, OTHER))
    rig.deliver(ROOM)
    await rig.flushed()
    client.leave(ROOM)
    assert client.types() == ["delta", "left"]
    rig.deliver(OTHER)
    await rig.flushed()
    assert "counter:1" in client.state(OTHER)


async def test_a_sibling_that_is_reloaded(rig: HubRig) -> None:
    """The other room jumped over the commit: who waits for it is not left waiting for long."""
    client = await watcher(rig)
    rig.publish(moving("counter:1", ROOM, OTHER))
    rig.deliver(ROOM)
    await rig.flushed()
    rig.reload(OTHER)
    await passed(SIBLING_DEADLINE + 0.01)
    assert sees(client) == (False, True)


async def came_back(rig: HubRig, seen: int) -> Client:
    """Somebody who had the room's events up to `seen` comes back to it while it waits for a sibling."""
    await watcher(rig)
    rig.publish(moving("counter:1", ROOM, OTHER))
    rig.deliver(ROOM)
    await rig.flushed()
    client = Client(rig)
    replica = rig.replicas[ROOM]
    rig.hub.enter(client.member, replica, seen=Position(replica.epoch, seen))
    return client


async def test_what_is_lost_is_declared_when_one_is_let_in(rig: HubRig) -> None:
    """All events up to the snapshot, also those of commits that came during the wait [SNAP3]."""
    client = await came_back(rig, seen=1)
    rig.publish(setting(ROOM, "counter:2", n=1))
    rig.deliver(ROOM)
    assert client.messages() == []
    rig.deliver(OTHER)
    await rig.flushed()
    snapshot, lost = client.messages()
    assert (snapshot["type"], lost["type"]) == ("snapshot", "lost")
    assert (lost["from"], lost["to"]) == (2, snapshot["seq"])


async def test_leaving_before_one_is_let_in(rig: HubRig) -> None:
    """Who knew the room from before is told that it is over, and what they missed of it [ROOM5] [RES8]."""
    client = await came_back(rig, seen=1)
    rig.hub.leave(client.member, ROOM, "moved")
    rig.hub.replies.end_turn()
    assert client.types() == ["lost", "left"]
    rig.deliver(OTHER)
    await rig.flushed()
    assert client.messages() == []
