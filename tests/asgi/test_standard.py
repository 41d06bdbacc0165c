import asyncio

import pytest

from gameserver.asgi import standard
from gameserver.asgi.standard import StandardChannel
from gameserver.protocol.frames import encode_frame


class Server:
    """The sending side of an ASGI server, which takes messages only while its gate is open."""

    def __init__(self):
        self.sent = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.changed = asyncio.Condition()
        self.failing = False
        self.failed = asyncio.Event()

    async def send(self, message):
        await self.gate.wait()
        if self.failing:
            self.failed.set()
            raise OSError("gone")
        self.sent.append(message)
        async with self.changed:
            self.changed.notify_all()

    async def wait_for(self, count):
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.sent) >= count)


def frames(*payloads, text=True):
    return b"".join(encode_frame(payload, text) for payload in payloads)


async def test_frames_become_messages_in_order():
    """Joined frames come apart again, text as str and binary as bytes, and the close comes last."""
    server = Server()
    async with StandardChannel(server.send, True) as channel:
        channel.write(frames(b'{"a":1}', "é".encode()))
        channel.write(frames(b"\x80" * 70_000, text=False))
        channel.close(4409, "replaced")
        channel.write(frames(b"late"))
    assert server.sent == [
        {"type": "websocket.send", "text": '{"a":1}'},
        {"type": "websocket.send", "text": "é"},
        {"type": "websocket.send", "bytes": b"\x80" * 70_000},
        {"type": "websocket.close", "code": 4409, "reason": "replaced"},
    ]


async def test_unsent_counts_what_waits_and_what_is_on_its_way():
    """It falls to 0 when all is taken; the callback then comes once."""
    server = Server()
    drained = asyncio.Event()
    seen = []
    async with StandardChannel(server.send, True) as channel:
        channel.on_drained(lambda: (seen.append(channel.unsent()), drained.set()))
        assert channel.unsent() == 0
        server.gate.clear()
        channel.write(frames(b"x" * 100, b"y" * 50))
        await asyncio.sleep(0)
        assert channel.unsent() == 150
        assert seen == []
        server.gate.set()
        await drained.wait()
        assert channel.unsent() == 0
        assert seen == [0]


async def test_a_member_that_takes_nothing_is_dropped_at_the_cap():
    """The queue is bounded: above the cap the block ends, quietly, and nothing is held."""
    server = Server()
    server.gate.clear()
    reached = False
    async with StandardChannel(server.send, True, most=1000) as channel:
        channel.write(frames(b"x" * 600))
        channel.write(frames(b"x" * 600))
        await asyncio.Event().wait()
        reached = True
    assert not reached
    assert channel.unsent() == 0
    assert server.sent == []


async def test_abort_ends_the_block():
    """Whatever the endpoint waits for, an abort from elsewhere ends it without an error."""
    server = Server()
    async with StandardChannel(server.send, True) as channel:
        asyncio.get_running_loop().call_soon(channel.abort)
        await asyncio.Event().wait()
    assert asyncio.current_task().cancelling() == 0
    channel.abort()
    channel.write(frames(b"late"))
    channel.close(1000, "")
    assert server.sent == []


async def test_a_cancellation_from_outside_still_counts():
    """Only the channel's own cancellation is swallowed."""
    server = Server()
    inside = asyncio.Event()

    async def endpoint(abort):
        async with StandardChannel(server.send, True) as channel:
            inside.set()
            if abort:
                channel.abort()
            await asyncio.Event().wait()

    for abort in (False, True):
        inside.clear()
        task = asyncio.create_task(endpoint(abort))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_errors_of_the_block_pass():
    """What goes wrong inside is not hidden."""
    with pytest.raises(ValueError, match="mine"):
        async with StandardChannel(Server().send, True):
            raise ValueError("mine")


async def test_a_close_that_does_not_get_through(monkeypatch):
    """A peer that reads nothing cannot hold the connection by not taking its close frame."""
    monkeypatch.setattr(standard, "LINGER", 0.05)
    server = Server()
    server.gate.clear()
    async with StandardChannel(server.send, True) as channel:
        channel.write(frames(b"x"))
        channel.close(1012, "drain")
        await asyncio.Event().wait()
    assert server.sent == []


async def test_a_server_that_lost_the_peer():
    """Its error ends the sending; later writes are dropped and count as nothing."""
    server = Server()
    server.failing = True
    async with StandardChannel(server.send, True) as channel:
        channel.write(frames(b"x"))
        await server.failed.wait()
        await asyncio.sleep(0)
        channel.write(frames(b"y"))
        assert channel.unsent() == 0
    assert server.sent == []


async def test_signs_of_life():
    """A message from the peer, and room made while others wait; a write alone is none."""
    server = Server()
    async with StandardChannel(server.send, True) as channel:
        channel._alive_at = 0.0
        channel.write(frames(b"x"))
        await server.wait_for(1)
        assert channel.last_alive() == 0
        channel.write(frames(b"x", b"y"))
        await server.wait_for(3)
        assert channel.last_alive() > 0
        channel._alive_at = 0.0
        channel.heard()
        assert channel.last_alive() > 0


async def test_a_slow_peer_that_goes_leaves_nothing_unsent():
    """Who waits for it to take what is unsent is told that there is nothing any more."""
    server = Server()
    drained = asyncio.Event()
    server.gate.clear()
    server.failing = True
    async with StandardChannel(server.send, True) as channel:
        channel.on_drained(drained.set)
        channel.write(frames(b"never taken"))
        assert channel.unsent() > 0
        server.gate.set()
        await asyncio.wait_for(drained.wait(), 5)
        assert channel.unsent() == 0
