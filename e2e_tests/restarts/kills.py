"""Workers are killed under load: what was acknowledged is there, everything is there once, and all copies are equal."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

import redis

from e2e_tests.restarts.writers import BACK_WITHIN, Writer, open_all, percentile, settings
from e2e_tests.store import Store
from gameserver.bench.store import HOST
from gameserver.lab.cluster import Cluster, cluster

REST = 1.0
"""Seconds a killed worker stays dead."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts over all players; `missing` were acknowledged and are not there, `doubled` are there more than once."""

    commands: int
    acknowledged: int
    applied: int
    missing: int
    doubled: int
    kills: int
    resumes: int
    not_recovered: int
    anew: int
    different: int
    mismatches: int
    p50: float
    p99: float

    @property
    def holds(self) -> bool:
        nothing = self.missing + self.doubled + self.different + self.mismatches
        return not nothing and self.applied == self.acknowledged == self.commands

    def __str__(self) -> str:
        return (
            f"{self.commands} commands, {self.acknowledged} acknowledged, {self.applied} applied: "
            f"{self.missing} missing, {self.doubled} doubled\n"
            f"{self.kills} kills, {self.resumes} resumes ({self.not_recovered} not recovered, {self.anew} anew), "
            f"away p50 {self.p50:.2f} s, p99 {self.p99:.2f} s\n"
            f"{self.different} copies differ from the store, {self.mismatches} checksums were wrong on the way"
        )


async def run(
    players: int = 50, commands: int = 10_000, workers: int = 3, rounds: int = 2, pace: float = 40.0
) -> Verdict:
    """Every worker is killed once in every round, while `commands` are sent over about `pace` seconds."""
    shared = settings()
    async with cluster(shared, workers, 0, dict(os.environ)) as lab:
        url = f"ws://{HOST}:{lab.balancer.port}/ws"
        writers = [Writer(f"{number % 5}.player{number}", url, shared) for number in range(players)]
        await open_all(writers, 20)
        each = commands // players
        work = [asyncio.create_task(_write(writer, each, pace / each)) for writer in writers]
        for _ in range(rounds):
            for worker in lab.workers:
                await asyncio.sleep(pace / (rounds * workers + 1) - REST)
                await worker.kill()
                await asyncio.sleep(REST)
                await worker.start()
                await lab.ready()
        await asyncio.gather(*work)
        verdict = await _judge(lab, writers, rounds * workers)
        await asyncio.gather(*(writer.client.close() for writer in writers))
        return verdict


async def _write(writer: Writer, commands: int, pause: float) -> None:
    """At its pace, whether those before were answered or not."""
    open_commands = []
    for number in range(1, commands + 1):
        open_commands.append(asyncio.create_task(writer.sign(number)))
        await asyncio.sleep(pause)
    await asyncio.gather(*open_commands)


async def _judge(lab: Cluster, writers: list[Writer], kills: int) -> Verdict:
    with redis.Redis(host=HOST, port=lab.store.port) as client:
        rooms = Store(client, "register").everything()
    sums = {room: (stored.seq, stored.computed) for room, stored in rooms.items()}
    async with asyncio.timeout(BACK_WITHIN):
        for writer in writers:
            await writer.client.reached({room: seq for room, (seq, _) in sums.items()}, BACK_WITHIN)
    written = {writer: rooms[f"private:{writer.name}"].state["me"]["numbers"] for writer in writers}
    away = [seconds for writer in writers for seconds in writer.away]
    return Verdict(
        commands=sum(len(writer.sent) for writer in writers),
        acknowledged=sum(len(writer.acknowledged) for writer in writers),
        applied=sum(len(set(numbers)) for numbers in written.values()),
        missing=sum(len(writer.acknowledged - set(numbers)) for writer, numbers in written.items()),
        doubled=sum(len(numbers) - len(set(numbers)) for numbers in written.values()),
        kills=kills,
        resumes=sum(len(writer.recovered) for writer in writers),
        not_recovered=sum(not recovered for writer in writers for recovered in writer.recovered),
        anew=sum(writer.anew for writer in writers),
        different=sum(writer.differs_from(sums) for writer in writers),
        mismatches=sum(writer.client.stats.replica.mismatches for writer in writers),
        p50=percentile(away, 0.5),
        p99=percentile(away, 0.99),
    )
