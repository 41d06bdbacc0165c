"""How much of everything is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Seconds that each figure is measured for in a round, and how many connections."""

    rounds: int = 3
    warm_up: float = 1.0
    fanout: float = 3.0
    commands: float = 1.5
    ticks: float = 4.0
    growth: float = 1.5
    clients: int = 1000
    idle: int = 5000
    most_clients: int = 10_000
    most_rooms: int = 1000
    most_entities: int = 5000

    @classmethod
    def quick(cls) -> Plan:
        return cls(
            rounds=1,
            warm_up=0.3,
            fanout=1.0,
            commands=0.5,
            ticks=1.0,
            growth=0.5,
            clients=200,
            idle=400,
            most_clients=1000,
            most_rooms=100,
            most_entities=500,
        )
