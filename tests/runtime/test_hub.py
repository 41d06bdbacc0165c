"""The shared path: one frame for all, one delta per flush, views, siblings, joining and leaving."""

from __future__ import annotations

import pytest

from gameserver.protocol.codec import JSON, MSGPACK
from gameserver.rooms.views import View
from gameserver.runtime.hub import SIBLING_DEADLINE, Hub
from gameserver.state.draft import Draft
from gameserver.state.signal import decode_signal, encode_signal
from tests.runtime.hub_rig import Client, HubRig, moving
from tests.runtime.one_worker import setting
from tests.runtime.virtual_time import passed, until
from tests.state.things import OTHER, ROOM

COUNTERS = View(frozenset({"counter:*"}))
NOTES = View(None, frozenset({"note"}))
ONE = View(frozenset({"counter:1"}), frozenset({"n"}))


@pytest.fixture
async def rig() -> HubRig:
    return HubRig()


async def test_first_the_snapshot(rig: HubRig) -> None:
    """Who enters gets the room as it is; who asks again gets it again."""
    rig.write(ROOM, "counter:1", n=3)
    client = Client(rig)
    client.enter(ROOM)
    (snapshot,) = client.messages()
    assert snapshot["state"] == {"counter:1": {"n": 3}}
    assert (snapshot["seq"], snapshot["sum"]) == (1, rig.replicas[ROOM].sum)
    assert rig.hub.snapshot(client.member, ROOM)
    assert not rig.hub.snapshot(client.member, OTHER)
    assert client.messages() == [snapshot]


async def test_the_same_bytes_for_everybody(rig: HubRig) -> None:
    """Of one encoding: encoded and framed once, the identical object."""
    clients = [Client(rig, codec) for codec in (JSON, MSGPACK) * 5]
    for client in clients:
        client.enter(ROOM)
    rig.write(ROOM, "counter:1", n=3)
    await rig.flushed()
    rig.hub.verify()
    for place in range(3):
        frames = [client.channel.written[place] for client in clients]
        assert len({id(frame) for frame in frames}) == 2
    assert all(client.state(ROOM) == {"counter:1": {"n": 3}} for client in clients)
    assert rig.hub.stats.deliveries == 30


async def test_several_commits_are_one_delta(rig: HubRig) -> None:
    """What is applied within one turn of the loop is composed, events and all."""
    client = Client(rig)
    client.enter(ROOM)
    for number in range(1, 4):
        rig.write(ROOM, "counter:1", n=number)
    rig.say(ROOM)
    rig.commit(lambda draft: draft.room(ROOM).create("counter:2"))
    rig.commit(lambda draft: draft.room(ROOM).delete("counter:2"))
    await rig.flushed()
    _, delta = client.messages()
    assert (delta["prev"], delta["seq"]) == (0, 6)
    assert delta["set"] == {"counter:1": {"n": 3}}
    assert delta["del"] == ["counter:2"]
    assert [(event["name"], event["seq"]) for event in delta["events"]] == [("said", 4)]
    assert client.state(ROOM) == {"counter:1": {"n": 3}}
    assert rig.hub.stats.flushes == 1


async def test_views(rig: HubRig) -> None:
    """Each sees its part of the room, and proves it with the checksum of that part."""
    whole, counters, notes, one = clients = [Client(rig) for _ in range(4)]
    rig.write(ROOM, "box:1", x=0.5)
    for client, view in zip(clients, [View(), COUNTERS, NOTES, ONE], strict=True):
        client.enter(ROOM, view)
    rig.write(ROOM, "counter:1", n=3, note="hi")
    rig.write(ROOM, "counter:2", n=4)
    await rig.flushed()
    assert whole.state(ROOM) == rig.replicas[ROOM].entities
    assert counters.state(ROOM) == {"counter:1": {"n": 3, "note": "hi"}, "counter:2": {"n": 4}}
    assert notes.state(ROOM) == {"box:1": {}, "counter:1": {"note": "hi"}, "counter:2": {}}
    assert one.state(ROOM) == {"counter:1": {"n": 3}}
    rig.write(ROOM, "counter:1", note=None)
    rig.commit(lambda draft: draft.room(ROOM).delete("counter:2"))
    await rig.flushed()
    rig.hub.verify()
    assert notes.state(ROOM) == {"box:1": {}, "counter:1": {}}
    assert [client.verified() for client in clients] == [1] * 4


async def test_what_a_view_does_not_show_is_not_sent(rig: HubRig) -> None:
    """No delta for it; a proof brings the position along, and a later delta fits."""
    rig.write(ROOM, "counter:1", n=1)
    client = Client(rig)
    client.enter(ROOM, ONE)
    rig.write(ROOM, "counter:2", n=1)
    rig.write(ROOM, "counter:1", note="unseen")
    await rig.flushed()
    assert client.types() == ["snapshot"]
    rig.write(ROOM, "counter:1", n=2)
    await rig.flushed()
    (delta,) = client.messages()
    assert (delta["prev"], delta["seq"], delta["set"]) == (1, 4, {"counter:1": {"n": 2}})
    rig.write(ROOM, "counter:2", n=2)
    await rig.flushed()
    rig.hub.verify()
    assert client.types() == ["delta", "verify"]
    assert client.seq(ROOM) == 5
    assert client.verified() == 1
    assert client.replica.counters.resyncs == 0


@pytest.mark.parametrize("view", [View(), ONE])
async def test_seen_another_way(rig: HubRig, view: View) -> None:
    """A member that subscribes again, alone in the room or not, the same way or another, goes on being served."""
    rig.write(ROOM, "counter:1", n=1)
    client = Client(rig)
    client.enter(ROOM)
    client.enter(ROOM, view)
    assert client.types() == ["snapshot", "snapshot"]
    rig.write(ROOM, "counter:1", n=2)
    await rig.flushed()
    assert client.state(ROOM) == {"counter:1": {"n": 2}}
    client.leave(ROOM)
    assert rig.hub.audience(ROOM) is None


async def test_joining_while_something_is_pending(rig: HubRig) -> None:
    """Those who were there get it as a delta, who joins has it in the snapshot; no event is owed to them."""
    first, second = Client(rig), Client(rig)
    first.enter(ROOM)
    rig.write(ROOM, "counter:1", n=1)
    rig.say(ROOM)
    second.enter(ROOM)
    assert first.types() == ["snapshot", "delta"]
    assert second.types() == ["snapshot"]
    assert second.seq(ROOM) == 2
    rig.write(ROOM, "counter:1", n=2)
    await rig.flushed()
    for client in (first, second):
        assert client.types() == ["delta"]
        assert client.state(ROOM) == {"counter:1": {"n": 2}}
    assert (first.heard(ROOM), second.heard(ROOM)) == ([(2, 0)], [])


async def test_signals(rig: HubRig) -> None:
    """The latest of a key, once per flush; another key beside it; nobody gets those of rooms they are not in."""
    client = Client(rig, MSGPACK)
    client.enter(ROOM)

    def signal(room: str, key: str, data: object) -> None:
        rig.hub.signalled(room, *decode_signal(encode_signal(key, data, "ada")))

    for number in range(3):
        signal(ROOM, "pose", {"x": number})
    signal(ROOM, "typing", b"\x01\x02")
    signal(OTHER, "pose", {"x": 9})
    await rig.flushed()
    _, *signals = client.messages()
    assert [(each["key"], each["data"], each["from"]) for each in signals] == [
        ("pose", {"x": 2}, "ada"),
        ("typing", b"\x01\x02", "ada"),
    ]
    await rig.flushed()
    assert client.messages() == []


async def test_leaving(rig: HubRig) -> None:
    """What is still due, then `left`, and nothing of the room after it."""
    stays, leaves = Client(rig), Client(rig)
    for client in (stays, leaves):
        client.enter(ROOM)
    rig.say(ROOM)
    leaves.leave(ROOM)
    rig.write(ROOM, "counter:1", n=2)
    await rig.flushed()
    assert leaves.types() == ["snapshot", "delta", "left"]
    assert leaves.heard(ROOM) == [(1, 0)]
    assert stays.types() == ["snapshot", "delta", "delta"]
    leaves.leave(ROOM)
    assert leaves.messages() == []


async def test_gone(rig: HubRig) -> None:
    """A connection that ended is written to no more; with the last member the audience goes."""
    client = Client(rig)
    client.enter(ROOM)
    client.enter(OTHER)
    rig.hub.forget(client.member)
    rig.write(ROOM, "counter:1", n=2)
    client.member.send({"type": "pong"})
    await rig.flushed()
    assert client.types() == ["snapshot", "snapshot"]
    assert rig.hub.audiences() == []


async def test_after_the_flush(rig: HubRig) -> None:
    """A callback runs once, when what was pending then has been written."""
    client = Client(rig)
    client.enter(ROOM)
    rig.write(ROOM, "counter:1", n=2)
    seen: list[list[str]] = []
    rig.hub.after_flush(lambda: seen.append(client.types()))
    await rig.flushed()
    rig.write(ROOM, "counter:1", n=3)
    await rig.flushed()
    assert seen == [["snapshot", "delta"]]


async def test_a_reloaded_room(rig: HubRig) -> None:
    """What it had is shown, then the snapshot; the events between are declared lost."""
    client, narrow = Client(rig), Client(rig, MSGPACK)
    client.enter(ROOM)
    narrow.enter(ROOM, ONE)
    rig.write(ROOM, "counter:1", n=1)
    rig.publish(setting(ROOM, "counter:1", n=2))
    rig.publish(setting(ROOM, "counter:2", n=2))
    rig.reload(ROOM)
    for each in (client, narrow):
        *_, delta, snapshot, lost = each.messages()
        assert (delta["seq"], snapshot["seq"]) == (1, 3)
        assert (lost["from"], lost["to"]) == (2, 3)
    assert client.state(ROOM) == rig.replicas[ROOM].entities
    rig.deliver()
    rig.write(ROOM, "counter:1", n=5)
    await rig.flushed()
    rig.hub.verify()
    for each in (client, narrow):
        assert each.types() == ["delta", "verify"]
        assert each.verified() == 1


async def test_a_new_epoch(rig: HubRig) -> None:
    """Positions of the old one say nothing about the new: a snapshot, and no events declared lost."""
    client = Client(rig)
    client.enter(ROOM)
    rig.write(ROOM, "counter:1", n=1)
    await rig.flushed()
    rig.store.clear()
    await passed(1)
    rig.store.epoch()
    rig.outsider.number = 0
    rig.publish(setting(ROOM, "counter:2", n=2))
    rig.reload(ROOM)
    assert client.types() == ["snapshot", "delta", "snapshot"]
    assert client.state(ROOM) == {"counter:2": {"n": 2}}


# -- siblings ------------------------------------------------------------------------------------------------


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
    assert (rig.missing, rig.hub.stats.held, rig.hub.stats.held_too_long) == (0, 1, 0)


async def test_without_holding_half_a_move_is_shown(rig: HubRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above holds because rooms wait for each other, and of nothing else."""
    monkeypatch.setattr(Hub, "_await_siblings", lambda *_: None)
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
    assert (rig.missing, rig.hub.stats.held_too_long) == (1, 1)
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
    assert (rig.missing, rig.hub.stats.held, rig.hub.stats.held_too_long) == (0, 2, 0)


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
    assert rig.hub.stats.held == 0


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
    rig.hub.verify()
    assert sees(client) == (False, True)
    assert client.verified() == 2


async def test_proofs_wait_too(rig: HubRig) -> None:
    """A room that is held back is not proven: its members are not where the replica is."""
    client = await watcher(rig)
    rig.publish(moving("counter:1", ROOM, OTHER))
    rig.deliver(ROOM)
    await rig.flushed()
    assert rig.hub.verify() == 1
    assert [message["room"] for message in client.messages()] == [OTHER]
    rig.deliver(OTHER)
    await until(lambda: sees(client) == (False, True))
    assert rig.hub.verify() == 2
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
