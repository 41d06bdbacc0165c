"""The scripts that run inside Redis, and the keys they keep.

Every key and channel of a world shares the hash tag `{gs:<world>}`, so all lie in one slot of a Redis
Cluster. A script is given only the first of them as KEYS[1] and derives the others: which rooms, players
and log generations a batch touches follows from the request it unpacks, and naming them all again
would cost more than the commit. Redis allows it as long as the slot is the same; what it costs is that
ACLs must grant the whole tag and that a proxy cannot route by the other keys.

    {tag}                  the epoch
    {tag}:rooms            set of all rooms
    {tag}:m:<room>         hash: seq, sum, claims, bytes and chunks of the log
    {tag}:e:<room>         hash: entity to 8-byte big-endian stamp and MessagePack map
    {tag}:l:<room>         stream: the log, entry ids `<seq>-0`
    {tag}:i:<n>:<player>   hash: command id to 8-byte body hash and answered seqs; n-th generation by time
    {tag}:b:<worker>       the worker's last batch number (8 bytes) and reply
    {tag}:lease            hash: owner, token, until
    {tag}:p:<worker>       the worker's probe, and the channel of the same name
    {tag}:c:<room>         sharded channel of the room's commits
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

NAMES = ("commit", "epoch", "load", "positions", "acquire", "release", "probe")


@dataclass(frozen=True, slots=True)
class Script:
    source: bytes
    sha: bytes
    """As EVALSHA wants it: lower-case hexadecimal SHA-1."""


@cache
def scripts() -> dict[str, Script]:
    found = {}
    for name in NAMES:
        source = files(__package__).joinpath(f"{name}.lua").read_bytes()
        # Redis names scripts by SHA-1; nothing here relies on it being hard to collide.
        sha = hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()
        found[name] = Script(source, sha)
    return found
