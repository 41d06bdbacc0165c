"""What comes over the bus, spoilt, all the way into a replica: of a payload comes a commit, a signal or one refusal."""

from __future__ import annotations

import random
from collections import Counter

from gameserver.state.commit import Event, Header, Part, PoisonCommit, decode_commit, encode_commit, encode_part
from gameserver.state.replica import Replica
from gameserver.state.signal import decode_signal, encode_signal, is_signal
from tests.fuzz.frames import spoilt

ROOM, EPOCH, SEQ = "sector:1", 3, 17
PARTS = (
    Part(sets={"port:1": {"ore": 5, "price": 1.5}, "player:ana": {"name": "Ana", "team": None}}),
    Part(dels=["port:2"], events=[Event("trade", {"by": "ana", "of": [1, {"a": True}]}, "ana", 2)]),
    Part(sets={"ship:9": {"x": 0.25, "y": -3}}, siblings=["sector:2", "private:ana"]),
)


def payload_of(chance: random.Random) -> bytes:
    """A commit of one to three parts, or a signal; spoilt up to three times."""
    if chance.random() < 0.2:
        payload = encode_signal("aim", {"x": 1, "y": [0.5, b"\0\xff"]}, "radar")
    else:
        parts = [encode_part(part) for part in chance.choices(PARTS, k=chance.randrange(1, 4))]
        payload = encode_commit(Header(3, EPOCH, SEQ + 1, chance.getrandbits(32), 1_700_000_000_000, "w1", 9), parts)
    for _ in range(chance.choice((1, 1, 2, 3))):
        payload = spoilt(chance, payload)
    return payload


def judge(payload: bytes, ended: Counter[str]) -> None:
    """As a worker takes it; raises what nothing on the bus may raise."""
    try:
        if is_signal(payload):
            decode_signal(payload)
            ended["signal"] += 1
            return
        commit = decode_commit(payload)
    except PoisonCommit:
        ended["refused"] += 1
        return
    replica = Replica(ROOM)
    replica.load(EPOCH, SEQ, 0, {"port:1": {"ore": 1}, "port:2": {}})
    replica.receive(commit)
    ended["commit"] += 1


def run(seed: int, count: int) -> Counter[str]:
    """How `count` payloads ended."""
    chance, ended = random.Random(seed), Counter[str]()
    for number in range(count):
        payload = payload_of(chance)
        try:
            judge(payload, ended)
        except Exception as error:
            error.add_note(f"seed {seed}, payload {number}: {payload.hex()}")
            raise
    return ended
