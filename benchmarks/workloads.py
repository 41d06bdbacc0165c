"""Which measurements a workload is made of, and who takes part in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks import bytes_on_the_wire, commands, connections, fanout, growth, ticks
from benchmarks.bus import Bus, buses
from benchmarks.contestants import Contestant, Floor
from benchmarks.plan import Plan
from gameserver.bench.machine import Cores
from gameserver.protocol.codec import JSON, MSGPACK


@dataclass(frozen=True, slots=True)
class Measurement:
    """`run` adds a row to a table. `of` is who is measured: a peer may be missing, the bus may not."""

    of: str
    run: Callable[[], None]


Measurements = Iterator[Measurement]
Workload = Callable[[Cores, Plan, Sequence[Contestant]], Measurements]
"""The measurements of a round; the contestants are the peers that are there."""


def _each(
    measure: Callable[[Contestant, Cores, Plan], None], contestants: Sequence[Contestant], cores: Cores, plan: Plan
) -> Measurements:
    for contestant in contestants:
        yield Measurement(contestant.name, partial(measure, contestant, cores, plan))


def saturated(cores: Cores, plan: Plan, peers: Sequence[Contestant]) -> Measurements:
    return _each(fanout.saturate, (Floor(), Floor(joined=False), *buses(), *peers), cores, plan)


def paced(cores: Cores, plan: Plan, peers: Sequence[Contestant]) -> Measurements:
    return _each(fanout.keep_pace, (Floor(), Floor(joined=False), *buses(), *peers), cores, plan)


def answered(cores: Cores, plan: Plan, peers: Sequence[Contestant]) -> Measurements:
    ours = (Bus(JSON, redis=False), Bus(MSGPACK, redis=False))
    echoing = [peer for peer in peers if peer.echoes]
    yield from _each(commands.answer, (Floor(), *ours, *echoing), cores, plan)
    for place in commands.PLACES:
        yield Measurement("gameserver", partial(commands.commit, place, cores, plan))


def idle(cores: Cores, plan: Plan, peers: Sequence[Contestant]) -> Measurements:
    return _each(connections.idle, (Bus(), *peers), cores, plan)


def sizes(cores: Cores, plan: Plan, peers: Sequence[Contestant]) -> Measurements:
    yield Measurement("gameserver", bytes_on_the_wire.count)


def ticking(cores: Cores, plan: Plan, peers: Sequence[Contestant]) -> Measurements:
    yield Measurement("gameserver", partial(ticks.sectors, cores, plan))
    yield Measurement("gameserver", partial(ticks.agents, cores, plan))
    yield Measurement("gameserver", ticks.receive)


def growing(cores: Cores, plan: Plan, peers: Sequence[Contestant]) -> Measurements:
    for size in growth.sizes(plan):
        yield Measurement("gameserver", partial(growth.grow, size, cores, plan))


WORKLOADS: dict[str, Workload] = {
    "W1": saturated,
    "W2": paced,
    "W3": answered,
    "W4": idle,
    "W5": sizes,
    "W6": ticking,
    "W7": growing,
}
