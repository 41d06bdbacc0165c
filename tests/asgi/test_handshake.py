import pytest

from gameserver.asgi.auth import BadToken, TokenVerifier, issue_token
from gameserver.asgi.handshake import Accept, AcceptThenClose, Deny, Gate, HandshakeRequest, gate_of, read_request
from gameserver.sessions.claims import Claims
from gameserver.sessions.ratelimit import KeyedBuckets
from gameserver.settings import Settings

JSON, MSGPACK = "gameserver.v1.json", "gameserver.v1.msgpack"
COMPACT = "gameserver.v1.compact"
HERE = "https://play.example"
ROLES = {"ann-token": "player", "root-token": "admin", "sim-token": "service"}
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2ln"


class Door:
    """A gate with its surroundings in the test's hands; counts what was verified."""

    def __init__(self, *, origins=(HERE,), dev=False, per_address=1000.0, per_player=1000.0):
        self.now = 0.0
        self.room = True
        self.verified = []
        self.gate = Gate(
            verify=self.verify,
            per_address=KeyedBuckets(per_address, per_address),
            per_player=KeyedBuckets(per_player, per_player),
            has_room=lambda: self.room,
            origins=origins,
            dev=dev,
            clock=lambda: self.now,
        )

    async def verify(self, token):
        self.verified.append(token)
        if token not in ROLES:
            raise BadToken
        return Claims(player=token.partition("-")[0], name="x", role=ROLES[token], team=None, expires=1.0)

    async def decide(self, *, subprotocols=(JSON, "bearer.ann-token"), role="player", address="192.0.2.1", **more):
        return await self.gate.decide(
            HandshakeRequest(role=role, address=address, subprotocols=tuple(subprotocols), **more)
        )


def header(decision, name):
    return dict(decision.headers).get(name)


@pytest.mark.parametrize(
    ("request_parts", "subprotocol", "encoding"),
    [
        ({}, JSON, "json"),
        ({"subprotocols": [MSGPACK, JSON, "bearer.ann-token"]}, MSGPACK, "msgpack"),
        ({"subprotocols": ["bearer.ann-token", JSON, MSGPACK]}, JSON, "json"),
        ({"subprotocols": ["gameserver.v9.cbor", MSGPACK, "bearer.ann-token"]}, MSGPACK, "msgpack"),
        ({"subprotocols": [COMPACT, MSGPACK, JSON, "bearer.ann-token"]}, COMPACT, "compact"),
        ({"subprotocols": ["bearer.ann-token"]}, None, "json"),
        ({"subprotocols": [], "authorizations": ("Bearer ann-token",)}, None, "json"),
        ({"subprotocols": [MSGPACK], "authorizations": ("bearer ann-token",)}, MSGPACK, "msgpack"),
        ({"authorizations": ("Bearer ann-token",)}, JSON, "json"),
        ({"origins": (HERE,)}, JSON, "json"),
        ({"query": "region=eu&x=1.2.3"}, JSON, "json"),
    ],
)
async def test_accepted(request_parts, subprotocol, encoding):
    """The first known encoding is selected, never the token; without any the server speaks JSON."""
    decision = await Door().decide(**request_parts)
    assert isinstance(decision, Accept)
    assert (decision.subprotocol, decision.encoding) == (subprotocol, encoding)
    assert decision.claims.player == "ann"
    assert decision.resume_token is None


async def test_a_resume_token_is_handed_on():
    """`resume.<token>` comes out as the token; two different ones are refused."""
    decision = await Door().decide(subprotocols=[JSON, "resume.abc.def", "bearer.ann-token"])
    assert decision.resume_token == "abc.def"
    decision = await Door().decide(subprotocols=[JSON, "resume.a", "resume.b", "bearer.ann-token"])
    assert decision.status == 400


BAD_TOKENS = {
    "missing": {"subprotocols": [JSON]},
    "empty": {"subprotocols": [JSON, "bearer."]},
    "unknown": {"subprotocols": [JSON, "bearer.bob-token"]},
    "two": {"subprotocols": [JSON, "bearer.ann-token", "bearer.root-token"]},
    "header differs": {"authorizations": ("Bearer root-token",)},
    "two headers": {"subprotocols": [JSON], "authorizations": ("Bearer ann-token", "Bearer root-token")},
    "basic": {"authorizations": ("Basic YW5uOmE=",)},
    "empty header": {"subprotocols": [JSON], "authorizations": ("",)},
    "header without scheme": {"subprotocols": [JSON], "authorizations": ("ann-token",)},
}
URL_TOKENS = [
    "token=ann-token",
    "TOKEN=x",
    "access_token=x",
    "jwt=",
    "auth=1",
    "authorization=Bearer%20x",
    "a=1&bearer=x",
    "a=1;token=x",
    "%74oken=x",
    f"x={JWT}",
    JWT,
    f"x=bearer.{JWT}",
    f"x={JWT.replace('.', '%2E')}",
    f"x={JWT.replace('.', '%252E')}",
]
BAD_TOKENS |= {f"URL {query[:24]}": {"query": query} for query in URL_TOKENS}


@pytest.mark.parametrize("request_parts", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_bad_tokens(request_parts):
    """401 to programs; to a browser of an allowed page 4401 after accepting, which it can read."""
    decision = await Door().decide(**request_parts)
    assert isinstance(decision, Deny)
    assert decision.status == 401
    assert header(decision, "WWW-Authenticate") == "Bearer"
    assert "ann-token" not in decision.body
    assert JWT not in decision.body
    decision = await Door().decide(origins=(HERE,), **request_parts)
    assert isinstance(decision, AcceptThenClose)
    assert (decision.subprotocol, decision.code) == (JSON, 4401)


@pytest.mark.parametrize("query", URL_TOKENS)
async def test_a_token_in_the_url_is_not_even_verified(query):
    """Whatever else is right, nothing is verified."""
    door = Door()
    await door.decide(query=query)
    assert door.verified == []


@pytest.mark.parametrize("token", ROLES)
@pytest.mark.parametrize("role", ["player", "admin", "service"])
async def test_each_endpoint_is_for_one_role(token, role):
    """403, or 4403 for a browser, when the role is another's."""
    parts = {"subprotocols": [JSON, f"bearer.{token}"], "role": role}
    plain, browser = await Door().decide(**parts), await Door().decide(origins=(HERE,), **parts)
    if ROLES[token] == role:
        assert isinstance(plain, Accept)
        assert isinstance(browser, Accept)
    else:
        assert plain.status == 403
        assert (browser.subprotocol, browser.code) == (JSON, 4403)


@pytest.mark.parametrize(
    "subprotocols", [["gameserver.v1.cbor"], ["gameserver.v9.json"], ["GAMESERVER.V1.JSON"], ["json", "chat"]]
)
async def test_only_unknown_encodings(subprotocols):
    """Nothing is verified for a client that could not be understood."""
    door = Door()
    assert (await door.decide(subprotocols=[*subprotocols, "bearer.ann-token"])).status == 400
    assert (await door.decide(subprotocols=[*subprotocols, "bearer.ann-token"], origins=(HERE,))).status == 400
    assert door.verified == []


async def test_a_browser_must_offer_an_encoding():
    """It could not tell what it is being sent, nor be told why it is refused."""
    assert (await Door().decide(subprotocols=["bearer.ann-token"], origins=(HERE,))).status == 400
    assert (await Door().decide(subprotocols=[], origins=(HERE,))).status == 400


FOREIGN = [
    "null",
    "",
    "https://evil.example",
    "http://play.example",
    "https://play.example.evil.example",
    "https://play.example:443",
    "https://play.example:8443",
    "https://play.example/",
    "https://play.example.",
    "https://PLAY.example",
    "https://play-example",
    "https://evil.example/https://play.example",
    "https://play.example@evil.example",
    "https://play.example, https://evil.example",
    "https://pl\u00e4y.example",
    "http://localhost:3000",
]


@pytest.mark.parametrize("origin", FOREIGN)
async def test_foreign_origins(origin):
    """Anything but the exact origin is 403, good token or not, and nothing is verified."""
    door = Door()
    decision = await door.decide(origins=(origin,))
    assert isinstance(decision, Deny)
    assert decision.status == 403
    assert door.verified == []


async def test_two_origins():
    """A doubled Origin header is nobody's."""
    assert (await Door().decide(origins=(HERE, HERE))).status == 403


@pytest.mark.parametrize(
    ("origin", "passes"),
    [
        ("http://localhost:5173", True),
        ("http://localhost", True),
        ("https://127.0.0.1:8443", True),
        ("http://[::1]:3000", True),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://evil.example/localhost", False),
        ("http://localhost:3000/", False),
        ("http://user@localhost", False),
        ("file://localhost", False),
        ("null", False),
        (HERE, False),
    ],
)
async def test_loopback_origins(origin, passes):
    """With no list, loopback pages pass in dev mode and nobody otherwise; with a list the list alone counts."""
    assert isinstance(await Door(origins=(), dev=True).decide(origins=(origin,)), Accept) is passes
    assert not isinstance(await Door(origins=(), dev=False).decide(origins=(origin,)), Accept)
    if passes:
        assert not isinstance(await Door(origins=(HERE,), dev=True).decide(origins=(origin,)), Accept)


async def test_too_many_from_one_address():
    """429 with Retry-After before anything is verified; other addresses do not feel it."""
    door = Door(per_address=2.0)
    answers = [await door.decide() for _ in range(5)]
    assert [isinstance(answer, Accept) for answer in answers] == [True, True, False, False, False]
    assert answers[-1].status == 429
    assert header(answers[-1], "Retry-After") == "1"
    assert len(door.verified) == 2
    assert isinstance(await door.decide(address="192.0.2.2"), Accept)
    door.now += 0.5
    assert isinstance(await door.decide(), Accept)


async def test_bad_tokens_count_towards_the_address():
    """Guessing tokens runs into the same limit."""
    door = Door(per_address=2.0)
    answers = [await door.decide(subprotocols=[JSON, "bearer.guess"]) for _ in range(3)]
    assert [answer.status for answer in answers] == [401, 401, 429]


async def test_too_many_of_one_player():
    """One player from many addresses is held back too, others are not."""
    door = Door(per_player=2.0)
    answers = [await door.decide(address=f"192.0.2.{number}") for number in range(3)]
    assert answers[-1].status == 429
    assert header(answers[-1], "Retry-After") == "1"
    decision = await door.decide(subprotocols=[JSON, "bearer.root-token"], role="admin")
    assert isinstance(decision, Accept)


async def test_over_capacity():
    """503 with Retry-After, before anything is verified."""
    door = Door()
    door.room = False
    decision = await door.decide()
    assert decision.status == 503
    assert int(header(decision, "Retry-After")) >= 1
    assert door.verified == []


async def test_over_capacity_once_the_token_is_verified():
    """What has changed meanwhile counts: a worker that began to drain lets nobody in."""
    door = Door()
    verify = door.gate._verify

    async def slowly(token):
        door.room = False
        return await verify(token)

    door.gate._verify = slowly
    decision = await door.decide()
    assert decision.status == 503
    assert int(header(decision, "Retry-After")) >= 1


async def test_oversized():
    """431 before everything else."""
    assert (await Door(per_address=1.0).decide(oversized=True)).status == 431


def scope(headers=(), query=b"", path=b"/ws", client=("192.0.2.1", 1)):
    return {"headers": list(headers), "query_string": query, "raw_path": path, "client": client}


def test_a_request_is_read_from_its_scope():
    """Subprotocols of several headers are joined, header names match in any case."""
    request = read_request(
        scope(
            [
                (b"sec-websocket-protocol", b"a, b"),
                (b"Sec-WebSocket-Protocol", b"c,,"),
                (b"origin", b"null"),
                (b"authorization", b"Bearer x"),
                (b"cookie", b"token=ann-token"),
            ],
            b"a=1",
        ),
        "admin",
    )
    assert request == HandshakeRequest("admin", "192.0.2.1", ("null",), ("a", "b", "c"), ("Bearer x",), "a=1")


@pytest.mark.parametrize(
    ("parts", "oversized"),
    [
        ({"headers": [(b"a", b"b")] * 100}, False),
        ({"headers": [(b"a", b"b")] * 101}, True),
        ({"headers": [(b"a", b"b" * 7999)]}, False),
        ({"headers": [(b"a", b"b" * 8000)]}, True),
        ({"query": b"x" * 9000}, True),
        ({"path": b"/" + b"x" * 9000}, True),
        ({"client": None}, False),
    ],
)
def test_what_is_oversized(parts, oversized):
    """More than 100 headers or 8000 bytes in one line."""
    assert read_request(scope(**parts), "player").oversized is oversized


async def test_the_gate_of_settings():
    """Settings, verifier and gate fit together."""
    settings = Settings.load({"GAMESERVER_DEV": "1"}, {"handshakes_per_address": 1})
    gate = gate_of(settings, TokenVerifier(settings.issuers).verify, lambda: True)
    request = read_request(
        scope([(b"authorization", f"Bearer {issue_token(settings, 'ann')}".encode()), (b"origin", b"http://[::1]")]),
        "player",
    )
    assert (await gate.decide(request)).status == 400
    request = read_request(scope([(b"authorization", f"Bearer {issue_token(settings, 'ann')}".encode())]), "player")
    assert isinstance(await gate.decide(request), Accept)
    assert (await gate.decide(request)).status == 429
