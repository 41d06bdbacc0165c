"""Backoff, close codes, pacing, codec: what a client decides without a connection."""

from __future__ import annotations

import base64
import json
import random

import pytest

from gameserver.client import Backoff
from gameserver.client.closing import ABNORMAL, Closed, Goodbye, refused, seconds, verdict
from gameserver.client.codec import codec_of, encode, offers
from gameserver.client.dialing import Dialer
from gameserver.client.home import home_rooms, stands_for
from gameserver.client.pacing import ResyncPace
from gameserver.client.tuning import Tuning
from gameserver.errors import InvalidArgument
from gameserver.protocol.codec import JSON, MSGPACK
from gameserver.protocol.codes import Close


def test_backoff_has_full_jitter_and_a_cap() -> None:
    """The n-th wait lies between 0 and min(30, 0.5 * 2^n) s [RETRY1]."""
    highest = Backoff(lambda: 1.0)
    assert [highest.delay() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    lowest = Backoff(lambda: 0.0)
    assert [lowest.delay() for _ in range(9)] == [0.0] * 9
    chance = random.Random(5)
    drawn = [Backoff(chance.random).delay() for _ in range(200)]
    assert 0.2 < sum(drawn) / len(drawn) < 0.3


def test_backoff_grows_for_ever_without_trouble() -> None:
    """A client that has been away for weeks still waits 30 s at most."""
    backoff = Backoff(lambda: 1.0)
    assert [backoff.delay() for _ in range(5000)][-1] == 30


def test_backoff_starts_again_after_a_stable_connection_alone() -> None:
    """A connection of less than 10 s does not make the next wait short [RETRY2]."""
    backoff = Backoff(lambda: 1.0)
    for _ in range(3):
        backoff.delay()
    backoff.connected(100.0)
    backoff.disconnected(109.9)
    assert backoff.delay() == 4
    backoff.connected(200.0)
    backoff.disconnected(210.0)
    assert backoff.delay() == 0.5
    backoff.disconnected(300.0)
    assert backoff.delay() == 1


def test_retry_after_is_the_least_wait() -> None:
    """What the server asks for is waited out, a longer wait stays [RETRY3]."""
    assert Backoff(lambda: 0.5).delay(retry_after=7.0) == 7.0
    assert Backoff(lambda: 1.0, base=20).delay(retry_after=7.0) == 20


@pytest.mark.parametrize("code", [1001, 1005, 1006, 1011, 1012, 1013, 4408, 4429])
def test_codes_that_let_a_client_come_back(code: int) -> None:
    """A broken line counts as 1011 [CLOSE1] [CLOSE2]."""
    assert Closed(code).reconnect


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1007, 1008, 1009, 4401, 4403, 4409, 4410, 4411, 3000, 4999])
def test_codes_that_are_final(code: int) -> None:
    """So are those that nobody knows [CLOSE1]."""
    assert not Closed(code).reconnect


def test_a_goodbye_gives_the_wait_and_the_code_of_a_broken_line() -> None:
    """The hint comes before the close, and holds when the close itself is lost [CLOSE2]."""
    goodbye = Goodbye.of({"code": 1012, "reason": "drain", "reconnect": True, "retry_after": 1.5})
    assert verdict(Closed(1012, "restart"), goodbye) == Closed(1012, "restart", 1.5)
    assert verdict(Closed(ABNORMAL), goodbye) == Closed(1012, "drain", 1.5)
    assert verdict(Closed(4409, "replaced"), goodbye).code == 4409
    assert verdict(Closed(1011), None) == Closed(1011)


def test_refused_handshakes_read_as_close_codes() -> None:
    """An HTTP status means what the close code of the same cause means [HS7]."""
    assert refused(401, 0).code == Close.BAD_TOKEN
    assert refused(403, 0).code == Close.NOT_ALLOWED
    assert refused(429, 3) == Closed(Close.RATE_LIMITED, "the handshake was refused with HTTP 429", 3)
    assert refused(503, 3).retry_after == 3
    assert refused(503, 3).reconnect
    assert not refused(400, 0).reconnect


@pytest.mark.parametrize(("written", "read"), [("2.5", 2.5), (3, 3.0), (None, 0), ("soon", 0), (-1, 0), ("nan", 0)])
def test_waits_are_read_with_care(written: object, read: float) -> None:
    """Whatever stands where seconds should is a wait or none."""
    assert seconds(written) == read


def test_a_room_is_asked_for_ever_more_rarely_until_it_is_right() -> None:
    """A copy that stays wrong cannot make a client ask in a loop."""
    pace = ResyncPace(first=1, longest=5)
    assert pace.wait("a", 0) == 0
    assert [pace.asked("a", at) for at in (0, 1, 3, 7)] == [1, 2, 4, 5]
    assert pace.wait("a", 8) == 4
    assert pace.wait("b", 8) == 0
    pace.right("a")
    assert pace.wait("a", 8) == 0


def test_encodings_are_offered_and_taken_by_name() -> None:
    """Offered best first; with none taken JSON is spoken [HS2] [HS3]."""
    assert offers("json") == ["gameserver.v1.json"]
    assert offers("msgpack")[0] == "gameserver.v1.msgpack"
    assert codec_of("gameserver.v1.msgpack") is MSGPACK
    assert codec_of(None) is JSON
    with pytest.raises(ValueError, match="no encoding"):
        offers("xml")  # type: ignore[arg-type]


def test_binary_is_carried_by_both_encodings() -> None:
    """Bin in MessagePack, base64 under $bin in JSON [SIG4]."""
    message = {"type": "signal", "room": "r", "key": "k", "data": b"\x00\xff"}
    assert encode(JSON, message).endswith(b'"data":{"$bin":"AP8="}}')
    for codec in (JSON, MSGPACK):
        assert codec.decode(encode(codec, message)) == message


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=repr)
def test_what_has_no_encoding_is_an_invalid_argument(codec: object) -> None:
    """The caller hears of it, not the server."""
    with pytest.raises(InvalidArgument):
        encode(codec, {"type": "move", "to": object()})  # type: ignore[arg-type]


def test_home_rooms_follow_the_token() -> None:
    """Global, one's own, a sector, and the team's when there is one [ROOM3]."""
    assert home_rooms({}, "ann") == ["global", "private:ann", "sector:*"]
    assert home_rooms({"role": "player", "team": "red"}, "ann")[-1] == "team:red"
    assert home_rooms({"role": "service"}, "sim") == ["global"]
    assert stands_for("sector:*", "sector:8")
    assert not stands_for("sector:8", "sector:88")


@pytest.mark.parametrize("url", ["http://host/ws", "ws:///ws", "host:80"])
def test_an_url_that_cannot_be_dialled_is_refused_at_once(url: str) -> None:
    """A mistake in the address is the caller's, not a reason to try again."""
    with pytest.raises(ValueError, match="not a WebSocket URL"):
        Dialer(url, "t", "json", "header", None, None, None, False, Tuning())


def test_claims_are_read_from_the_token_without_trust() -> None:
    """Only to know which rooms to expect; a token that cannot be read has none [ROOM3]."""
    claims = {"sub": "ann", "team": "rot-grün"}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    for token, read in ((f"e30.{body}.x", claims), ("opaque", {}), ("a.!.c", {}), ("a.W10.c", {})):
        assert Dialer("ws://host/ws", token, "json", "header", None, None, None, False, Tuning()).claims == read
