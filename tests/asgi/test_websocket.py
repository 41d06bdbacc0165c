import logging
import socket
import struct
import threading
from types import SimpleNamespace

import pytest
from serving import RawClient, Serving

from gameserver.asgi import connection, websocket
from gameserver.protocol.frames import encode_frame
from tests.compiled import on_sources

TEXT, BINARY, CLOSE, PING, PONG = 0x01, 0x02, 0x08, 0x09, 0x0A


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def either(request):
    """A server on each event loop it may run on."""
    with Serving(request.param) as serving:
        yield serving


@pytest.fixture
def serving(either):
    """The server of this loop, as new."""
    yield either
    either.reset()


@pytest.fixture(scope="module")
def one():
    """A server on the loop that `gameserver run` uses."""
    with Serving() as serving:
        yield serving


@pytest.fixture
def on_uvloop(one):
    """That server, as new."""
    yield one
    one.reset()


def test_ready_made_frames_arrive_in_order(serving):
    """Frames written through the channel come as they are, text and binary, before the close frame."""
    with RawClient(serving.port).open() as client:
        serving.wait(lambda: serving.channels)
        (channel,) = serving.channels

        def write():
            channel.write(encode_frame(b'{"n":1}', True))
            channel.write(encode_frame(b"\x81\xa1n\x02", False) + encode_frame(b"x" * 70_000, False))
            channel.close(4409, "replaced")
            channel.write(encode_frame(b"late", True))

        serving.call(write)
        assert client.frame() == (TEXT, b'{"n":1}')
        assert client.frame() == (BINARY, b"\x81\xa1n\x02")
        assert client.frame() == (BINARY, b"x" * 70_000)
        assert client.frame() == (CLOSE, struct.pack("!H", 4409) + b"replaced")
        client.send_frame(CLOSE, struct.pack("!H", 4409))
        assert client.at_end()
    serving.wait(lambda: serving.received)
    assert serving.received == [{"type": "websocket.disconnect", "code": 4409, "reason": "replaced"}]
    assert serving.call(channel.unsent) == 0


def test_pongs_never_split_a_frame(serving):
    """Pings answered in the middle of many large writes leave every frame whole."""
    with RawClient(serving.port).open() as client:
        serving.wait(lambda: serving.channels)
        (channel,) = serving.channels
        frame = encode_frame(b"y" * 30_000, False)
        pinging = threading.Thread(target=lambda: [client.send_frame(PING, b"p%d" % n) for n in range(50)])
        pinging.start()
        for _ in range(40):
            serving.call(channel.write, frame)
        got = [client.frame() for _ in range(90)]
        pinging.join()
    assert [payload for opcode, payload in got if opcode == PONG] == [b"p%d" % n for n in range(50)]
    assert [payload for opcode, payload in got if opcode == BINARY] == [b"y" * 30_000] * 40


def test_socket_options(serving):
    """Small writes leave at once, and little waits in the kernel unseen."""
    with RawClient(serving.port).open():
        serving.wait(lambda: serving.channels)
        transport = serving.channels[0]._transport

        def options():
            connection = transport.get_extra_info("socket")
            return [
                connection.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_NODELAY, socket.TCP_NOTSENT_LOWAT)
            ]

        assert serving.call(options) == [1, websocket.UNSENT_IN_KERNEL]


def test_a_slow_reader_shows_and_drains(serving):
    """What a reader leaves is counted; when it has read all, the callback comes once, and at zero."""
    with RawClient(serving.port, small_window=True).open() as client:
        serving.wait(lambda: serving.channels)
        (channel,) = serving.channels
        frame = encode_frame(b"z" * 50_000, False)
        count = 0
        while serving.call(channel.unsent) < 100_000:
            serving.call(channel.write, frame)
            count += 1
            assert count < 100
        assert serving.drained == []
        assert [client.frame() for _ in range(count)] == [(BINARY, b"z" * 50_000)] * count
        serving.wait(lambda: serving.drained)
        assert serving.drained == [0]
        assert serving.call(channel.unsent) == 0
        serving.call(channel.write, encode_frame(b"more", False))
        assert client.frame() == (BINARY, b"more")
        assert serving.drained == [0]


def test_congestion_that_began_before_anybody_asked(serving):
    """Whoever asks to be told is told at once: a line that is stuck already does not become so again."""
    told = []
    with RawClient(serving.port, small_window=True).open("/detached"):
        serving.wait(lambda: serving.channels)
        (channel,) = serving.channels
        serving.call(channel.on_congested, lambda: told.append("early"))
        assert told == []
        serving.call(channel.write, encode_frame(b"z" * 1_000_000, False))
        assert told == ["early"]
        serving.call(channel.on_congested, lambda: told.append("late"))
        assert told == ["early", "late"]


def test_a_slow_reader_that_goes_leaves_nothing_unsent(serving):
    """Who waits for it to take what is unsent is told that there is nothing any more."""
    with RawClient(serving.port, small_window=True).open():
        serving.wait(lambda: serving.channels)
        (channel,) = serving.channels
        serving.call(channel.write, encode_frame(b"z" * 2_000_000, False))
        assert serving.call(channel.unsent) > 0
        assert serving.drained == []
    serving.wait(lambda: serving.drained)
    assert serving.drained == [0]


def test_the_applications_own_sends_still_work(serving):
    """uvicorn's flow control goes on working beside the channel, also after the reader was slow."""
    with RawClient(serving.port).open("/close") as client:
        assert client.close_code() == 4401


@pytest.mark.parametrize("end", ["close", "abort", "bad frame"])
def test_a_peer_that_never_reads_can_be_closed_and_aborted(on_uvloop, monkeypatch, end):
    """A close frame that nobody takes does not keep the connection for ever; an abort ends it at once."""
    monkeypatch.setattr(connection, "LINGER", 0.2)
    with RawClient(on_uvloop.port, small_window=True).open() as client:
        on_uvloop.wait(lambda: on_uvloop.channels)
        (channel,) = on_uvloop.channels
        frame = encode_frame(b"z" * 400_000, False)
        on_uvloop.call(channel.write, frame)
        assert on_uvloop.call(channel.unsent) > 0
        if end == "close":
            on_uvloop.call(channel.close, 4408, "heartbeat lost")
        elif end == "abort":
            on_uvloop.call(channel.abort)
        else:
            client.send(b"\x81\x05hello")
        on_uvloop.wait(lambda: on_uvloop.received)
        on_uvloop.call(channel.write, frame)
        on_uvloop.wait_for_end_of_connections()
        assert on_uvloop.call(channel.unsent) == 0


def test_signs_of_life(serving):
    """Bytes from the client count, writes into the void do not."""
    with RawClient(serving.port).open() as client:
        serving.wait(lambda: serving.channels)
        (channel,) = serving.channels
        serving.call(setattr, channel, "_alive_at", 0.0)
        serving.call(channel.write, encode_frame(b"hello", False))
        assert client.frame() == (BINARY, b"hello")
        assert serving.call(channel.last_alive) == 0
        client.send_frame(PING)
        assert client.frame() == (PONG, b"")
        assert serving.call(channel.last_alive) > 0


def test_progress_of_a_slow_reader_is_a_sign_of_life(on_uvloop):
    """As long as it takes what is unsent it lives, even if it says nothing."""
    with RawClient(on_uvloop.port, small_window=True).open() as client:
        on_uvloop.wait(lambda: on_uvloop.channels)
        (channel,) = on_uvloop.channels
        on_uvloop.call(channel.write, encode_frame(b"z" * 2_000_000, False))
        unsent = on_uvloop.call(channel.unsent)
        assert unsent > 1_000_000
        on_uvloop.call(setattr, channel, "_alive_at", 0.0)
        client.take(1_000_000)
        assert on_uvloop.call(channel.unsent) < unsent
        assert on_uvloop.call(channel.last_alive) > 0


def test_a_ping_flood_from_a_peer_that_does_not_read(on_uvloop):
    """Closed at a cap of unread pongs."""
    with RawClient(on_uvloop.port, small_window=True, timeout=20).open() as client:
        on_uvloop.wait(lambda: on_uvloop.channels)
        (channel,) = on_uvloop.channels
        on_uvloop.call(channel.write, encode_frame(b"z" * 200_000, False))
        ping = bytes((0x80 | PING, 0x80 | 100)) + b"\0" * 4 + b"p" * 100
        client.send(ping * (connection.MAX_PONGS // 102 + 2))
        on_uvloop.wait(lambda: on_uvloop.received)
    assert on_uvloop.received[0]["code"] == 1008


@on_sources
def test_after_a_fault_nothing_is_looked_at(on_uvloop):
    """A flood that was reason enough to end the connection costs nothing more until its peer is gone."""
    with RawClient(on_uvloop.port) as client:
        client.open("/detached")
        on_uvloop.wait(lambda: on_uvloop.channels)
        (channel,) = on_uvloop.channels
        on_uvloop.call(channel.fail, 1008, "enough")
        assert client.close_code() == 1008
        fed = []
        on_uvloop.call(setattr, channel, "_parser", SimpleNamespace(feed=fed.append, fault=None, unfinished=False))
        client.send_frame(PING, b"more")
    on_uvloop.wait_for_end_of_connections()
    assert fed == []


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_endless_fragments(on_uvloop, opcode):
    """The 65th fragment of one message ends it."""
    with RawClient(on_uvloop.port).open() as client:
        client.send_frame(opcode, b"", fin=False)
        for _ in range(64):
            client.send_frame(0, b"", fin=False)
        assert client.close_code() == 1008
        assert client.at_end()


def test_a_message_that_is_never_finished(on_uvloop, monkeypatch):
    """A message must be whole within its time, and one in time is whole."""
    monkeypatch.setattr(connection, "MESSAGE_TIME", 0.3)
    with RawClient(on_uvloop.port).open() as client:
        client.send_frame(TEXT, b"he", fin=False)
        client.send_frame(0, b"llo")
        on_uvloop.wait(lambda: on_uvloop.received)
        assert on_uvloop.received == [{"type": "websocket.receive", "text": "hello"}]
        client.send_frame(TEXT, b"he", fin=False)
        assert client.close_code() == 1008


@pytest.mark.parametrize("part", [b"\x81", b"\x81\xe4\0", b"\x81\xe4\0\0\0\0x"], ids=["opcode", "mask", "payload"])
def test_a_frame_that_is_never_finished(on_uvloop, monkeypatch, part):
    """A single frame has no more time than a message of many, whatever comes before it."""
    monkeypatch.setattr(connection, "MESSAGE_TIME", 0.3)
    with RawClient(on_uvloop.port).open() as client:
        client.send_frame(TEXT, b"whole")
        client.send(part)
        assert client.close_code() == 1008
    assert on_uvloop.received[0] == {"type": "websocket.receive", "text": "whole"}


def test_a_frame_that_we_do_not_read_has_time(on_uvloop, monkeypatch):
    """While reading is paused no frame is late: a client is not closed for what we leave lying."""
    monkeypatch.setattr(connection, "MESSAGE_TIME", 0.3)
    with RawClient(on_uvloop.port).open():
        on_uvloop.wait(lambda: on_uvloop.channels)
        (channel,) = on_uvloop.channels

        def unread():
            channel.pause_reading()
            for _ in range(2 * connection.MESSAGE_LOOKS):
                channel._look_after_message()
            return channel.open

        assert on_uvloop.call(unread)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x05hello", 1002),
        (b"\xf1\x80\0\0\0\0", 1002),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x89\xfe\x00\x7e\0\0\0\0" + b"x" * 126, 1002),
        (b"\x09\x80\0\0\0\0", 1002),
        (b"\x81\x82\0\0\0\0\xff\xff", 1007),
        (b"\x88\x82\0\0\0\0" + struct.pack("!H", 999), 1002),
        (b"\x82\xff" + struct.pack("!Q", 2**63 - 1) + b"\0\0\0\0", 1009),
        (b"\x82\xfe" + struct.pack("!H", 16385) + b"\0\0\0\0", 1009),
        (b"\x02\xfe" + struct.pack("!H", 16000) + b"\0\0\0\0" + b"x" * 16000 + b"\x80\xfe\x03\xe8\0\0\0\0", 1009),
    ],
    ids=["unmasked", "rsv", "opcode", "long-ping", "split-ping", "utf8", "close-999", "2^63", "over", "over-split"],
)
def test_bad_frames(on_uvloop, frame, code):
    """Each is closed with its code, and the application hears of the end."""
    with RawClient(on_uvloop.port).open() as client:
        client.send(frame)
        assert client.close_code() == code
        assert client.at_end()
    on_uvloop.wait(lambda: on_uvloop.received)
    assert on_uvloop.received[-1]["type"] == "websocket.disconnect"


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ({"version": "12"}, 426),
        ({"version": "14"}, 426),
        ({"headers": ["Sec-WebSocket-Version: 13"]}, 400),
        ({"key": "short"}, 400),
        ({"headers": ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]}, 400),
        ({"path": "/deny"}, 429),
    ],
    ids=["version 12", "version 14", "two versions", "bad key", "two keys", "denied"],
)
def test_refused_handshakes(serving, parts, status):
    """The answer is HTTP, with its status, and then the connection ends."""
    with RawClient(serving.port) as client:
        client.upgrade(**parts)
        got, headers = client.head()
        assert got == status
        if status == 426:
            assert headers["sec-websocket-version"] == "13"
        if status == 429:
            assert headers["retry-after"] == "7"
        assert client.at_end()


def test_a_handshake_the_application_never_answers():
    """Nothing waits longer than the deadline."""
    with Serving(handshake_s=0.3) as serving, RawClient(serving.port) as client:
        client.upgrade("/slow")
        assert client.at_end()


def test_nothing_of_a_token_is_logged(caplog):
    """Neither headers nor queries reach the log, at any level."""
    caplog.set_level(logging.DEBUG)
    with Serving(log_level="debug") as serving:
        for path in ("/ws?token=secret-one", "/deny?token=secret-one"):
            with RawClient(serving.port) as client:
                client.upgrade(
                    path, headers=["Sec-WebSocket-Protocol: bearer.secret-two", "Authorization: secret-three"]
                )
                client.head()
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert "/ws?***" in said
    assert "secret" not in said


def test_detaching_before_the_handshake_is_answered(on_uvloop):
    """Nothing can be detached that is not a WebSocket yet."""
    with RawClient(on_uvloop.port) as client:
        client.upgrade("/slow")
        on_uvloop.wait(lambda: on_uvloop.scopes)
        protocol = on_uvloop.scopes[0]["extensions"]["gameserver.channel"]
        with pytest.raises(RuntimeError, match="accepted"):
            on_uvloop.call(protocol.detach, print, print)


def test_stopping_before_the_handshake_is_answered(on_uvloop):
    """Who is not answered yet is told to come back, in HTTP."""
    with RawClient(on_uvloop.port) as client:
        client.upgrade("/slow")
        on_uvloop.wait(lambda: on_uvloop.scopes)
        on_uvloop.call(on_uvloop.scopes[0]["extensions"]["gameserver.channel"].shutdown)
        status, headers = client.head()
        assert status == 503
        assert headers["retry-after"] == "1"
        assert client.at_end()


def test_a_detached_connection_outlives_its_application(serving):
    """Messages come by call, in order, what came early too, and the end once; no task is left behind."""
    with RawClient(serving.port) as client:
        client.upgrade("/detached")
        client.send_frame(TEXT, b"early")
        assert client.head()[0] == 101
        serving.wait(lambda: serving.received)
        serving.wait(lambda: not serving.server.server_state.tasks)
        (channel,) = serving.channels
        client.send_frame(BINARY, b"late")
        serving.wait(lambda: len(serving.received) == 2)
        serving.call(channel.write, encode_frame(b"answer", True))
        assert client.frame() == (TEXT, b"answer")
        client.send_frame(CLOSE, struct.pack("!H", 1000))
        assert client.frame() == (CLOSE, struct.pack("!H", 1000))
        assert client.at_end()
    serving.wait_for_end_of_connections()
    assert serving.received == [
        {"type": "websocket.receive", "text": "early"},
        {"type": "websocket.receive", "bytes": b"late"},
        {"type": "websocket.disconnect", "code": 1000, "reason": ""},
    ]


def test_what_is_not_read_is_not_taken(on_uvloop):
    """While reading is paused nothing is handed over; afterwards everything is, in order."""
    with RawClient(on_uvloop.port) as client:
        client.upgrade("/detached")
        assert client.head()[0] == 101
        on_uvloop.wait(lambda: on_uvloop.channels)
        (channel,) = on_uvloop.channels
        on_uvloop.call(channel.pause_reading)
        client.send_frame(TEXT, b"one")
        client.send_frame(TEXT, b"two")
        # Another connection's whole life passes meanwhile.
        with RawClient(on_uvloop.port).open("/close") as other:
            assert other.close_code() == 4401
        assert on_uvloop.received == []
        on_uvloop.call(channel.resume_reading)
        on_uvloop.wait(lambda: len(on_uvloop.received) == 2)
        assert [message["text"] for message in on_uvloop.received] == ["one", "two"]


def test_what_came_behind_the_handshake_counts(on_uvloop):
    """An application that receives nothing does not have more queued than its bound, also of what came early."""
    with RawClient(on_uvloop.port) as client:
        client.upgrade("/unheard")
        for _ in range(3 * websocket.MAX_QUEUED // 16_000):
            client.send_frame(BINARY, b"e" * 16_000)
        on_uvloop.wait(lambda: on_uvloop.scopes)
        protocol = on_uvloop.scopes[0]["extensions"]["gameserver.channel"]
        assert any(on_uvloop.call(lambda: len(protocol._early)) > websocket.MAX_QUEUED for _ in range(100_000))
        on_uvloop.call(on_uvloop.accept.set_result, None)
        assert client.head()[0] == 101
        reading = on_uvloop.call(protocol._transport.is_reading)
        on_uvloop.call(on_uvloop.over.set_result, None)
    assert not reading


def test_a_long_reason_is_cut_to_fit(on_uvloop):
    """A close frame has room for 123 bytes of reason, cut between characters."""
    with RawClient(on_uvloop.port).open() as client:
        on_uvloop.wait(lambda: on_uvloop.channels)
        on_uvloop.call(on_uvloop.channels[0].close, 4411, "é" * 100)
        assert client.frame() == (CLOSE, struct.pack("!H", 4411) + ("é" * 61).encode())


@pytest.mark.parametrize("path", ["/detached", "/deny"])
def test_a_flood_after_the_end_is_not_waited_out(on_uvloop, monkeypatch, path):
    """Whoever sends on for megabytes after a close frame or a refusal is cut at a cap, long before the linger is."""
    monkeypatch.setattr(connection, "LINGER", 60.0)
    monkeypatch.setattr(websocket, "LINGER", 60.0)
    with RawClient(on_uvloop.port) as client:
        client.upgrade(path)
        client.head()
        if path == "/detached":
            on_uvloop.wait(lambda: on_uvloop.channels)
            on_uvloop.call(on_uvloop.channels[0].fail, 1008, "enough")
        megabytes = bytes(64 << 20)
        with pytest.raises(ConnectionError):
            client.send(megabytes)
    on_uvloop.wait_for_end_of_connections()
