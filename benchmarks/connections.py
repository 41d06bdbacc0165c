"""W4: what a connection that only listens costs, and how fast they come."""

from __future__ import annotations

from benchmarks.contestants import Contestant
from benchmarks.plan import Plan
from benchmarks.script import Script
from benchmarks.tables import CONNECTIONS
from gameserver.bench.figures import per
from gameserver.bench.machine import Cores

ROOMS = 100
SETTLE = 1.5
"""Seconds after the last has joined before memory is looked at."""


def idle(contestant: Contestant, cores: Cores, plan: Plan) -> None:
    """Some are there before, so that what is allocated once is not counted as theirs."""
    number = min(plan.idle, contestant.most_idle)
    before = number // 10
    with contestant.start(cores, ROOMS) as running:
        made = Script()
        made.say("settle", SETTLE)
        for group, first, many in (("before", 0, before), ("listeners", before, number)):
            arguments = [contestant.listener(running, each % ROOMS, each) for each in range(first, first + many)]
            made.group(group, contestant.listeners(), arguments)
        made.join("before")
        made.join("listeners")
        found = made.run(running.port, cores.load, running.processes)[-1]
    CONNECTIONS.add(
        contestant.name,
        number=number,
        kib=found["grown_kib"]["server"] / number,
        joins=number / found["seconds"],
        joins_cpu=per(number, found["cpu"]["server"]),
    )
