"""What the lab can be told to do, a line each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gameserver.lab.cluster import Cluster, faults_of
from gameserver.lab.processes import Process

LONGEST = 3600.0
"""Seconds an order may last."""
PUBLICATIONS = {"lose": "lost", "double": "doubled", "delay": "delayed"}


class BadOrder(Exception):
    """The message says what was expected."""


Carry = Callable[[Cluster, list[str]], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Order:
    """`usage` is what follows the word."""

    usage: str
    help: str
    carry_out: Carry


async def carry_out(lab: Cluster, line: str) -> str:
    """Do what a line says; the answer. Raises BadOrder."""
    word, *rest = line.split()
    order = ORDERS.get(word)
    if order is None:
        raise BadOrder(f"There is no {word!r}; help says what there is.")
    return await order.carry_out(lab, rest)


async def _status(lab: Cluster, words: list[str]) -> str:
    _expect_nothing(words)
    return await lab.report()


async def _kill(lab: Cluster, words: list[str]) -> str:
    process = _process(lab, words)
    if not process.pid:
        raise BadOrder(f"{process.name} is gone already.")
    await process.kill()
    return f"{process.name} is gone; `start {words[0]}` brings it back."


async def _stop(lab: Cluster, words: list[str]) -> str:
    process = _process(lab, words)
    if not process.pid:
        raise BadOrder(f"{process.name} is gone already.")
    await process.stop()
    return f"{process.name} has said goodbye and ended."


async def _start(lab: Cluster, words: list[str]) -> str:
    process = _process(lab, words)
    process.thaw()
    await process.start()
    await process.answers()
    return f"{process.name} is process {process.pid}."


async def _freeze(lab: Cluster, words: list[str]) -> str:
    process = _process(lab, words[:1])
    seconds = _seconds(words[1:]) if len(words) > 1 else 0.0
    if not process.pid:
        raise BadOrder(f"{process.name} is gone.")
    process.freeze()
    if not seconds:
        return f"{process.name} is frozen; `start {words[0]}` thaws it."
    try:
        await asyncio.sleep(seconds)
    finally:
        process.thaw()
    return f"{process.name} was frozen for {seconds:g} s."


async def _empty(lab: Cluster, words: list[str]) -> str:
    _expect_nothing(words)
    await lab.store.empty()
    await lab.store.start()
    await lab.store.answers()
    return "Redis is back, and remembers nothing."


async def _cut(lab: Cluster, words: list[str]) -> str:
    _expect_nothing(words)
    lab.line.cut_off()
    return "Nobody gets through to Redis; `heal` ends that."


async def _heal(lab: Cluster, words: list[str]) -> str:
    _expect_nothing(words)
    lab.line.let_through()
    lab.line.chances = dict.fromkeys(lab.line.chances, 0.0)
    return f"The line to Redis is whole again: {faults_of(lab.line)}."


def _publications(what: str) -> Carry:
    async def change(lab: Cluster, words: list[str]) -> str:
        percent = _number(words, "how many percent of all publications", 100.0)
        lab.line.chances[what] = percent / 100
        return f"From now on {percent:g} % of the publications are {what}."

    return change


async def _wait(lab: Cluster, words: list[str]) -> str:
    seconds = _seconds(words)
    await asyncio.sleep(seconds)
    return f"{seconds:g} s have passed."


async def _ready(lab: Cluster, words: list[str]) -> str:
    _expect_nothing(words)
    await lab.ready()
    return "Every worker that runs is ready."


async def _help(lab: Cluster, words: list[str]) -> str:
    rows = [(f"{word} {order.usage}".strip(), order.help) for word, order in ORDERS.items()]
    width = max(len(usage) for usage, _ in rows)
    return "\n".join([*(f"  {usage.ljust(width)}   {help}" for usage, help in rows), "  quit"])


WHO = "WHO"
ORDERS: dict[str, Order] = {
    "status": Order("", "who lives, and what they say of themselves", _status),
    "kill": Order(WHO, "as kill -9; WHO is the number of a worker, or redis", _kill),
    "stop": Order(WHO, "as an operator does: goodbye to everybody first", _stop),
    "start": Order(WHO, "again, where it was", _start),
    "freeze": Order(f"{WHO} [SECONDS]", "it keeps its connections and says nothing", _freeze),
    "empty": Order("", "kill Redis, throw away what it wrote, start it again", _empty),
    "cut": Order("", "break every line to Redis and let nobody through", _cut),
    **{
        word: Order("PERCENT", f"of the publications are {what} from now on", _publications(what))
        for word, what in PUBLICATIONS.items()
    },
    "heal": Order("", "let everything through again, whole and in time", _heal),
    "ready": Order("", "wait until every worker that runs is ready", _ready),
    "wait": Order("SECONDS", "do nothing, for scripts", _wait),
    "help": Order("", "this", _help),
}


def _process(lab: Cluster, words: list[str]) -> Process:
    known = lab.processes()
    if len(words) != 1 or words[0] not in known:
        raise BadOrder(f"Say who: {', '.join(known)}.")
    return known[words[0]]


def _seconds(words: list[str]) -> float:
    return _number(words, "how many seconds", LONGEST)


def _number(words: list[str], what: str, most: float) -> float:
    try:
        (word,) = words
        number = float(word.removesuffix("%"))
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise BadOrder(f"Say {what}, from 0 to {most:g}.")
    return number


def _expect_nothing(words: list[str]) -> None:
    if words:
        raise BadOrder(f"Nothing is expected after it, not {' '.join(words)!r}.")
