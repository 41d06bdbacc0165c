"""The contract every bus keeps: one atomic commit, and its publication.

A *bus* is one worker's way to the *store*, which holds the truth of one *world*: its rooms, their logs,
what commands were already answered, and who may tick. A bus promises:

**Atomic.** `commit` takes a batch and decides each of its groups as a whole: a group is applied in all
its rooms or in none. A group is refused when its fence is not the lease's current token, when one of its
commands was answered before, or when an entity it read or wrote has changed since its base (below). All
groups are compared with the state *before* the batch; two groups of one batch never write the same entity, and
none has seen what another writes (the committer sees to it).

**Compared.** Per entity the store keeps the seq that last wrote it. A group names one *base* seq per room and
whether each entity it touched existed; it conflicts when such an entity was written after the base or its
existence differs. Reading a room's membership (iterating it) conflicts with every create and delete
after the base. When the room's seq equals the base nothing is compared. A room part without base
(`base` -1) is not compared: it only appends events.

**Sequenced.** A room's seq grows by one per batch that changes it, however many groups. The parts of the
accepted groups, in order, are one commit (`gameserver.state.commit`), with the room's new checksum.

**Once.** A batch has a number, growing per worker. The store remembers the last one and its reply:
the same batch sent again (the reply was lost) is answered from memory and changes nothing; an older
number is refused. So a late copy of a request that was given up on can never take effect after a newer one.

**Asked.** A group with commands and without rooms only asks whether one of them was answered before; it is never
remembered itself.

**Logged, then published.** Every commit is appended to its room's log before it is published, in the same
step. Publication is best effort: it may be lost, doubled or late, never altered. Per bus, publications of a
commit reach `on_commit` before the reply to that commit is returned, unless they were lost.

**Bounded in time.** Every call either returns or raises `Unavailable` within the bus's deadline.
`ForeignEpoch` says that the store's content is not what this worker knew (lost or replaced): everything
must be reloaded under `epoch()`.

**Claims.** A group that conflicts and carries a `claim` reserves the contested entity: the next few groups
of others that touch it are refused, until a group with that claim commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from gameserver.errors import GameserverError
from gameserver.state.group import RoomPart as RoomPart

Entity = str
Room = str

MEMBERSHIP = "\0"
"""The pseudo-entity that every create and delete stamps, and that iterating a room reads."""

NO_BASE = -1
CLAIM_REFUSALS = 4
"""How many groups of others a claim turns away before it lapses."""

CLAIMS_PER_ROOM = 64
"""Beyond these the oldest claim lapses, so that claims nobody takes up are bounded."""

BATCH_MEMORY = 600.0
"""For how many seconds at least a worker's last batch and its reply are remembered."""


class StaleBatch(GameserverError):
    """The batch is older than the worker's last one; it changed nothing and never will."""


@dataclass(slots=True)
class CommandKey:
    """A command to be remembered with its group: the id is unique per player.

    `id` is typed, `i7` for the integer 7 and `s7` for the string; `body` is an 8-byte hash of the rest of
    the command; `rooms` are those whose seq its acknowledgement names.
    """

    player: str
    id: str
    body: bytes
    rooms: list[Room]


@dataclass(slots=True)
class Group:
    rooms: list[RoomPart]
    commands: list[CommandKey] = field(default_factory=list)
    fence: int = 0
    """The lease's token, or 0 when the group needs no lease."""
    claim: str = ""
    """Who claims the contested entity should this group conflict; empty for nobody."""


@dataclass(slots=True)
class Batch:
    epoch: int
    number: int
    groups: list[Group]


class Outcome(IntEnum):
    ACCEPTED = 0
    CONFLICT = 1
    FENCED = 2
    ANSWERED = 3
    CLAIMED = 4


@dataclass(slots=True)
class Answered:
    """A command of the group was answered before: `seq` is what was answered, or None when its body differs."""

    command: int
    seq: dict[Room, int] | None


@dataclass(slots=True)
class GroupResult:
    outcome: Outcome
    room: Room = ""
    entity: Entity = ""
    """Where it conflicted."""
    answered: list[Answered] = field(default_factory=list)


@dataclass(slots=True)
class BatchReply:
    """One result per group, in order, and the new seq of every room that changed."""

    results: list[GroupResult]
    seq: dict[Room, int]


@dataclass(slots=True)
class RoomSnapshot:
    """A room's whole state at one moment; `entities` are MessagePack maps. Unknown rooms are at seq 0."""

    epoch: int
    seq: int
    sum: int
    entities: dict[Entity, bytes]


@dataclass(slots=True)
class Lease:
    """`token` is the fence of whoever holds it.

    It grows with every change of owner, also across a loss of the store.
    """

    owner: str
    token: int


@dataclass(slots=True)
class BusStats:
    """Counters since start, for metrics."""

    batches: int = 0
    published: int = 0
    reconnects: int = 0
    deadlines: int = 0
    poison: int = 0


@dataclass(slots=True)
class StoreLimits:
    """`log_bytes` and `log_age` (seconds) cap each room's log.

    `command_memory` is for how many seconds at least a command's answer is remembered.
    """

    log_bytes: int = 1 << 20
    log_age: float = 300.0
    command_memory: float = 600.0


OnCommit = Callable[[Room, bytes], None]
OnLoss = Callable[[], None]


class Bus(Protocol):
    """See the module's text for what holds of every method."""

    stats: BusStats
    connected: bool

    async def start(self, on_commit: OnCommit, on_loss: OnLoss) -> None:
        """Connect. From now on `on_commit(room, payload)` is called with each publication of a subscribed
        room, and `on_loss()` each time publications may have been missed (a new connection stands and all
        subscriptions are in force again). Both are called on the event loop and must not block."""

    async def close(self) -> None:
        """Release everything; safe to call twice."""

    async def epoch(self) -> int:
        """The store's epoch, created now if the store is empty. Milliseconds since the Unix epoch at its
        creation, never lower than one this bus saw before."""

    async def subscribe(self, rooms: Iterable[Room]) -> None:
        """Return when publications of these rooms will be seen."""

    async def unsubscribe(self, rooms: Iterable[Room]) -> None: ...

    async def commit(self, batch: Batch) -> BatchReply: ...

    def publish(self, room: Room, payload: bytes) -> None:
        """Send bytes that are not logged to whoever is subscribed to the room, through `on_commit` like the
        rest; lost without a word when the store cannot be reached."""

    async def load(self, room: Room) -> RoomSnapshot: ...

    async def follow(self, rooms: Sequence[Room]) -> list[RoomSnapshot]:
        """Subscribe and load, in one go: whatever is published after a room's snapshot will be seen. In the rooms'
        order, all of one moment."""

    async def read_log(self, room: Room, after: int, limit: int = 1000) -> list[bytes]:
        """Commits with seq > `after`, oldest first, as far as the log still has them: the caller sees from
        the first one's seq whether some are gone."""

    async def positions(self, rooms: Sequence[Room]) -> tuple[int, list[int]]:
        """The store's epoch (0 when it is empty) and each room's seq, read at one moment."""

    async def rooms(self, prefix: str = "") -> list[Room]:
        """Every room that was ever committed to and whose name begins with `prefix`, sorted."""

    async def acquire(self, owner: str, ttl: float) -> Lease:
        """Take or renew the lease for `ttl` seconds if it is free or already the owner's; answers who holds it now.
        A token once seen by this bus is never undercut."""

    async def release(self, owner: str) -> None: ...

    async def probe(self) -> None:
        """Prove that a write goes round: write, publish, and wait for the publication. Raises Unavailable."""
