"""Thousands of connections while every worker is restarted in turn: staggered, resumed, and nothing lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import redis

from e2e_tests.restarts.fleet import fleet
from e2e_tests.restarts.writers import BACK_WITHIN, Writer, open_all, percentile, settings
from e2e_tests.store import Store
from gameserver.bench.store import HOST, free_port, redis_process

SECTORS = 100
DRAIN_S = 10.0
RATE = 20
"""Commands a second of all writers together, each an event that its whole sector hears."""
SLICE = 1.0
"""Seconds of one line of the histogram."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`closes` are the ends of connections by second since the first and by code; `unheard` are events that a player
    of the sector did not hear, `repeated` those heard twice."""

    connections: int
    closes: Counter[tuple[int, int]]
    resumes: int
    not_recovered: int
    anew: int
    away_p50: float
    away_p99: float
    away_longest: float
    events: int
    unheard: int
    repeated: int
    missing: int
    different: int
    mismatches: int

    @property
    def resumed(self) -> float:
        """The share of all comebacks that went on from where they were."""
        comebacks = self.resumes + self.anew
        return (self.resumes - self.not_recovered) / comebacks if comebacks else 0.0

    @property
    def holds(self) -> bool:
        nothing = self.unheard + self.repeated + self.missing + self.different + self.mismatches
        return not nothing and self.resumed >= 0.99 and self.away_longest <= BACK_WITHIN

    def __str__(self) -> str:
        return "\n".join(
            (
                f"{self.connections} connections, {sum(self.closes.values())} ends: {self.resumed:.2%} resumed and "
                f"recovered ({self.not_recovered} with snapshots, {self.anew} anew)",
                f"away p50 {self.away_p50:.2f} s, p99 {self.away_p99:.2f} s, longest {self.away_longest:.2f} s",
                f"{self.events} events: {self.unheard} unheard, {self.repeated} heard twice",
                f"{self.missing} acknowledged commands missing",
                f"{self.different} copies differ, {self.mismatches} checksums wrong on the way",
                *self._histogram(),
            )
        )

    def _histogram(self) -> list[str]:
        seconds: Counter[int] = Counter()
        for (second, _), count in self.closes.items():
            seconds[second] += count
        codes = Counter(
            {code: sum(n for (_, other), n in self.closes.items() if other == code) for _, code in self.closes}
        )
        most = max(seconds.values(), default=1)
        lines = [
            f"{second:4d} s  {count:5d}  {'#' * max(1, 50 * count // most)}"
            for second, count in sorted(seconds.items())
        ]
        return [f"close codes {dict(codes)}; when connections ended:", *lines]


async def run(connections: int, workers: int = 3) -> Verdict:
    """One writer in each sector goes on writing while the workers are restarted one after the other.

    The workers share a port, as `gameserver run` has them do: the system hands a connection to one that listens.
    """
    with redis_process() as store:
        shared = settings(
            port=free_port(), workers=workers, redis_url=store.url, drain_s=DRAIN_S, heartbeat_s=60, verify_s=30
        )
        async with fleet(shared) as running:
            url = f"ws://{HOST}:{shared.port}/ws"
            players = [Writer(f"{number % SECTORS}.player{number}", url, shared) for number in range(connections)]
            await open_all(players, 50)
            writing = asyncio.create_task(_write(players[:SECTORS]))
            for number in range(1, workers + 1):
                await running.restart(number)
            await _all_back(players)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            verdict = await _judge(store.port, players)
            await asyncio.gather(*(player.client.close() for player in players))
        return verdict


async def _write(writers: list[Writer]) -> None:
    async with asyncio.TaskGroup() as group:
        number = 0
        while True:
            group.create_task(writers[number % len(writers)].sign(number))
            number += 1
            await asyncio.sleep(1 / RATE)


async def _all_back(players: list[Writer]) -> None:
    async with asyncio.timeout(BACK_WITHIN):
        while not all(player.client.connected for player in players):  # noqa: ASYNC110 - a look a second at thousands
            await asyncio.sleep(1.0)


async def _judge(port: int, players: list[Writer]) -> Verdict:
    with redis.Redis(host=HOST, port=port) as client:
        store = Store(client, "register")
        rooms = store.everything()
        logs = store.logs({player.sector: 0 for player in players[:SECTORS]})
    sums = {room: (stored.seq, stored.computed) for room, stored in rooms.items()}
    for player in players:
        await player.client.reached({room: seq for room, (seq, _) in sums.items()}, BACK_WITHIN)
    said = {
        room: [(event.seq, event.index) for commit in commits for event in commit.events if event.name == "signed"]
        for room, commits in logs.items()
    }
    heard = {
        player: [(event.seq, event.index) for event in player.heard if event.name == "signed"] for player in players
    }
    ends = [end for player in players for end in player.ended]
    first = min((moment for moment, _ in ends), default=time.monotonic())
    away = [seconds for player in players for seconds in player.away]
    written = {player: set(rooms[f"private:{player.name}"].state["me"].get("numbers") or ()) for player in players}
    return Verdict(
        connections=len(players),
        closes=Counter((int((moment - first) / SLICE), code) for moment, code in ends),
        resumes=sum(len(player.recovered) for player in players),
        not_recovered=sum(not recovered for player in players for recovered in player.recovered),
        anew=sum(player.anew for player in players),
        away_p50=percentile(away, 0.5),
        away_p99=percentile(away, 0.99),
        away_longest=max(away, default=0.0),
        events=sum(map(len, said.values())),
        unheard=sum(len(set(said[player.sector]) - set(events)) for player, events in heard.items()),
        repeated=sum(len(events) - len(set(events)) for events in heard.values()),
        missing=sum(len(player.acknowledged - numbers) for player, numbers in written.items()),
        different=sum(player.differs_from(sums) for player in players),
        mismatches=sum(player.client.stats.replica.mismatches for player in players),
    )
