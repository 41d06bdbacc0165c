import time

import pytest
from serving import RawClient, Serving

from gameserver.asgi import http


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def either(request):
    """A server on each event loop it may run on, with short deadlines."""
    with Serving(request.param, handshake_s=0.5) as serving:
        yield serving


@pytest.fixture
def serving(either):
    """The server of this loop, as new."""
    yield either
    either.reset()


def lines(*headers, first="GET /health HTTP/1.1", host="Host: here"):
    return "\r\n".join([first, *([host] if host else []), *headers, "", ""]).encode("latin-1")


UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


def test_requests_are_served(serving):
    """Plain requests, bodies and kept connections work as ever."""
    with RawClient(serving.port) as client:
        for _ in range(2):
            client.send(lines())
            status, headers = client.head()
            assert status == 200
            assert b"/health" in client.take(int(headers["content-length"]))
        body = b"b" * 200_000
        client.send(lines(f"Content-Length: {len(body)}", first="POST /in HTTP/1.1") + body)
        status, headers = client.head()
        assert status == 200
        assert b'"size": 200000' in client.take(int(headers["content-length"]))


@pytest.mark.parametrize("more", [(), UPGRADE], ids=["http", "websocket"])
@pytest.mark.parametrize(
    ("headers", "first"),
    [
        ([f"X-{n}: 1" for n in range(129)], "GET /ws HTTP/1.1"),
        (["X: " + "x" * 8192], "GET /ws HTTP/1.1"),
        (["X: " + "x" * 1_000_000], "GET /ws HTTP/1.1"),
        (["Authorization: Bearer " + "x" * 1_000_000], "GET /ws HTTP/1.1"),
        ([], f"GET /ws?{'x' * 9000} HTTP/1.1"),
        ([], f"GET /ws?{'x' * 1_000_000} HTTP/1.1"),
        ([f"X-{n}: {'x' * 4000}" for n in range(60)], "GET /ws HTTP/1.1"),
    ],
    ids=["129 headers", "8 kB line", "1 MB line", "1 MB token", "9 kB path", "1 MB path", "240 kB in all"],
)
def test_heads_that_are_too_large(serving, headers, first, more):
    """431 within a second, before the application sees anything."""
    started = time.monotonic()
    with RawClient(serving.port) as client:
        client.send(lines(*more, *headers, first=first))
        assert client.head()[0] == 431
    assert time.monotonic() - started < 1.0
    assert serving.scopes == []


def test_a_line_without_end(serving):
    """What is read of a line is bounded too."""
    with RawClient(serving.port) as client:
        client.send(b"GET /ws HTTP/1.1\r\nX: " + b"x" * 4 * http.MAX_HEAD)
        assert client.head()[0] == 431


@pytest.mark.parametrize(
    "request_bytes",
    [
        lines(host=None),
        lines("Host: there"),
        lines(*UPGRADE, host=None),
        lines(*UPGRADE, "Host: there"),
        lines("Content-Length: 3", "Transfer-Encoding: chunked", first="POST / HTTP/1.1") + b"0\r\n\r\n",
        lines("Content-Length: 3", "Content-Length: 4", first="POST / HTTP/1.1") + b"abc",
        lines(*UPGRADE, "Content-Length: 3", first="GET /ws HTTP/1.1") + b"abc",
        lines(*UPGRADE, "Transfer-Encoding: chunked", first="GET /ws HTTP/1.1") + b"0\r\n\r\n",
        lines(*UPGRADE, first="GET /ws HTTP/1.0"),
        b"GET /a\rb HTTP/1.1\r\nHost: here\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        lines("Upgrade: h2c", "Connection: Upgrade"),
        b"CONNECT here:1 HTTP/1.1\r\nHost: here\r\n\r\n",
    ],
    ids=[
        "no host",
        "two hosts",
        "ws no host",
        "ws two hosts",
        "CL and TE",
        "two CL",
        "ws CL",
        "ws TE",
        "ws 1.0",
        "CR",
        "TLS",
        "h2c",
        "CONNECT",
    ],
)
def test_what_is_no_request(serving, request_bytes):
    """400, and the application sees nothing."""
    with RawClient(serving.port) as client:
        client.send(request_bytes)
        assert client.head()[0] == 400
        assert client.at_end()
    assert serving.scopes == []


@pytest.mark.parametrize(
    "part",
    [b"", b"GET /ws HT", lines()[:-2], lines("Content-Length: 9", first="POST /in HTTP/1.1") + b"half"],
    ids=["silence", "half a line", "half a head", "half a body"],
)
def test_half_requests_are_cut(serving, part):
    """Whoever does not finish a request in time is cut; others are served meanwhile."""
    with RawClient(serving.port) as client, RawClient(serving.port) as other:
        client.send(part)
        other.send(lines())
        assert other.head()[0] == 200
        assert client.at_end()


def test_a_second_request_has_its_own_deadline(serving):
    """A kept connection cannot be used to trickle the next request."""
    with RawClient(serving.port) as client:
        client.send(lines())
        status, headers = client.head()
        client.take(int(headers["content-length"]))
        started = time.monotonic()
        client.send(b"GET /ag")
        assert client.at_end()
        assert time.monotonic() - started < 4.0
        assert status == 200


def test_a_body_that_ends_in_nonsense(serving, caplog):
    """400, though the application has begun with the request; what it says afterwards is no fault of its."""
    with RawClient(serving.port) as client:
        client.send(lines("Transfer-Encoding: chunked", first="POST /late HTTP/1.1"))
        serving.wait(lambda: hasattr(serving, "late"))
        client.send(b"nonsense\r\n")
        assert client.head()[0] == 400
        (task,) = serving.server.server_state.tasks
        task.add_done_callback(lambda _: serving._notify())
        serving.answer_late()
        serving.wait(task.done)
        del serving.late
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_no_refusal_comes_before_an_earlier_answer(serving):
    """What is wrong behind a request that is not answered yet ends the connection without a word."""
    with RawClient(serving.port) as client:
        client.send(lines() + b"nonsense\r\n\r\n")
        assert b"400" not in client.read()
        assert client.at_end()


def test_a_handshake_behind_an_unanswered_request(serving):
    """It would share its connection with the other answer, and end with HTTP's idle time."""
    with RawClient(serving.port) as client:
        client.send(lines() + lines(*UPGRADE, first="GET /ws HTTP/1.1"))
        assert client.at_end()
        assert b"101" not in client.buffer
    assert serving.channels == []


def test_a_handshake_behind_an_answered_request(serving):
    """A kept connection may become a WebSocket."""
    with RawClient(serving.port) as client:
        client.send(lines())
        status, headers = client.head()
        client.take(int(headers["content-length"]))
        assert status == 200
        client.open()


def test_requests_that_do_not_wait_for_answers(serving):
    """A few may come at once; thousands in one read end the connection before they are kept."""
    with RawClient(serving.port) as client:
        client.send(lines() * 5)
        for _ in range(5):
            status, headers = client.head()
            client.take(int(headers["content-length"]))
            assert status == 200
    serving.scopes.clear()
    with RawClient(serving.port) as client:
        client.send(lines() * (http.MAX_PIPELINED + 2))
        assert client.at_end()
    serving.wait_for_end_of_connections()
    assert len(serving.scopes) <= 1


def test_a_peer_that_does_not_take_its_answer(serving):
    """It is cut in the time it has, so that stopping does not wait for it for ever."""
    with RawClient(serving.port, small_window=True) as client:
        client.send(lines(first="GET /large HTTP/1.1"))
        serving.wait(lambda: serving.scopes)
        serving.wait_for_end_of_connections()
