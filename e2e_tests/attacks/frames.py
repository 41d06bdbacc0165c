"""Bytes that are no WebSocket, or too much of one."""

from __future__ import annotations

import asyncio
import struct
import time
import zlib
from collections.abc import Sequence

from e2e_tests.attacks.arena import Arena
from e2e_tests.attacks.catalogue import attack
from e2e_tests.attacks.wire import CLOSE, CONTINUATION, FIN, PING, RSV1, TEXT, frame

MEBIBYTE = 1 << 20
SAY = b'{"type":"ping","at":1}'

BAD: dict[str, tuple[int, Sequence[bytes]]] = {
    "unmasked": (1002, [frame(TEXT, SAY, masked=False)]),
    "RSV bits": (1002, [frame(TEXT, SAY, first=FIN | RSV1), frame(TEXT, SAY, first=FIN | 0x20)]),
    "bad opcode": (1002, [frame(opcode, SAY) for opcode in (3, 7, 11, 15)]),
    "long control": (1002, [frame(PING, b"x" * 126)]),
    "fragmented control": (1002, [frame(PING, b"x", first=0)]),
    "invalid UTF-8": (1007, [frame(TEXT, b'{"type":"\xff"}')]),
    "invalid UTF-8, split": (1007, [frame(TEXT, b"\xe2\x82", first=0) + frame(CONTINUATION, b"\x28")]),
    "bad close codes": (
        1002,
        [frame(CLOSE, struct.pack("!H", code)) for code in (0, 999, 1004, 1005, 1006, 1015, 2999)],
    ),
    "close of one byte": (1002, [frame(CLOSE, b"x")]),
    "declared 2^63": (1009, [frame(TEXT, declared=(1 << 63) - 1)]),
    "over the limit": (1009, [frame(TEXT, b" " * 16_385)]),
    "over the limit, fragmented": (1009, [frame(TEXT, b" " * 9000, first=0) + frame(CONTINUATION, b" " * 9000)]),
}


def enter_frames(name: str, code: int, sent: Sequence[bytes]) -> None:
    @attack("frames", name, str(code))
    async def closed(arena: Arena) -> str:
        before = arena.memory()
        for data in sent:
            async with await arena.enter() as wire:
                wire.send(data)
                assert await wire.ending() == code
        grown = arena.memory() - before
        assert grown < 4 * MEBIBYTE
        return f"{len(sent)} x {code}, {max(0, grown) >> 10} KiB more"


for name, (code, sent) in BAD.items():
    enter_frames(name, code, sent)


@attack("frames", "deflate bombs", "1009, memory flat")
async def bombs(arena: Arena) -> str:
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = squeezed.compress(bytes(12 * MEBIBYTE)) + squeezed.flush(zlib.Z_SYNC_FLUSH)
    bomb = bomb[:16_000]
    before = arena.memory()
    for _ in range(20):
        more = ["Sec-WebSocket-Extensions: permessage-deflate"]
        async with await arena.enter(more=more) as wire:
            wire.send(frame(TEXT, bomb, first=FIN | RSV1))
            assert await wire.ending() == 1009
    grown = arena.memory() - before
    assert grown < 8 * MEBIBYTE
    return f"20 x 1009, {max(0, grown) >> 10} KiB more for 240 MiB"


@attack("frames", "fragments without end", "closed after 64 fragments")
async def fragments(arena: Arena) -> str:
    for payload in (b"", b" "):
        async with await arena.enter() as wire:
            wire.send(frame(TEXT, b" ", first=0) + frame(CONTINUATION, payload, first=0) * 65)
            assert await wire.ending() == 1008
    return "2 x 1008"


@attack("frames", "one byte of a message a second", "1008 after 10 s")
async def dripped(arena: Arena) -> str:
    async with await arena.enter() as wire:
        began = time.monotonic()
        ending = asyncio.create_task(wire.ending(20))
        data = frame(TEXT, b" " * 60)
        for byte in data:
            wire.send(bytes((byte,)))
            if (await asyncio.wait((ending,), timeout=1.0))[0]:
                break
        assert await ending == 1008
        took = time.monotonic() - began
        assert took <= 12
        return f"1008 after {took:.1f} s"


@attack("frames", "a ping flood by a peer that never reads", "closed at a byte cap, memory flat")
async def pings(arena: Arena) -> str:
    before, began = arena.memory(), time.monotonic()
    sent = await _flood(arena, b"", frame(PING, b"p" * 100) * 100)
    grown = arena.memory() - before
    assert grown < 4 * MEBIBYTE
    return f"cut after {sent / MEBIBYTE:.1f} MiB and {time.monotonic() - began:.1f} s, {max(0, grown) >> 10} KiB more"


@attack("frames", "a flood after the server has begun to close", "cut at a byte cap, memory flat")
async def afterwards(arena: Arena) -> str:
    before = arena.memory()
    figures = []
    for first in (frame(TEXT, SAY, masked=False), frame(TEXT, SAY) * 500):
        began = time.monotonic()
        sent = await _flood(arena, first, frame(PING, b"p" * 100) * 100)
        figures.append(f"{sent / MEBIBYTE:.1f} MiB, {time.monotonic() - began:.1f} s")
    grown = arena.memory() - before
    assert grown < 4 * MEBIBYTE
    return f"cut after {'; '.join(figures)}, {max(0, grown) >> 10} KiB more"


async def _flood(arena: Arena, first: bytes, block: bytes) -> int:
    """Send until the connection is cut, reading nothing; the bytes that were taken, of at most 64 MiB."""
    async with await arena.enter(narrow=True) as wire:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        wire.send(first)
        sent = 0
        try:
            async with asyncio.timeout(20):
                while sent < 64 * MEBIBYTE:
                    wire.send(block)
                    await wire.writer.drain()
                    sent += len(block)
                    # Without it nothing else here would ever run.
                    await asyncio.sleep(0)
        except ConnectionError:
            return sent
        raise AssertionError(f"not cut after {sent} bytes")
