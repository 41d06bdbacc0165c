"""What the store really did: written down commit by commit, independently of everybody who may be wrong about it."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from gameserver.buses.memory_store import MemoryStore
from gameserver.state.commit import Commit, decode_commit
from gameserver.state.replica import decode_entities
from tests.simulation.game import AT_FIRST, COUNTERS, DID, SECTORS, TICKED
from tests.simulation.trace import Trace

Place = tuple[int, str]
"""(epoch, room)"""


class Effect:
    """One command as it was applied: where, and at which seq."""

    __slots__ = ("epoch", "room", "seq")

    def __init__(self, epoch: int, room: str, seq: int) -> None:
        self.epoch, self.room, self.seq = epoch, room, seq

    def __repr__(self) -> str:
        return f"{self.room}@{self.epoch}/{self.seq}"


class Ledger:
    """All epochs of one run."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._sums: dict[Place, list[int]] = {}
        self.events: dict[Place, list[tuple[int, int]]] = defaultdict(list)
        """Of each room the (seq, index) of every event, in order."""
        self.effects: dict[str, list[Effect]] = defaultdict(list)
        """By the command's tag."""
        self._expected: dict[int, Counter[tuple[str, str]]] = defaultdict(Counter)
        """Epoch to (room, entity) to the number it must have."""
        self._items: dict[int, dict[tuple[str, str], None]] = defaultdict(dict)
        self.done: dict[int, Counter[str]] = defaultdict(Counter)
        self.ticks = 0
        self.lives = 0
        """How often the store has lost everything."""
        self._sent: dict[str, int] = {}

    # -- what happens ---------------------------------------------------------------------------------------

    def sent(self, tag: str) -> None:
        """A client sends the command for the first time."""
        self._sent[tag] = self.lives

    def committed(self, room: str, payload: bytes) -> None:
        """The store has logged this, and not yet told anybody."""
        commit = decode_commit(payload)
        header = commit.header
        place = (header.epoch, room)
        sums = self._sums.setdefault(place, [0])
        if header.seq != len(sums):
            self._trace.violated("C", f"{room} went from {len(sums) - 1} to {header.seq} in epoch {header.epoch}")
            sums.extend([-1] * (header.seq - len(sums)))
        sums.append(header.sum)
        for index, event in enumerate(commit.events):
            self.events[place].append((header.seq, index))
            if event.name == DID:
                self._did(commit, room, event.sender or "", event.data)
            elif event.name == TICKED:
                self.ticks += 1
                self._expected[header.epoch][room, "clock:1"] += 1

    def _did(self, commit: Commit, room: str, player: str, data: dict[str, Any]) -> None:
        epoch = commit.header.epoch
        tag = data["tag"]
        effects = self.effects[tag]
        if any(effect.epoch == epoch for effect in effects):
            self._trace.violated("B", f"{tag} of {player} was applied twice: {effects}, and {room} {commit.header.seq}")
        effects.append(Effect(epoch, room, commit.header.seq))
        self.done[epoch][player] += 1
        expected = self._expected[epoch]
        if "plus" in data:
            expected[room, data["plus"]] += 1
        if "minus" in data:
            expected[room, data["minus"]] -= 1
        if "placed" in data:
            self._items[epoch][room, data["placed"]] = None
        if "taken" in data and self._items[epoch].pop((room, data["taken"]), True):
            self._trace.violated("A", f"{tag} took {data['taken']} in {room}, which was not there any more")

    # -- what is true ---------------------------------------------------------------------------------------

    def sum(self, epoch: int, room: str, seq: int) -> int | None:
        """The checksum the room had there; None for a place that never was."""
        if seq == 0:
            return 0
        sums = self._sums.get((epoch, room), ())
        return sums[seq] if seq < len(sums) else None

    def check_acknowledged(self, tag: str, seqs: dict[str, int]) -> None:
        """Somebody was told so: it must be there, where it was said to be."""
        if not any(seqs.get(effect.room) == effect.seq for effect in self.effects.get(tag, ())):
            self._trace.violated("A", f"{tag} was acknowledged at {seqs} and is {self.effects.get(tag, 'nowhere')}")

    def check_refused(self, tag: str) -> None:
        """Somebody was told that it left no trace; before the store was lost it may have left one."""
        if self._sent[tag] == self.lives and tag in self.effects:
            self._trace.violated("A", f"{tag} was refused and is {self.effects[tag]}")

    def audit(self, store: MemoryStore) -> None:
        """The store's state against the account of events of its present epoch."""
        epoch = store.positions(())[0]
        if not epoch:
            return
        rooms = {room: decode_entities(store.load(room).entities) for room in store.rooms()}
        expected = self._expected[epoch]
        for room in (*SECTORS, "global"):
            state = rooms.get(room)
            if state is None or COUNTERS[0] not in state:
                # The world was not created yet in this epoch.
                continue
            for counter in COUNTERS:
                self._equal(f"{counter} of {room}", state[counter]["n"], AT_FIRST + expected[room, counter])
            if room in SECTORS:
                self._equal(f"the ticks of {room}", state["clock:1"]["n"], expected[room, "clock:1"])
            items = sorted(entity for entity in state if entity.startswith("item:"))
            placed = sorted(item for where, item in self._items[epoch] if where == room)
            self._equal(f"the items of {room}", items, placed)
        for player, times in self.done[epoch].items():
            me = rooms.get(f"private:{player}", {}).get("me", {})
            self._equal(f"what {player} did", me.get("done", 0), times)

    def _equal(self, what: str, there: object, told: object) -> None:
        if there != told:
            self._trace.violated("B", f"{what}: {there!r} in the store, {told!r} by its events")
