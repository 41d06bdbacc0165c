"""The opening handshake as bytes (RFC 6455, section 4.2), by its rules."""

from __future__ import annotations

import base64
from http import HTTPStatus

import pytest
from websockets.utils import accept_key as accept_key_by_websockets

from gameserver.asgi.upgrade import BadUpgrade, Upgrade, accept_key, response, switching

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
VERSION = (b"sec-websocket-version", b"13")


def request(*headers: tuple[bytes, bytes], method: bytes = b"GET") -> Upgrade:
    return Upgrade(method, b"/ws?a=b", headers)


def refused(upgrade: Upgrade) -> tuple[int, list[bytes], bytes]:
    """Status, header lines and body of the refusal."""
    with pytest.raises(BadUpgrade) as caught:
        accept_key(upgrade)
    head, _, body = caught.value.answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert b"content-length: %d" % len(body) in lines
    assert b"connection: close" in lines
    return int(first.split()[1]), lines, body


def test_the_key_of_the_rfc() -> None:
    """4.2.2: its example, and the same as another implementation makes of any key."""
    assert accept_key(request(VERSION, (b"sec-websocket-key", KEY))) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    for byte in range(8):
        key = base64.b64encode(bytes((byte * 31,)) * 16)
        assert accept_key(request(VERSION, (b"sec-websocket-key", key))).decode() == accept_key_by_websockets(
            key.decode()
        )


def test_space_around_values_is_none_of_them() -> None:
    """RFC 7230, 3.2: space around a header's value means nothing."""
    upgrade = request((VERSION[0], b" 13 "), (b"sec-websocket-key", b"\t" + KEY + b" "))
    assert accept_key(upgrade) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("method", [b"POST", b"HEAD", b"get", b"CONNECT"])
def test_other_methods(method: bytes) -> None:
    """4.2.1: it is a GET."""
    status, lines, _ = refused(request(VERSION, (b"sec-websocket-key", KEY), method=method))
    assert status == 405
    assert b"Allow: GET" in lines


@pytest.mark.parametrize("version", [b"8", b"0", b"", b"013", b"13, 8", b"latest"])
def test_other_versions(version: bytes) -> None:
    """4.4: another version is told which is spoken."""
    status, lines, body = refused(request((VERSION[0], version), (b"sec-websocket-key", KEY)))
    assert status == 426
    assert b"Sec-WebSocket-Version: 13" in lines
    assert b"Upgrade: websocket" in lines
    assert b"13" in body


@pytest.mark.parametrize("versions", [(), (VERSION, VERSION), (VERSION, (VERSION[0], b"8"))])
def test_not_one_version(versions: tuple[tuple[bytes, bytes], ...]) -> None:
    """4.2.1: there is one version."""
    assert refused(request(*versions, (b"sec-websocket-key", KEY)))[0] == 400


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [KEY, KEY],
        [b""],
        [b"short"],
        [base64.b64encode(b"x" * 15)],
        [base64.b64encode(b"x" * 17)],
        [KEY[:-1]],
        [KEY[:-2]],
        [KEY + b"="],
        [b"*" + KEY[1:]],
        [KEY[:4] + b" " + KEY[4:]],
        [b"\xff" * 24],
        [base64.urlsafe_b64encode(b"\xff" * 16)],
    ],
)
def test_bad_keys(keys: list[bytes]) -> None:
    """4.2.1: there is one key, of 16 bytes in base64."""
    assert refused(request(VERSION, *((b"sec-websocket-key", key) for key in keys)))[0] == 400


def test_the_answer_that_switches() -> None:
    """4.2.2: the status, what RFC 6455 demands, and what the application adds, in order."""
    head = switching(b"ACCEPT", [(b"Sec-WebSocket-Protocol", b"a"), (b"x-more", b"")])
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: ACCEPT",
        b"Sec-WebSocket-Protocol: a",
        b"x-more: ",
        b"",
        b"",
    ]


@pytest.mark.parametrize("header", [(b"a\r", b"b"), (b"a", b"b\nc: d"), (b"a", b"\r\n\r\nHTTP/1.1 200 OK")])
def test_no_header_breaks_a_line(header: tuple[bytes, bytes]) -> None:
    """What an application puts into a header cannot become another header, or another answer."""
    with pytest.raises(ValueError):
        switching(b"ACCEPT", [header])
    with pytest.raises(ValueError):
        response(403, [header], b"")


def test_a_response_says_its_length_and_that_it_is_the_last() -> None:
    """What the application gave stands, in whatever case it wrote it; a status nobody knows has no phrase."""
    assert response(HTTPStatus.FORBIDDEN, [], b"no").split(b"\r\n") == [
        b"HTTP/1.1 403 Forbidden",
        b"content-type: text/plain; charset=utf-8",
        b"content-length: 2",
        b"connection: close",
        b"",
        b"no",
    ]
    lines = response(499, [(b"Content-Type", b"application/json")], b"{}").split(b"\r\n")
    assert lines[:2] == [b"HTTP/1.1 499 ", b"Content-Type: application/json"]
    assert b"content-type: text/plain; charset=utf-8" not in lines
