"""The shared path: one frame for all, one delta per flush, views, siblings, joining and leaving."""

from __future__ import annotations

import pytest

from gameserver.protocol.codec import JSON, MSGPACK
from gameserver.rooms.views import WHOLE, View
from gameserver.state.signal import decode_signal, encode_signal
from tests.runtime.hub_rig import Client, HubRig
from tests.runtime.one_worker import setting
from tests.runtime.virtual_time import passed
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
    clients = [Client(rig, codec) for codec in (JSON, MSGPACK, rig.compact) * 5]
    for client in clients:
        client.enter(ROOM)
    rig.write(ROOM, "counter:1", n=3)
    await rig.flushed()
    rig.verify()
    for place in range(3):
        frames = [client.channel.written[place] for client in clients]
        assert len({id(frame) for frame in frames}) == 3
    assert all(client.state(ROOM) == {"counter:1": {"n": 3}} for client in clients)
    assert rig.hub.stats.deliveries == 45


async def test_a_checksum_is_told_to_some_at_a_time(rig: HubRig) -> None:
    """What happens between them is shown first: to each the checksum comes exactly where it stands."""
    clients = [Client(rig) for _ in range(5)]
    for client, view in zip(clients, (WHOLE, NOTES, WHOLE, COUNTERS, WHOLE), strict=True):
        client.enter(ROOM, view)
    audience = rig.hub.audience(ROOM)
    assert audience is not None
    proof = rig.hub.proof(audience)
    assert proof is not None
    for number in range(1, 4):
        rig.write(ROOM, "counter:1", n=number)
        assert proof.tell(2) is (number < 3)
        if number == 1:
            clients[2].leave(ROOM)
    assert [client.verified() for client in clients] == [1, 1, 0, 1, 1]


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
    rig.verify()
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
    rig.verify()
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
    rig.verify()
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
