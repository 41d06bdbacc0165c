"""A hub and its clients against a model: whatever happens, nobody ends with anything but what there is."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.protocol.codec import JSON, MSGPACK
from gameserver.rooms.views import View
from gameserver.runtime.siblings import SIBLING_DEADLINE
from gameserver.sessions.quality import Tier
from gameserver.state.draft import Draft
from tests.runtime.hub_rig import Client, HubRig, moving
from tests.runtime.one_worker import setting
from tests.runtime.virtual_time import passed, run
from tests.state.things import OTHER, ROOM

ONE = View(frozenset({"counter:1"}), frozenset({"n"}))

entities = st.sampled_from([f"counter:{number}" for number in range(4)])
rooms = st.sampled_from([ROOM, OTHER])
places = st.integers(0, 3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), rooms, entities, st.integers(0, 9)),
        st.tuples(st.just("delete"), rooms, entities, st.just(0)),
        st.tuples(st.just("move"), rooms, entities, st.just(0)),
        st.tuples(st.just("say"), rooms, entities, st.just(0)),
        st.tuples(st.just("deliver"), rooms, entities, st.just(0)),
        st.tuples(st.just("flush"), rooms, entities, st.just(0)),
        st.tuples(st.just("wait"), rooms, entities, st.integers(1, 3)),
        st.tuples(st.just("verify"), rooms, entities, st.just(0)),
        st.tuples(st.just("reload"), rooms, entities, st.just(0)),
        st.tuples(
            st.sampled_from(["stick", "take", "drain", "resync", "enter", "narrow", "leave", "tier"]),
            rooms,
            entities,
            places,
        ),
    ),
    max_size=40,
)


class Run:
    """Four clients, three encodings, random doings; every client must end with what the rooms hold, proven."""

    def __init__(self) -> None:
        self.rig = HubRig()
        self.clients = [Client(self.rig, codec) for codec in (JSON, MSGPACK, self.rig.compact, self.rig.compact)]
        self.said: dict[str, list[int]] = {ROOM: [], OTHER: []}
        for client in self.clients:
            for room in (ROOM, OTHER):
                client.enter(room)

    async def step(self, what: str, room: str, entity: str, number: int) -> None:
        rig = self.rig
        if what in ("write", "delete", "move", "say"):
            self._publish(what, room, entity, number)
        elif what == "deliver":
            rig.deliver(room)
        elif what == "flush":
            await rig.flushed()
        elif what == "wait":
            await passed(number * 0.1)
        elif what == "verify":
            rig.verify()
        elif what == "reload":
            rig.reload(room)
        else:
            self._act(what, room, self.clients[number])

    def _publish(self, what: str, room: str, entity: str, number: int) -> None:
        other = OTHER if room == ROOM else ROOM

        def move(draft: Draft) -> None:
            draft.room(other).discard(entity)
            moving(entity, room, other)(draft)

        there = entity in self.rig.store.load(room).entities
        doing: dict[str, Callable[[Draft], object]] = {
            "write": setting(room, entity, n=number),
            "say": lambda draft: draft.room(room).event("said"),
            "delete": lambda draft: draft.room(room).discard(entity),
            "move": move if there else setting(room, entity, n=number),
        }
        self.rig.publish(doing[what])  # type: ignore[arg-type]
        if what == "say":
            self.said[room].append(self.rig.store.load(room).seq)

    def _act(self, what: str, room: str, client: Client) -> None:
        if what == "stick":
            client.channel.stick()
        elif what == "take":
            client.channel.drain(room_for=150)
        elif what == "drain":
            client.channel.drain()
        elif what == "resync":
            self.rig.hub.snapshot(client.member, room)
        elif what == "enter":
            client.enter(room)
        elif what == "narrow":
            client.enter(room, ONE)
        elif what == "leave":
            client.leave(room)
        else:
            tier = Tier.REDUCED if client.member.tier is Tier.FULL else Tier.FULL
            self.rig.hub.slow.set_tier(client.member, tier)

    async def end(self) -> None:
        rig = self.rig
        rig.deliver()
        for client in self.clients:
            rig.hub.slow.set_tier(client.member, Tier.FULL)
            client.channel.drain()
        await passed(SIBLING_DEADLINE + 1)
        rig.verify()
        for client in self.clients:
            assert not client.slow
            client.verified()
            assert client.replica.rooms.keys() == client.views.keys()
            for room, view in client.views.items():
                replica = client.replica.rooms[room]
                assert replica.doubt is None
                assert replica.state == view.of_state(rig.replicas[room].entities)
                assert replica.seq == rig.replicas[room].seq
                self._events(client, room)

    def _events(self, client: Client, room: str) -> None:
        """Each event since it came in: told once and in order, or declared lost."""
        heard = client.heard(room)
        assert len(set(heard)) == len(heard)
        seqs = [seq for seq, _ in heard if seq > client.came(room)]
        assert seqs == sorted(seqs)
        owed = [seq for seq in self.said[room] if seq > client.came(room)]
        missing = set(owed) - set(seqs)
        assert all(any(seq in lost for lost in client.lost(room)) for seq in missing), missing


@given(steps)
@settings(max_examples=150, deadline=None)
def test_everybody_ends_with_what_there_is(steps: list[tuple[str, str, str, int]]) -> None:
    """Whatever is committed, delayed, reloaded, stuck, left and narrowed: no client ends wrong, none is told a false
    proof, no event is skipped in silence or told twice."""

    async def live() -> None:
        world = Run()
        for step in steps:
            await world.step(*step)
            for client in world.clients:
                client.verified()
        await world.end()

    run(live)


OFTEN = ["write", "deliver", "flush"] * 6 + ["move", "say", "take"] * 3 + ["delete", "stick", "drain"] * 2
SELDOM = ["wait", "verify", "reload", "resync", "enter", "narrow", "leave", "tier"]


@pytest.mark.parametrize("seed", range(12))
def test_long_lives(seed: int) -> None:
    """The same over many steps."""
    random = Random(seed)

    async def live() -> None:
        world = Run()
        for _ in range(300):
            what, room = random.choice(OFTEN + SELDOM), random.choice([ROOM, OTHER])
            await world.step(what, room, f"counter:{random.randrange(4)}", random.randrange(4))
            for client in world.clients:
                client.verified()
        await world.end()

    run(live)
