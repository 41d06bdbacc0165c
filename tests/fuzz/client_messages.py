"""What a client says, spoilt, all the way: through the parser of frames, then through the decoder of messages.

`python -m tests.fuzz.client_messages --inputs N [--seed S]`. Of a message comes a decoded one or one of the three
refusals; whatever else is raised names its input.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgpack
import orjson

from gameserver.errors import BadMessage, InvalidArgument, UnknownCommand
from gameserver.protocol.deflate import Inflater, deflate
from gameserver.protocol.incoming import Argument, CommandSpec, Limits, build_decoder
from gameserver.protocol.parser import FrameParser
from tests.fuzz.frames import spoilt
from tests.protocol.client_frames import BINARY, RSV1, TEXT, fragments

DECODER = build_decoder(
    (
        CommandSpec("move", (Argument("to", str),)),
        CommandSpec("steer", (Argument("vx", float), Argument("vy", float))),
        CommandSpec("build", (Argument("plan", dict), Argument("parts", list, []))),
    )
)
REFUSALS = (BadMessage, UnknownCommand, InvalidArgument)
MESSAGES: tuple[Mapping[str, Any], ...] = (
    {"type": "hello", "rooms": {"sector:1": [3, 17]}},
    {"type": "move", "id": 7, "to": "sector:2"},
    {"type": "steer", "id": "a", "vx": 1.5, "vy": -2},
    {"type": "build", "id": 1, "plan": {"walls": [1, 2, {"of": "stone"}]}, "parts": ["é", None, True]},
    {"type": "publish", "room": "sector:1", "key": "aim", "data": {"x": 1, "y": [0.5, "😀"]}},
    {"type": "subscribe", "id": 3, "room": "sector:1"},
    {"type": "ping", "at": 1_700_000_000_000},
    {"type": "fly", "id": 9},
)


def stream_of(chance: random.Random, inflates: bool) -> bytes:
    """Some of these messages in either encoding, spoilt in the payload, in the frames, or not at all."""
    frames = []
    for message in chance.choices(MESSAGES, k=chance.randrange(1, 5)):
        text = chance.random() < 0.5
        payload: bytes = orjson.dumps(message) if text else msgpack.packb(message)
        for _ in range(chance.choice((0, 0, 1, 2))):
            payload = spoilt(chance, payload)
        compressed = inflates and chance.random() < 0.5
        payload = deflate(payload) if compressed else payload
        cut = chance.randrange(len(payload) + 1)
        parts = [payload] if chance.random() < 0.7 else [payload[:cut], payload[cut:]]
        frames.append(fragments(TEXT if text else BINARY, parts, reserved=RSV1 if compressed else 0))
    stream = b"".join(frames)
    return spoilt(chance, stream) if chance.random() < 0.3 else stream


def judge(stream: bytes, inflates: bool, ended: Counter[str]) -> None:
    """Count how each message ended, and the stream; raises what nothing that a client says may raise."""
    parser = FrameParser(Limits().message, inflater=Inflater() if inflates else None)
    for opcode, payload in parser.feed(stream):
        if opcode not in (TEXT, BINARY):
            continue
        try:
            DECODER.decode(payload, opcode == TEXT)
        except REFUSALS as refusal:
            ended[type(refusal).__name__] += 1
        else:
            ended["decoded"] += 1
    if parser.fault is not None:
        ended[str(int(parser.fault.code))] += 1


def run(seed: int, count: int) -> Counter[str]:
    """How the messages and streams of `count` inputs ended."""
    chance, ended = random.Random(seed), Counter[str]()
    for number in range(count):
        inflates = chance.random() < 0.5
        stream = stream_of(chance, inflates)
        try:
            judge(stream, inflates, ended)
        except Exception as error:
            error.add_note(f"seed {seed}, input {number}: {stream.hex()}, inflates {inflates}")
            raise
    return ended


def main() -> None:
    arguments = argparse.ArgumentParser(description="Feed spoilt messages to the parser and the decoder behind it.")
    arguments.add_argument("--inputs", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    ended = run(given.seed, given.inputs)
    messages = ended["decoded"] + sum(ended[refusal.__name__] for refusal in REFUSALS)
    print(f"{given.inputs} inputs, {messages} messages of which {ended['decoded'] / messages:.0%} decoded")
    print(f"ended: {dict(sorted(ended.items()))}")


if __name__ == "__main__":
    main()
