"""What is asked of Redis as its scripts read it, and their replies as the bus answers them."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec

from gameserver.buses.base import (
    BATCH_MEMORY,
    MEMBERSHIP,
    Answered,
    Batch,
    BatchReply,
    Group,
    GroupResult,
    Outcome,
    Room,
    RoomPart,
    RoomSnapshot,
    StoreLimits,
)

_decode = msgspec.msgpack.Decoder(tuple[list[Any], list[Any]]).decode


def encode_batch(worker: str, batch: Batch, limits: StoreLimits) -> bytes:
    """The layout is described in commit.lua. Without the bin type, which Redis's cmsgpack does not know."""
    times = [
        limits.log_bytes,
        int(limits.log_age * 1000),
        int(limits.command_memory * 1000),
        int(BATCH_MEMORY * 1000),
    ]
    packed: bytes = msgpack.packb(
        [batch.epoch, worker, batch.number, times, [_group(group) for group in batch.groups]], use_bin_type=False
    )
    return packed


def _group(group: Group) -> list[Any]:
    commands = [(command.player, command.id, command.body, command.rooms) for command in group.commands]
    return [group.fence, group.claim, commands, [_part(part) for part in group.rooms]]


def _part(part: RoomPart) -> tuple[Any, ...]:
    entities: list[str | bytes] = []
    deleted: list[str] = []
    for entity, blob in part.writes.items():
        if blob is None:
            deleted.append(entity)
        else:
            entities += (entity, blob)
    return (
        part.room,
        part.base,
        list(part.reads),
        list(part.reads.values()),
        entities,
        deleted,
        part.membership,
        part.membership_changed,
        part.sum_change,
        part.part,
    )


def decode_reply(packed: bytes) -> BatchReply:
    results, seqs = _decode(packed)
    return BatchReply([_result(result) for result in results], _pairs(seqs))


def _result(result: Any) -> GroupResult:
    if result == 0:
        return GroupResult(Outcome.ACCEPTED)
    if result[0] == Outcome.ANSWERED:
        answered = [Answered(found[0], _pairs(found[1]) if len(found) > 1 else None) for found in result[1:]]
        return GroupResult(Outcome.ANSWERED, answered=answered)
    return GroupResult(Outcome(result[0]), result[1], result[2])


def _pairs(flat: list[Any]) -> dict[Room, int]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def glob(text: str) -> str:
    """The text as a pattern of Redis that matches nothing else."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^" else letter for letter in text)


def decode_snapshots(answer: list[Any]) -> list[RoomSnapshot]:
    """What load.lua answered, room by room."""
    epoch, *rooms = answer
    return [_snapshot(epoch, *rooms[at : at + 3]) for at in range(0, len(rooms), 3)]


def _snapshot(epoch: int, seq: int, total: int, flat: list[bytes]) -> RoomSnapshot:
    entities = {entity.decode(): blob[8:] for entity, blob in zip(flat[::2], flat[1::2], strict=True)}
    entities.pop(MEMBERSHIP, None)
    return RoomSnapshot(epoch, seq, total, entities)
