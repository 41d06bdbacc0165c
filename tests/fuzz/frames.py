"""Valid client streams, spoilt: whatever comes out of the parser is an answer, never an accident.

`python -m tests.fuzz.frames --seconds N [--seed S]` tries as many as fit into that time. For each it holds that nothing
is raised, that the way the bytes were cut into reads changes nothing, that no message breaks the rules that the parser
is there for, and that at the end no more memory is held than at the start.
"""

from __future__ import annotations

import argparse
import random
import secrets
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass

from gameserver.protocol.closing import may_be_sent, read_close
from gameserver.protocol.deflate import Inflater, deflate
from gameserver.protocol.parser import FrameParser
from tests.protocol.client_frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    RSV1,
    TEXT,
    close,
    fragments,
    frame,
)

LIMIT = 2048
MAX_FRAGMENTS = 8
CODES = (1002, 1007, 1008, 1009)
MOST_HELD = 64 * 1024
"""Bytes that tracemalloc may find more of at the end than after warming up."""
WARM_UP = 200
TEXTS = ("", "move", '{"type":"move","x":1}', "zażółć €", "😀" * 40, "x" * 126, "é" * 400)
Outcome = tuple[list[tuple[int, bytes]], int | None, bool]
"""The messages, the code of the fault if any, and whether something is unfinished."""


@dataclass(frozen=True)
class Input:
    stream: bytes
    inflates: bool

    def read(self, cuts: list[int]) -> Outcome:
        """What a new parser makes of the stream, in reads that end at `cuts`."""
        parser = FrameParser(LIMIT, max_fragments=MAX_FRAGMENTS, inflater=Inflater() if self.inflates else None)
        messages = []
        for start, stop in zip([0, *cuts], [*cuts, len(self.stream)], strict=True):
            messages += parser.feed(self.stream[start:stop])
        return messages, parser.fault.code if parser.fault else None, parser.unfinished


def inputs(seed: int) -> Iterator[tuple[Input, list[int]]]:
    """Streams without end, each with a way to cut it; the same for the same seed."""
    chance = random.Random(seed)
    while True:
        inflates = chance.random() < 0.5
        stream = b"".join(_message(chance, inflates) for _ in range(chance.randrange(1, 7)))
        for _ in range(chance.choice((0, 1, 1, 1, 2, 5))):
            stream = spoilt(chance, stream)
        cuts = chance.randrange(min(12, len(stream) + 1))
        yield Input(stream, inflates), sorted(chance.randrange(len(stream) + 1) for _ in range(cuts))


def _message(chance: random.Random, inflates: bool) -> bytes:
    kind = chance.random()
    if kind < 0.1:
        return frame(chance.choice((PING, PONG)), chance.randbytes(chance.choice((0, 4, 125))))
    if kind < 0.15:
        return close(chance.choice((1000, 1001, 1006, 3000, 4409, 5000)), chance.choice(TEXTS)[:20].encode())
    opcode = chance.choice((TEXT, BINARY))
    text = chance.choice(TEXTS).encode()
    payload = text if opcode == TEXT else chance.randbytes(chance.choice((0, 20, 125, 126, LIMIT, LIMIT + 1)))
    reserved = 0
    if inflates and chance.random() < 0.5:
        payload, reserved = deflate(payload * chance.choice((1, 1, 1, 100))), RSV1
    cuts = sorted(chance.randrange(len(payload) + 1) for _ in range(chance.choice((0, 0, 0, 1, 3, MAX_FRAGMENTS))))
    parts = [payload[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    return fragments(opcode, parts, reserved=reserved)


def spoilt(chance: random.Random, stream: bytes) -> bytes:
    """One change: a bit, a byte, a piece lost, doubled or put in; most of them near the heads of frames."""
    if not stream:
        return stream
    # Heads are few of the bytes, and stand at the front more often than anywhere else.
    at = min(chance.randrange(len(stream)), chance.randrange(len(stream)))
    to = min(len(stream), at + chance.choice((1, 1, 2, 4, 30)))
    kind = chance.randrange(6)
    if kind == 0:
        return stream[:at] + bytes((stream[at] ^ 1 << chance.randrange(8),)) + stream[at + 1 :]
    if kind == 1:
        return stream[:at] + bytes((chance.choice((0x00, 0x7E, 0x7F, 0x80, 0xFE, 0xFF)),)) + stream[at + 1 :]
    if kind == 2:
        return stream[:at] + stream[to:]
    if kind == 3:
        return stream[:to] + stream[at:]
    if kind == 4:
        return stream[:at] + chance.randbytes(chance.randrange(1, 12)) + stream[at:]
    return stream[:at]


def judge(case: Input, cuts: list[int]) -> None:
    """Raises AssertionError, or whatever the parser raised, for what no stream may bring about."""
    outcome = case.read([])
    assert case.read(cuts) == outcome
    if len(case.stream) < 600:
        assert case.read(list(range(1, len(case.stream)))) == outcome
    messages, code, unfinished = outcome
    assert code is None or code in CODES
    assert not (code and unfinished)
    for index, (opcode, payload) in enumerate(messages):
        if opcode in (TEXT, BINARY):
            assert len(payload) <= LIMIT
        else:
            assert opcode in (CLOSE, PING, PONG)
            assert len(payload) <= 125
        if opcode == TEXT:
            payload.decode()
        if opcode == CLOSE:
            assert index == len(messages) - 1
            assert code is None
            assert not payload or may_be_sent(read_close(payload)[0])


def run(seed: int, *, count: int | None = None, until: float | None = None) -> dict[str, int]:
    """Judge `count` inputs, or as many as there are before `until` on `time.monotonic`; how many ended how.

    Raises AssertionError that names the input.
    """
    ended: dict[str, int] = {}
    held = 0
    started_here = not tracemalloc.is_tracing()
    if started_here:
        tracemalloc.start()
    try:
        for number, (case, cuts) in enumerate(inputs(seed)):
            if number == count or (until is not None and time.monotonic() >= until):
                break
            try:
                judge(case, cuts)
            except Exception as error:
                error.add_note(
                    f"seed {seed}, input {number}: {case.stream.hex()}, inflates {case.inflates}, cut {cuts}"
                )
                raise
            _, code, unfinished = case.read([])
            how = str(code) if code else "unfinished" if unfinished else "whole"
            ended[how] = ended.get(how, 0) + 1
            if number == WARM_UP:
                held = tracemalloc.get_traced_memory()[0]
        assert not held or tracemalloc.get_traced_memory()[0] - held < MOST_HELD, "memory is held by nobody's parser"
    finally:
        if started_here:
            tracemalloc.stop()
    return ended


def main() -> None:
    arguments = argparse.ArgumentParser(description="Feed spoilt streams to the parser of client frames.")
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--seed", type=int, default=secrets.randbits(32))
    given = arguments.parse_args()
    print(f"seed {given.seed}", flush=True)
    ended = run(given.seed, until=time.monotonic() + given.seconds)
    print(f"{sum(ended.values())} inputs; ended: {dict(sorted(ended.items()))}")


if __name__ == "__main__":
    main()
