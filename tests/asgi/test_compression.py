"""permessage-deflate from socket to socket, against the `websockets` library."""

import os

import pytest
from serving import RawClient, Serving
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

from gameserver.protocol.codec import JSON

MOST = 4096
OFFER = "permessage-deflate; client_max_window_bits"


@pytest.fixture(scope="module")
def compressing():
    """A server that compresses for whoever asks."""
    with Serving(compression=True, max_message=MOST) as serving:
        yield serving


@pytest.fixture
def serving(compressing):
    """That server, as new."""
    yield compressing
    compressing.reset()


def dial(serving, **offer):
    url = f"ws://127.0.0.1:{serving.port}/detached"
    factories = [ClientPerMessageDeflateFactory(**offer)]
    return connect(url, extensions=factories, compression=None, proxy=None, open_timeout=8)


@pytest.mark.parametrize(
    "offer",
    [
        {"client_max_window_bits": True},
        {},
        {"client_max_window_bits": 9},
        {"server_max_window_bits": 15, "client_max_window_bits": 10},
        {"server_no_context_takeover": True, "client_no_context_takeover": True},
    ],
    ids=["chrome", "firefox", "small window", "full window", "no context"],
)
def test_compressed_messages_both_ways(serving, offer):
    """Another implementation reads what we compress once for all, and we read what it compresses."""
    message = {"type": "delta", "set": {f"ship:{number}": {"x": number, "y": -number} for number in range(40)}}
    with dial(serving, **offer) as client:
        assert [extension.name for extension in client.protocol.extensions] == ["permessage-deflate"]
        serving.wait(lambda: serving.channels)
        (channel,) = serving.channels
        assert channel.deflates
        frame = JSON.deflated.frame(message)
        assert len(frame) < len(JSON.encode(message)) / 2
        for _ in range(2):
            serving.call(channel.write, frame)
            assert JSON.decode(client.recv(8).encode()) == message
        said = [JSON.encode(message).decode(), "é" * 1000, "", "short", b"\xff" * MOST, os.urandom(1000)]
        for each in said:
            client.send(each)
        serving.wait(lambda: len(serving.received) == len(said))
        assert [event.get("text", event.get("bytes")) for event in serving.received] == said


def test_fragments_are_compressed_as_one(serving):
    """A compressed message may come in fragments."""
    with dial(serving) as client:
        client.send(["fragment ", "by ", "fragment"])
        serving.wait(lambda: serving.received)
        assert serving.received == [{"type": "websocket.receive", "text": "fragment by fragment"}]


def test_a_bomb_is_too_large(serving):
    """The limit on a message is of what was packed."""
    with dial(serving) as client:
        client.send(b"\0" * (MOST + 1))
        serving.wait(lambda: serving.received)
        assert serving.received == [{"type": "websocket.disconnect", "code": 1009, "reason": f"more than {MOST} bytes"}]


def answered(serving, headers):
    """The extensions header of the answer, and the code that a compressed frame is refused with, if it is."""
    with RawClient(serving.port) as client:
        client.upgrade(headers=headers)
        status, answer = client.head()
        assert status == 101
        client.send(b"\xc1\x87\0\0\0\0" + b"\xf2H\xcd\xc9\xc9\x07\x00")
        serving.wait(lambda: serving.received)
        first = serving.received[0]
        return answer.get("sec-websocket-extensions"), first.get("text", first.get("code"))


def test_what_is_agreed(serving):
    """The answer tells that neither side keeps context; the first offer that can be kept counts, over all headers."""
    agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    headers = ["Sec-WebSocket-Extensions: other", f"Sec-WebSocket-Extensions: {OFFER}"]
    assert answered(serving, headers) == (agreed, "Hello")


@pytest.mark.parametrize("offer", ["permessage-deflate; server_max_window_bits=10", "permessage-deflate; unknown", ""])
def test_what_is_not_agreed(serving, offer):
    """A connection whose offers we decline is one without compression."""
    assert answered(serving, [f"Sec-WebSocket-Extensions: {offer}"]) == (None, 1002)


def test_without_the_setting_nothing_is_agreed():
    """Compression is off unless it is asked for."""
    with Serving() as serving:
        assert answered(serving, [f"Sec-WebSocket-Extensions: {OFFER}"]) == (None, 1002)
        serving.wait(lambda: serving.channels)
        assert not serving.channels[0].deflates
