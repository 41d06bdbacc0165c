"""What rooms are called for short: one number for as long as anybody may still be told of the room by it."""

from __future__ import annotations

import gc

import pytest

from gameserver.protocol.compact_schema import FIRST_HANDLE
from tests.runtime.hub_rig import Client, HubRig
from tests.state.things import OTHER, ROOM


@pytest.fixture
async def rig() -> HubRig:
    return HubRig()


def called(rig: HubRig) -> dict[str, int]:
    assert rig.compact.handles is not None
    gc.collect()
    return rig.compact.handles.numbers


async def test_a_room_keeps_its_handle_while_something_of_it_is_owed(rig: HubRig) -> None:
    """[CMP4] [ROOM5] Left by a slow member, and entered by others in between: what is still due names no other room."""
    slow = Client(rig, rig.compact)
    slow.enter(ROOM)
    slow.channel.stick()
    rig.say(ROOM)
    await rig.flushed()
    assert slow.slow
    for _ in range(3):
        rig.say(ROOM)
    slow.leave(ROOM)
    assert rig.hub.audience(ROOM) is None
    assert called(rig) == {ROOM: FIRST_HANDLE}
    for room in (OTHER, ROOM):
        Client(rig, rig.compact).enter(room)
    assert called(rig) == {ROOM: FIRST_HANDLE, OTHER: FIRST_HANDLE + 1}
    slow.channel.drain()
    assert len(slow.heard(ROOM)) == 4
    assert ROOM not in slow.replica.rooms


async def test_a_handle_is_given_back_with_the_last_member(rig: HubRig) -> None:
    """Nothing is kept of a room that nobody is told of, and nothing of one that nobody is told of for short."""
    plain, first, second = Client(rig), Client(rig, rig.compact), Client(rig, rig.compact)
    plain.enter(ROOM)
    assert called(rig) == {}
    for client in (first, second):
        client.enter(ROOM)
    first.leave(ROOM)
    assert called(rig) == {ROOM: FIRST_HANDLE}
    for client in (second, plain):
        client.leave(ROOM)
    # Who entered this very turn shares a snapshot's frame until it is over.
    await rig.flushed()
    assert called(rig) == {}
