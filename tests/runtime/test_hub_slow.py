"""The way of slow members: demoted when the line is full, served from their outbox, back when it is drained."""

from __future__ import annotations

import pytest

from gameserver.rooms.views import View
from gameserver.sessions.quality import Tier
from gameserver.state.signal import decode_signal, encode_signal
from tests.compiled import on_sources
from tests.runtime.hub_rig import Client, HubRig, moving
from tests.runtime.one_worker import setting
from tests.runtime.virtual_time import passed, until
from tests.state.things import OTHER, ROOM

ONE = View(frozenset({"counter:1"}), frozenset({"n"}))


@pytest.fixture
async def rig() -> HubRig:
    return HubRig()


async def stuck(rig: HubRig, view: View | None = None) -> Client:
    """A client whose line took nothing of the last delta."""
    rig.write(ROOM, "counter:1", n=0)
    client = Client(rig)
    client.enter(ROOM, view or View())
    client.channel.stick()
    rig.write(ROOM, "counter:1", n=1)
    await rig.flushed()
    assert client.slow
    client.messages()
    return client


async def test_unsent_bytes_demote(rig: HubRig) -> None:
    """And nothing more is written, however much happens; the others are served as before."""
    other = Client(rig)
    other.enter(ROOM)
    client = await stuck(rig)
    for number in range(50):
        rig.write(ROOM, "counter:1", n=number + 2)
        await rig.flushed()
    assert client.messages() == []
    assert other.state(ROOM) == {"counter:1": {"n": 51}}
    assert not other.slow
    assert rig.hub.stats.demoted == 1


async def test_a_line_with_slack_is_healthy(rig: HubRig) -> None:
    """So many bytes may stand unsent right after a write."""
    client = Client(rig)
    client.channel.slack = 1000
    client.enter(ROOM)
    client.channel.stick()
    rig.write(ROOM, "counter:1", n=1)
    await rig.flushed()
    assert not client.slow


async def test_drained_it_is_where_everybody_is(rig: HubRig) -> None:
    """What it missed comes as current values, every event once and in order, then a proof, and it is back."""
    client = await stuck(rig)
    for number in range(2, 6):
        rig.write(ROOM, "counter:1", n=number)
        rig.say(ROOM)
        await rig.flushed()
    rig.commit(lambda draft: draft.room(ROOM).create("counter:2"))
    await rig.flushed()
    client.channel.drain()
    assert client.state(ROOM) == rig.replicas[ROOM].entities
    assert client.seq(ROOM) == rig.replicas[ROOM].seq
    assert client.heard(ROOM) == [(seq, 0) for seq in (4, 6, 8, 10)]
    assert client.verified() == 1
    assert not client.slow
    assert rig.hub.stats.promoted == 1
    rig.write(ROOM, "counter:2", n=9)
    await rig.flushed()
    assert client.types() == ["delta"]
    assert client.replica.counters.resyncs == 0


async def test_a_line_that_takes_a_little(rig: HubRig) -> None:
    """Served in pieces, the most important first, and right at the end."""
    client = await stuck(rig)
    for number in range(30):
        rig.write(ROOM, f"counter:{number}", n=number, note="x" * 40)
    for _ in range(200):
        client.channel.drain(room_for=100)
        rig.write(ROOM, "counter:1", n=client.channel.unsent())
        await rig.flushed()
        if not client.channel.unsent():
            break
    client.channel.drain()
    await rig.flushed()
    assert client.state(ROOM) == rig.replicas[ROOM].entities
    assert client.verified() >= 1
    assert not client.slow


async def test_created_and_deleted_meanwhile(rig: HubRig) -> None:
    """It never hears of what came and went; what it had and is gone is deleted."""
    rig.write(ROOM, "box:1", x=0.5)
    client = await stuck(rig)
    rig.write(ROOM, "counter:7", n=1)
    await rig.flushed()
    rig.commit(lambda draft: draft.room(ROOM).delete("counter:7"))
    rig.commit(lambda draft: draft.room(ROOM).delete("box:1"))
    rig.commit(lambda draft: draft.room(ROOM).delete("counter:1"))
    rig.commit(lambda draft: draft.room(ROOM).create("counter:1", note="new"))
    await rig.flushed()
    client.channel.drain()
    messages = client.messages()
    assert "counter:7" not in str(messages)
    assert client.state(ROOM) == {"counter:1": {"n": 0, "note": "new"}}


async def test_a_narrowed_view(rig: HubRig) -> None:
    """Slow or not, it is told of its own part alone and proves that."""
    client = await stuck(rig, ONE)
    rig.write(ROOM, "counter:2", n=1)
    rig.write(ROOM, "counter:1", n=5, note="unseen")
    await rig.flushed()
    client.channel.drain()
    assert client.state(ROOM) == {"counter:1": {"n": 5}}
    assert client.verified() == 1
    assert not client.slow


async def test_demoted_where_nothing_was_to_be_seen(rig: HubRig) -> None:
    """Another room filled the line while this one's view had nothing to show: it comes along to the position."""
    rig.write(ROOM, "counter:1", n=0)
    client = Client(rig)
    client.enter(ROOM, ONE)
    client.enter(OTHER)
    rig.write(ROOM, "counter:2", n=1)
    await rig.flushed()
    client.channel.stick()
    rig.write(OTHER, "counter:1", n=1)
    await rig.flushed()
    assert client.slow
    client.channel.drain()
    await rig.flushed()
    assert not client.slow
    assert [client.seq(room) for room in (ROOM, OTHER)] == [2, 1]
    assert client.verified() == 2
    rig.write(ROOM, "counter:1", n=1)
    await rig.flushed()
    assert client.state(ROOM) == {"counter:1": {"n": 1}}


async def test_demoted_in_the_middle_of_a_flush(rig: HubRig) -> None:
    """The first room of a flush fills the line: what the others had pending comes from the outbox, once."""
    for order in ((ROOM, OTHER), (OTHER, ROOM)):
        client = Client(rig)
        client.enter(ROOM)
        client.enter(OTHER)
        client.messages()
        client.channel.stick()
        for room in order:
            rig.write(room, "counter:1", n=rig.replicas[room].seq + 1)
            rig.say(room)
        await rig.flushed()
        client.channel.drain()
        await rig.flushed()
        for room in order:
            assert client.state(room) == rig.replicas[room].entities
            assert client.heard(room) == [(rig.replicas[room].seq, 0)]
        assert not client.slow
        assert client.verified() == 2
        rig.hub.forget(client.member)


async def test_signals_wait_as_the_latest(rig: HubRig) -> None:
    """One by key, however many came."""
    client = await stuck(rig)
    for number in range(20):
        rig.hub.signalled(ROOM, *decode_signal(encode_signal("pose", {"x": number}, None)))
        await rig.flushed()
    client.channel.drain()
    signals = [message for message in client.messages() if message["type"] == "signal"]
    assert [signal["data"] for signal in signals] == [{"x": 19}]


async def test_answers_come_first(rig: HubRig) -> None:
    """Direct answers of a slow member wait for the line, before all else and in order."""
    client = await stuck(rig)
    rig.write(ROOM, "counter:1", n=7)
    for at in range(3):
        client.member.send({"type": "pong", "at": at, "now": 0})
    assert client.messages() == []
    client.channel.drain()
    messages = client.messages()
    assert [message.get("at") for message in messages[:3]] == [0, 1, 2]
    assert messages[3]["type"] == "delta"


async def test_leaving_and_entering_while_slow(rig: HubRig) -> None:
    """Still the events due, then `left`, nothing of the room after it; the new room comes as a snapshot."""
    client = await stuck(rig)
    rig.say(ROOM)
    await rig.flushed()
    client.leave(ROOM)
    client.enter(OTHER)
    rig.write(ROOM, "counter:1", n=8)
    rig.write(OTHER, "counter:1", n=4)
    await rig.flushed()
    assert client.messages() == []
    client.channel.drain()
    messages = client.messages()
    left = [message["type"] for message in messages].index("left")
    assert client.heard(ROOM) == [(3, 0)]
    assert {message["room"] for message in messages[: left + 1]} == {ROOM}
    assert {message["room"] for message in messages[left + 1 :]} == {OTHER}
    assert client.state(OTHER) == {"counter:1": {"n": 4}}
    assert not client.slow


async def test_made_slow_by_leaving(rig: HubRig) -> None:
    """What is still due as it leaves fills the line: it is in the room until that is written."""
    client = Client(rig)
    client.enter(ROOM)
    client.enter(OTHER)
    client.channel.stick()
    rig.say(ROOM)
    client.leave(ROOM)
    assert client.slow
    client.channel.drain()
    await rig.flushed()
    assert client.types() == ["snapshot", "snapshot", "delta", "left", "verify"]
    assert not client.slow


async def test_a_resync_while_slow(rig: HubRig) -> None:
    """The snapshot waits for the line; another view as well."""
    client = await stuck(rig)
    rig.write(ROOM, "counter:1", n=8)
    assert rig.hub.snapshot(client.member, ROOM)
    client.enter(ROOM, ONE)
    assert client.messages() == []
    client.channel.drain()
    await rig.flushed()
    assert [message["type"] for message in client.messages()] == ["snapshot", "verify"]
    assert client.state(ROOM) == {"counter:1": {"n": 8}}
    assert not client.slow


async def test_a_reload_while_slow(rig: HubRig) -> None:
    """The snapshot, and what became of the events between: told or declared lost, never skipped."""
    client = await stuck(rig)
    rig.publish(lambda draft: draft.room(ROOM).event("said"))
    rig.publish(setting(ROOM, "counter:1", n=2))
    rig.reload(ROOM)
    client.channel.drain()
    await rig.flushed()
    await passed(1)
    assert client.state(ROOM) == {"counter:1": {"n": 2}}
    assert client.heard(ROOM) == [(3, 0)] or any(3 in lost for lost in client.lost(ROOM))
    assert client.verified() >= 1
    assert not client.slow


async def test_half_a_move_is_not_shown_to_the_slow(rig: HubRig) -> None:
    """The outbox waits as the shared path does."""
    client = Client(rig)
    rig.write(ROOM, "counter:1", n=0)
    client.enter(ROOM)
    client.enter(OTHER)
    client.channel.stick()
    rig.write(ROOM, "counter:1", n=1)
    await rig.flushed()
    assert client.slow
    rig.publish(moving("counter:1", ROOM, OTHER))
    rig.deliver(OTHER)
    client.channel.drain()
    assert "counter:1" not in client.state(OTHER)
    assert "counter:1" in client.state(ROOM)
    rig.deliver(ROOM)
    await rig.flushed()
    assert "counter:1" in client.state(OTHER)
    assert "counter:1" not in client.state(ROOM)
    assert not client.slow


async def test_a_low_tier(rig: HubRig) -> None:
    """Its own outbox though the line is free: sent at the tier's interval, the latest values; back at full."""
    rig.write(ROOM, "counter:1", n=0)
    client = Client(rig)
    client.enter(ROOM)
    rig.hub.slow.set_tier(client.member, Tier.LOW)
    assert client.slow
    await passed(5)
    client.messages()
    deltas = 0
    for number in range(1, 51):
        rig.write(ROOM, "counter:1", n=number)
        await passed(0.1)
        deltas += client.types().count("delta")
    assert 4 <= deltas <= 6
    await passed(Tier.LOW.interval)
    assert client.state(ROOM) == {"counter:1": {"n": 50}}
    rig.hub.slow.set_tier(client.member, Tier.FULL)
    await until(lambda: not client.slow, within=1)
    rig.write(ROOM, "counter:1", n=99)
    await rig.flushed()
    assert client.state(ROOM) == {"counter:1": {"n": 99}}


async def test_gone_while_slow(rig: HubRig) -> None:
    """Nothing is kept for it, nothing is written, and what it still says is read."""
    client = await stuck(rig)
    for number in range(200):
        client.member.send({"type": "pong", "at": number, "now": 0, "padding": "x" * 10_000})
    client.member.listen()
    assert not client.channel.reading
    rig.hub.forget(client.member)
    assert client.channel.reading
    client.channel.drain()
    assert client.messages() == []
    assert not rig.hub.slow.members
    assert rig.hub.audience(ROOM) is None


@on_sources
async def test_without_remembering_what_was_pending_it_is_lost(rig: HubRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof at promotion catches a demotion that forgets what was collected but not yet written."""
    monkeypatch.setattr("gameserver.runtime.audience.Audience.mark_pending", lambda *_: None)
    client = Client(rig)
    client.enter(ROOM)
    client.enter(OTHER)
    client.channel.stick()
    for room in (ROOM, OTHER):
        rig.write(room, "counter:1", n=1)
    await rig.flushed()
    client.channel.drain()
    client.messages()
    assert client.replica.doubtful()
