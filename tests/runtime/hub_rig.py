"""A hub with members on channels that take as much as they are told to, and clients that follow the wire's rules."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

from gameserver.buses.memory import MemoryBus
from gameserver.client.codec import codec_of
from gameserver.client.events import EventReceived, LostEvents, ReplicaEvent, RoomLeft, RoomLoaded, Verified
from gameserver.client.replica import ClientReplica
from gameserver.protocol.codec import JSON, Codec
from gameserver.protocol.compact import compact_codec
from gameserver.protocol.frames import encode_frame, split_frames
from gameserver.rooms.views import WHOLE, View
from gameserver.runtime.holes import read_hole
from gameserver.runtime.hub import Hub
from gameserver.runtime.member import Member
from gameserver.sessions.due import Hole
from gameserver.state.commit import decode_commit
from gameserver.state.draft import Draft
from gameserver.state.replica import Receipt, Replica, decode_entities
from tests.runtime.one_worker import Outsider, new_store, setting
from tests.runtime.virtual_time import idle, now
from tests.state.things import OTHER, ROOM, SCHEMA


class FakeChannel:
    """`stuck`: what is written stays unsent until `drain`. With `room_for`, so many bytes more are taken first."""

    def __init__(self, text: bool) -> None:
        self.text = text
        self.written: list[bytes] = []
        self.stuck = False
        self.room_for = 0
        self.slack = 0
        self._unsent = 0
        self._drained: Callable[[], None] = lambda: None
        self._congested: Callable[[], None] = lambda: None
        self.reading = True

    def write(self, frame: bytes) -> None:
        joined = split_frames(frame)
        # What was joined is looked at one by one; what was not stays the object it is.
        self.written += [frame] if len(joined) == 1 else [encode_frame(payload, text) for payload, text in joined]
        if not self.stuck:
            return
        taken = min(len(frame), self.room_for)
        self.room_for -= taken
        self._unsent += len(frame) - taken
        if self._unsent > self.slack:
            self._congested()

    def unsent(self) -> int:
        return self._unsent

    def on_congested(self, callback: Callable[[], None]) -> None:
        self._congested = callback

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def on_drained(self, callback: Callable[[], None]) -> None:
        self._drained = callback

    def stick(self, room_for: int = 0) -> None:
        self.stuck, self.room_for = True, room_for

    def drain(self, room_for: int | None = None) -> None:
        """Take what is unsent, and from now on everything, or just `room_for` bytes more."""
        self.stuck, self.room_for = room_for is not None, room_for or 0
        if self._unsent:
            self._unsent = 0
            self._drained()

    def close(self, code: int, reason: str) -> None: ...

    def abort(self) -> None: ...

    def heard(self) -> None: ...

    def last_alive(self) -> float:
        return now()

    def rtt(self) -> float | None:
        return None


class Client:
    """A member, and what its client makes of what is written to it."""

    def __init__(self, rig: HubRig, codec: Codec = JSON) -> None:
        self.rig = rig
        self.channel = FakeChannel(codec.text)
        self.member = Member(self.channel, codec, "ada", rig.hub.replies)
        self.reader = codec_of(codec.subprotocol)
        if codec.handles is not None:
            # What is said before any room: it tells the schema.
            self.reader.decode(codec.encode({"type": "welcome", "schema": SCHEMA.describe()}))
        self.replica = ClientReplica()
        self.told: list[ReplicaEvent] = []
        self._read = 0
        self.views: dict[str, View] = {}

    def enter(self, room: str, view: View = WHOLE) -> None:
        self.views[room] = view
        self.rig.hub.enter(self.member, self.rig.replicas[room], view)
        self.rig.hub.replies.end_turn()

    def leave(self, room: str) -> None:
        self.views.pop(room, None)
        self.rig.hub.leave(self.member, room, "gone")

    def messages(self) -> list[dict[str, Any]]:
        """What was written since the last look; the replica has taken it in."""
        self.rig.hub.replies.end_turn()
        fresh, self._read = self.channel.written[self._read :], len(self.channel.written)
        read = [self.reader.decode(payload) for frame in fresh for payload, _ in split_frames(frame)]
        for message in read:
            # The replica takes ownership of its copy.
            self.told.extend(self.replica.feed(copy.deepcopy(message)))
        return read

    def types(self) -> list[str]:
        return [message["type"] for message in self.messages()]

    def state(self, room: str) -> Any:
        self.messages()
        return self.replica.rooms[room].state

    def seq(self, room: str) -> int:
        self.messages()
        return self.replica.rooms[room].seq

    def heard(self, room: str) -> list[tuple[int, int]]:
        """Events of the room, in the order they were told."""
        self.messages()
        return [(told.event.seq, told.event.index) for told in self.told if _is_event(told, room)]

    def came(self, room: str) -> int:
        """The position of the snapshot with which it came into the room: events after it are owed."""
        self.messages()
        came = None
        for told in self.told:
            if isinstance(told, RoomLeft) and told.room == room:
                came = None
            elif isinstance(told, RoomLoaded) and told.room == room and came is None:
                came = told.seq
        assert came is not None
        return came

    def verified(self) -> int:
        """How many proofs held; none may have failed."""
        self.messages()
        proofs = [told for told in self.told if isinstance(told, Verified)]
        assert all(proof.ok for proof in proofs)
        return len(proofs)

    def lost(self, room: str) -> Iterator[range]:
        """Ranges of seqs that were declared lost."""
        self.messages()
        for told in self.told:
            if isinstance(told, LostEvents) and told.room == room:
                yield range(told.first, told.last + 1)

    @property
    def slow(self) -> bool:
        return self.member.outbox is not None


def _is_event(told: ReplicaEvent, room: str) -> bool:
    return isinstance(told, EventReceived) and told.room == room


class HubRig:
    """A hub over replicas of a store to which an outsider commits; publications arrive when they are delivered."""

    def __init__(self) -> None:
        self.store = new_store()
        self.outsider = Outsider(self.store)
        self.replicas: dict[str, Replica] = {}
        self.queues: dict[str, deque[bytes]] = {}
        self.missing = 0
        self.calls: Counter[str] = Counter()
        self.hub = Hub(SCHEMA, self.replicas.__contains__, self._on_missing, now)
        self.reading: set[asyncio.Task[None]] = set()
        self.compact = compact_codec(SCHEMA.describe(), 0)
        self.hub.slow.fetch = self._fetch
        for room in (ROOM, OTHER):
            self.follow(room)

    def verify(self) -> int:
        """How many rooms were proven."""
        proofs = [proof for audience in self.hub.audiences() if (proof := self.hub.proof(audience)) is not None]
        for proof in proofs:
            while proof.tell(16):
                pass
        self.hub.replies.end_turn()
        return len(proofs)

    def _on_missing(self) -> None:
        self.missing += 1

    def _fetch(self, hole: Hole) -> None:
        async def read() -> None:
            bus = MemoryBus(self.store, "reader")
            await bus.start(lambda room, payload: None, lambda: None)
            self.hub.slow.refill(hole, *await read_hole(bus, hole))

        self.reading.add(task := asyncio.get_running_loop().create_task(read()))
        task.add_done_callback(self.reading.discard)

    def follow(self, room: str) -> None:
        self.store.epoch()
        self.replicas[room] = Replica(room)
        self.queues[room] = deque()
        self.store.subscribe(room, lambda room, payload: self.queues[room].append(payload))
        self._load(room)

    def _load(self, room: str) -> None:
        snapshot = self.store.load(room)
        self.replicas[room].load(snapshot.epoch, snapshot.seq, snapshot.sum, decode_entities(snapshot.entities))

    def reload(self, room: str) -> None:
        """The replica jumps to a snapshot; what is still queued comes too late."""
        replica = self.replicas[room]
        before = replica.position
        self.hub.reloading(replica)
        self._load(room)
        self.hub.reloaded(replica, before)

    def deliver(self, *rooms: str) -> None:
        """What was published of these rooms (of all) arrives."""
        for room in rooms or self.queues:
            while self.queues[room]:
                commit = decode_commit(self.queues[room].popleft())
                if self.replicas[room].receive(commit) is Receipt.APPLIED:
                    self.hub.applied(self.replicas[room], commit)

    def publish(self, run: Callable[[Draft], Any]) -> None:
        """Commit; nothing arrives yet."""
        self.outsider.commit(run)

    def commit(self, run: Callable[[Draft], Any]) -> None:
        """Commit, and have it arrive everywhere."""
        self.publish(run)
        self.deliver()

    def write(self, room: str, entity: str, **fields: Any) -> None:
        self.commit(setting(room, entity, **fields))

    def say(self, *rooms: str) -> None:
        def run(draft: Draft) -> None:
            for room in rooms:
                draft.room(room).event("said")

        self.commit(run)

    async def flushed(self) -> None:
        await idle()


def moving(entity: str, origin: str, target: str) -> Callable[[Draft], None]:
    """Game code that moves an entity from one room into another."""

    def run(draft: Draft) -> None:
        content = vars(draft.room(origin)[entity])
        draft.room(origin).delete(entity)
        draft.room(target).create(entity, **content)

    return run
