"""A small world for the tests of drafts and what follows them: counters and boxes, and random game code over them."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from gameserver.state.checksum import room_sum
from gameserver.state.delta import State
from gameserver.state.draft import Draft, Pending, RoomNotLoaded
from gameserver.state.kinds import Kind, Schema, f32
from gameserver.state.replica import Replica

ROOM = "sector:1"
OTHER = "sector:2"
EPOCH = 1_700_000_000_000


class Counter:
    n: int = 0
    note: str | None = None


class Box:
    x: f32 = 0.0
    content: list[int] = []  # noqa: RUF012  # a default of an entity


SCHEMA = Schema()
SCHEMA.add(Kind("counter", Counter, 3))
SCHEMA.add(Kind("box", Box, 3))

IDS = [f"{kind}:{number}" for kind in ("counter", "box") for number in range(3)]
ids = st.sampled_from(IDS)
counters = st.fixed_dictionaries({"n": st.integers(-5, 5)}, optional={"note": st.text(max_size=2)})
boxes = st.fixed_dictionaries({"x": st.sampled_from([0.0, 0.5, 1.0]), "content": st.lists(st.integers(0, 3))})
states = st.fixed_dictionaries(
    {}, optional={entity: counters if entity.startswith("counter") else boxes for entity in IDS}
)
actions = st.lists(
    st.tuples(st.sampled_from(["read", "change", "create", "delete", "discard", "list"]), ids, st.integers(0, 3)),
    max_size=8,
)
Action = tuple[str, str, int]


def replica(room: str, state: State, seq: int = 7) -> Replica:
    loaded = Replica(room)
    loaded.load(EPOCH, seq, room_sum(state), copy.deepcopy(state))
    return loaded


class Rooms:
    """Loaded rooms by name; others raise RoomNotLoaded."""

    def __init__(self, **states: State) -> None:
        self.replicas = {
            room.replace("_", ":"): replica(room.replace("_", ":"), state) for room, state in states.items()
        }

    def __call__(self, room: str) -> Replica:
        if room not in self.replicas:
            raise RoomNotLoaded(room)
        return self.replicas[room]

    def draft(self, pending: Pending | None = None, **more: Any) -> Draft:
        return Draft(SCHEMA, pending or {}, self, **more)


def play(draft: Draft, room: str, actions: list[Action]) -> None:
    """Game code that does what it is told, where that is possible."""
    drafted = draft.room(room)
    for action, entity, number in actions:
        if action == "list":
            list(drafted)
        elif action == "create":
            if entity not in drafted:
                drafted.create(entity)
        elif action == "discard":
            drafted.discard(entity)
        elif entity in drafted:
            if action == "delete":
                drafted.delete(entity)
            elif action == "change":
                change(drafted[entity], number)
            else:
                drafted.get(entity)


def change(thing: Any, number: int) -> None:
    if isinstance(thing, Counter):
        thing.n += number - 1
        thing.note = None if number == 3 else thing.note
    else:
        thing.content.append(number)
        thing.x = number / 2


def shown(draft: Draft, room: str) -> State:
    """What the draft's objects say the room is, fields without value left out."""
    drafted = draft.room(room)
    return {
        entity: {name: value for name, value in vars(drafted[entity]).items() if value is not None}
        for entity in drafted.ids()
    }


def filled(state: State) -> State:
    """The state with every declared default spelled out, as objects show it."""
    full = {}
    for entity, fields in state.items():
        thing = SCHEMA.kind(entity).thaw(fields)
        full[entity] = {name: value for name, value in vars(thing).items() if value is not None}
    return full
