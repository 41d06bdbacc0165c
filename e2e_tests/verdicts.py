"""What must hold at the end of a run, judged from the store and from what each player noted down."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from e2e_tests.collector import Collector
from e2e_tests.players import Player, Stay
from e2e_tests.store import Store, StoredEvent, StoredRoom, apply, checksum
from gameserver.worlds.frontier.books import FOUNDED

SETTLED_WITHIN = 30.0
BOOKED = ("credits", "ore", "gas", "drones")


async def settled(store: Store, players: list[Player]) -> dict[str, StoredRoom]:
    """The rooms of all players, each read at a moment at which everybody in it had its position.

    Ports go on trading now and then, so every room has its own moment. Raises AssertionError naming the rooms
    in which that did not come about.
    """
    members: dict[str, list[Player]] = {}
    for player in players:
        for room in player.client.rooms:
            members.setdefault(room, []).append(player)
    found: dict[str, StoredRoom] = {}
    deadline = asyncio.get_running_loop().time() + SETTLED_WITHIN
    while len(found) < len(members):
        for room in members.keys() - found.keys():
            stored = store.room(room)
            replicas = [player.client.rooms[room] for player in members[room]]
            if all((held.epoch, held.seq) == (stored.epoch, stored.seq) for held in replicas):
                for player, held in zip(members[room], replicas, strict=True):
                    check_replica(player, room, held.state, held.sum, stored)
                found[room] = stored
        if asyncio.get_running_loop().time() > deadline:
            missing = {
                room: (store.seq(room), Counter(player.client.rooms[room].seq for player in members[room]))
                for room in members.keys() - found.keys()
            }
            raise AssertionError(f"these rooms did not settle (store's seq, clients' seqs): {missing}")
        await asyncio.sleep(0.02)
    return found


def check_replica(player: Player, room: str, state: Mapping[str, Any], total: int, stored: StoredRoom) -> None:
    """A client's room is the store's, entity by entity, and so is its checksum."""
    wrong = {
        entity: (state.get(entity), stored.state.get(entity))
        for entity in state.keys() | stored.state.keys()
        if state.get(entity) != stored.state.get(entity)
    }
    assert not wrong, f"{player.name} sees in {room} at {stored.seq} (client, store): {wrong}"
    assert total == stored.sum == stored.computed, f"{player.name} sums {room} to {total}: {stored.sum}"


def check_rooms(players: list[Player], store: Store) -> None:
    """Everybody is in exactly their rooms, and the store says where they are."""
    for player in players:
        placement = store.state(f"private:{player.name}")["placement"]["sector"]
        expected = {"global", f"private:{player.name}", placement} | ({f"team:{player.team}"} if player.team else set())
        assert set(player.client.rooms) == expected, player.name


def check_log(collector: Collector, store: Store) -> None:
    """The log itself tells the state and the sums: replayed from the first commit it gives what the store keeps."""
    for room, commits in collector.commits.items():
        state: dict[str, dict[str, Any]] = {}
        for commit in commits:
            apply(state, commit)
        assert checksum(state) == commits[-1].sum, f"the log of {room} does not add up to {commits[-1].seq}"
        stored = store.room(room)
        if stored.seq == commits[-1].seq:
            assert state == stored.state, room


def check_events(players: list[Player], collector: Collector) -> int:
    """Every event of a room's stream, once, to everybody who was there; how many deliveries were checked."""
    return sum(check_stay(player, stay, collector) for player in players for stay in player.stays)


def check_stay(player: Player, stay: Stay, collector: Collector) -> int:
    where = f"{player.name} in {stay.room} from {stay.after} to {stay.upto}"
    assert not stay.lost, f"{where}: {stay.lost} declared lost"
    told = [StoredEvent(e.seq, e.index, e.name, e.data, e.sender, e.at, e.priority) for e in stay.events]
    expected = collector.events(stay.room, stay.after, stay.upto)
    counted, due = Counter(map(_key, told)), Counter(map(_key, expected))
    assert counted == due, f"{where}: missing {sorted(due - counted)}, too many {sorted(counted - due)}"
    assert sorted(told, key=_key) == expected, where
    if stay.over:
        # The player left the room by a commit, and that commit still belongs to the stay.
        commits = collector.between(stay.room, stay.after, collector.seq(stay.room))
        presence = f"player:{player.name}"
        gone = next(
            commit.seq for commit in commits for dels, sets in commit.parts if presence in dels and presence not in sets
        )
        assert gone <= stay.upto, f"{where}: left by the commit {gone}"
    return len(expected)


def _key(event: StoredEvent) -> tuple[int, int]:
    return event.seq, event.index


def check_counters(players: list[Player]) -> None:
    """Nobody saw a mismatch, a duplicate, a gap or anything else that a healthy connection does not have."""
    for player in players:
        assert player.client.connected, f"{player.name}: {player.client!r}"
        stats = player.client.stats
        replica = stats.replica
        troubles = {
            "mismatches": player.mismatches + replica.mismatches,
            "duplicate events": replica.duplicate_events,
            "gaps": replica.gaps,
            "resyncs": replica.resyncs + stats.resyncs_asked,
            "lost": replica.lost,
            "unexpected": replica.unexpected,
            "unreadable": stats.unreadable + stats.unknown + stats.failed_callbacks,
            "disconnections": stats.disconnections,
            "timeouts": stats.timeouts,
        }
        assert not {name: count for name, count in troubles.items() if count}, f"{player.name}: {troubles}"


def totals(rooms: Mapping[str, StoredRoom]) -> dict[str, int]:
    """Goods and credits in the whole world, less what players were granted (docs/frontier.md)."""
    sums = dict.fromkeys(BOOKED, 0)
    for stored in rooms.values():
        for entity, fields in stored.state.items():
            if entity.partition(":")[0] in ("port", "deposit", "me"):
                for name in BOOKED:
                    assert fields.get(name, 0) >= 0, f"{entity} has {fields[name]} {name}"
                    sums[name] += fields.get(name, 0) - fields.get(f"granted_{name}", 0)
    return sums


def check_books(store: Store) -> dict[str, int]:
    """Nothing was made and nothing lost since the world began."""
    found = totals(store.everything())
    assert found == FOUNDED
    return found
