"""The server's messages: typed dicts and the functions that build them.

Plain dicts encode as fast as anything in MessagePack and faster than structures in JSON, and a client
in Python reads the same types back. Optional fields are absent when there is nothing to say. A row per
message: docs/protocol.md, Server to client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NotRequired, TypedDict

from gameserver.errors import GameserverError
from gameserver.protocol.codes import LANES, Close, MessageId, Priority, TierWord
from gameserver.state.commit import Commit

State = Mapping[str, Mapping[str, Any]]

Event = TypedDict(
    "Event",
    {
        "name": str,
        "data": Mapping[str, Any],
        "from": NotRequired[str],
        "seq": int,
        "index": int,
        "at": int,
        "priority": str,
    },
)


class Welcome(TypedDict):
    type: Literal["welcome"]
    session: str
    resume_token: str
    recovered: NotRequired[Mapping[str, bool]]
    player: str
    worker: str
    now: int
    heartbeat: float
    limits: Mapping[str, Any]
    commands: Mapping[str, Any]
    schema: Mapping[str, Mapping[str, str]]


class Snapshot(TypedDict):
    type: Literal["snapshot"]
    room: str
    epoch: int
    seq: int
    state: State
    sum: int


Delta = TypedDict(
    "Delta",
    {
        "type": Literal["delta"],
        "room": str,
        "prev": int,
        "seq": int,
        "del": NotRequired[list[str]],
        "set": NotRequired[State],
        "events": NotRequired[list[Event]],
        "partial": NotRequired[Literal[True]],
        "watermark": NotRequired[int],
    },
)

Lost = TypedDict("Lost", {"type": Literal["lost"], "room": str, "from": int, "to": int, "lane": NotRequired[str]})

Signal = TypedDict(
    "Signal", {"type": Literal["signal"], "room": str, "key": str, "data": Any, "from": NotRequired[str]}
)


class Verify(TypedDict):
    type: Literal["verify"]
    room: str
    epoch: int
    seq: int
    sum: int


class CommandAck(TypedDict):
    type: Literal["command_ack"]
    id: MessageId
    ok: bool
    seq: NotRequired[Mapping[str, int]]
    error: NotRequired[Mapping[str, Any]]


class Error(TypedDict):
    type: Literal["error"]
    code: str
    message: str
    id: NotRequired[MessageId]
    retry_after: NotRequired[float]


class Left(TypedDict):
    type: Literal["left"]
    room: str
    reason: str


class Quality(TypedDict):
    type: Literal["quality"]
    tier: TierWord
    reason: str


class Refreshed(TypedDict):
    type: Literal["refreshed"]
    exp: int


class Pong(TypedDict):
    type: Literal["pong"]
    at: float
    now: int


class Goodbye(TypedDict):
    type: Literal["goodbye"]
    code: int
    reason: str
    reconnect: bool
    retry_after: float


ServerMessage = (
    Welcome
    | Snapshot
    | Delta
    | Lost
    | Signal
    | Verify
    | CommandAck
    | Error
    | Left
    | Quality
    | Refreshed
    | Pong
    | Goodbye
)


def welcome(
    *,
    session: str,
    resume_token: str,
    player: str,
    worker: str,
    now: int,
    heartbeat: float,
    limits: Mapping[str, Any],
    commands: Mapping[str, Any],
    schema: Mapping[str, Mapping[str, str]],
    recovered: Mapping[str, bool] | None = None,
) -> Welcome:
    """`now` in ms since the Unix epoch, `heartbeat` in seconds; `recovered` on a resume only."""
    message: Welcome = {
        "type": "welcome",
        "session": session,
        "resume_token": resume_token,
        "player": player,
        "worker": worker,
        "now": now,
        "heartbeat": heartbeat,
        "limits": limits,
        "commands": commands,
        "schema": schema,
    }
    if recovered is not None:
        message["recovered"] = recovered
    return message


def snapshot(room: str, epoch: int, seq: int, state: State, sum: int) -> Snapshot:
    return {"type": "snapshot", "room": room, "epoch": epoch, "seq": seq, "state": state, "sum": sum}


def delta(
    room: str,
    prev: int,
    seq: int,
    dels: Iterable[str] = (),
    sets: State | None = None,
    events: list[Event] | None = None,
    partial: bool = False,
    watermark: int | None = None,
) -> Delta:
    """`dels` is applied before `sets`; a field that is None in `sets` is removed. Empty parts are left out."""
    message: Delta = {"type": "delta", "room": room, "prev": prev, "seq": seq}
    if dels:
        message["del"] = list(dels)
    if sets:
        message["set"] = sets
    if events:
        message["events"] = events
    if partial:
        message["partial"] = True
    if watermark is not None:
        message["watermark"] = watermark
    return message


def event(
    name: str, data: Mapping[str, Any], sender: str | None, seq: int, index: int, at: int, priority: Priority
) -> Event:
    """`index` is the event's place within its commit, `at` in ms since the Unix epoch by the store's clock."""
    if sender is None:
        return {"name": name, "data": data, "seq": seq, "index": index, "at": at, "priority": priority.word}
    return {
        "name": name,
        "data": data,
        "from": sender,
        "seq": seq,
        "index": index,
        "at": at,
        "priority": priority.word,
    }


def events_of(commit: Commit) -> list[Event]:
    """All events of a commit, in order; one of a lane unknown here rides in the least important."""
    header = commit.header
    return [
        event(
            each.name,
            each.data,
            each.sender,
            header.seq,
            index,
            header.at,
            LANES[each.priority] if 0 <= each.priority < len(LANES) else LANES[-1],
        )
        for index, each in enumerate(commit.events)
    ]


def lost(room: str, first: int, last: int, lane: Priority | None = None) -> Lost:
    """Events of the seqs `first` to `last`, both included, can no longer be had."""
    message: Lost = {"type": "lost", "room": room, "from": first, "to": last}
    if lane is not None:
        message["lane"] = lane.word
    return message


def signal(room: str, key: str, data: Any, sender: str | None = None) -> Signal:
    """`data` may hold bytes at any depth."""
    message: Signal = {"type": "signal", "room": room, "key": key, "data": data}
    if sender is not None:
        message["from"] = sender
    return message


def verify(room: str, epoch: int, seq: int, sum: int) -> Verify:
    return {"type": "verify", "room": room, "epoch": epoch, "seq": seq, "sum": sum}


def command_ack(id: MessageId, seq: Mapping[str, int]) -> CommandAck:
    """The command is committed; `seq` names every room it changed."""
    return {"type": "command_ack", "id": id, "ok": True, "seq": seq}


def command_refusal(id: MessageId, failure: GameserverError) -> CommandAck:
    return {"type": "command_ack", "id": id, "ok": False, "error": error_body(failure)}


def error_body(failure: GameserverError) -> dict[str, Any]:
    """The `error` of a refused command: code, message, retry_after and the failure's own details."""
    body: dict[str, Any] = {**failure.details, "code": failure.code, "message": failure.message}
    if failure.retry_after is not None:
        body["retry_after"] = failure.retry_after
    return body


def error(code: str, message: str, id: MessageId | None = None, retry_after: float | None = None) -> Error:
    """`retry_after` in seconds."""
    answer: Error = {"type": "error", "code": code, "message": message}
    if id is not None:
        answer["id"] = id
    if retry_after is not None:
        answer["retry_after"] = retry_after
    return answer


def refusal(failure: GameserverError, id: MessageId | None = None) -> CommandAck | Error:
    """The answer to what is refused: a `command_ack` whenever an id could be read, else an `error`."""
    if id is None:
        return error(failure.code, failure.message, retry_after=failure.retry_after)
    return command_refusal(id, failure)


def left(room: str, reason: str) -> Left:
    return {"type": "left", "room": room, "reason": reason}


def quality(tier: TierWord, reason: str) -> Quality:
    return {"type": "quality", "tier": tier, "reason": reason}


def refreshed(exp: int) -> Refreshed:
    """`exp` as in the token: seconds since the Unix epoch."""
    return {"type": "refreshed", "exp": exp}


def pong(at: float, now: int) -> Pong:
    """`at` as the client sent it, `now` in ms since the Unix epoch."""
    return {"type": "pong", "at": at, "now": now}


def goodbye(code: Close, reason: str, retry_after: float = 0.0) -> Goodbye:
    """`retry_after` in seconds, jittered already."""
    return {
        "type": "goodbye",
        "code": int(code),
        "reason": reason,
        "reconnect": code.reconnect,
        "retry_after": retry_after,
    }
