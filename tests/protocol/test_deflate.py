"""permessage-deflate: what is agreed in the handshake, and what messages become (RFC 7692)."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.headers import parse_extension

from gameserver.protocol.deflate import Inflater, TooLarge, Undecodable, deflate, largest_deflated, negotiate

INFLATER = Inflater()
PLAIN = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
BOUND = f"{PLAIN}; server_max_window_bits=15"


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ("permessage-deflate", PLAIN),
        ("permessage-deflate; client_max_window_bits", PLAIN),
        ("permessage-deflate;client_max_window_bits=8", PLAIN),
        ('permessage-deflate; client_max_window_bits="15"', PLAIN),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", PLAIN),
        (" \tpermessage-deflate ;\tclient_max_window_bits = 10 ", PLAIN),
        ("permessage-deflate; server_max_window_bits=15", BOUND),
        ('permessage-deflate; client_max_window_bits; server_max_window_bits="15"', BOUND),
        # The first that can be accepted, whatever else is offered.
        ("x-webkit-deflate-frame, permessage-deflate", PLAIN),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", PLAIN),
        ("permessage-deflate; server_max_window_bits=15, permessage-deflate", BOUND),
        ("permessage-deflate, permessage-deflate; server_max_window_bits=15", PLAIN),
        ("permessage-deflate; unknown, other; x=1; y, permessage-deflate", PLAIN),
        # A list may have empty elements.
        (", ,permessage-deflate, ,", PLAIN),
    ],
)
def test_offers_that_are_accepted(offers: str, answer: str) -> None:
    """Without context on either side; a bound of our window is answered where it was asked for (RFC 7692, 7.1)."""
    assert negotiate(offers) == answer


@pytest.mark.parametrize(
    "offers",
    [
        "",
        ",",
        "deflate",
        "permessage-deflate2",
        "x-permessage-deflate",
        "Permessage_Deflate",
        # Frames are compressed once, with one window for everybody.
        "permessage-deflate; server_max_window_bits=14",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
        "permessage-deflate; server_max_window_bits=15; server_max_window_bits=15",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=015",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=08",
        "permessage-deflate; client_max_window_bits=+9",
        "permessage-deflate; client_max_window_bits=¹⁰",
        # What is no list of extensions offers nothing.
        "permessage-deflate; client_max_window_bits=",
        'permessage-deflate; client_max_window_bits=""',
        'permessage-deflate; client_max_window_bits="10',
        'permessage-deflate; client_max_window_bits=10"',
        "permessage-deflate;",
        "permessage-deflate; ; client_max_window_bits",
        "permessage-deflate client_max_window_bits",
        "=, permessage-deflate",
        'other; x="a,permessage-deflate"',
        "permessage-deflate, other; x=;",
    ],
)
def test_offers_that_are_declined(offers: str) -> None:
    """Unknown, repeated and impossible parameters decline an offer; a header that cannot be read offers nothing."""
    assert negotiate(offers) is None


@pytest.mark.parametrize("bits", [None, True, *range(9, 16)])
@pytest.mark.parametrize("own", [None, 15])
@pytest.mark.parametrize("flags", [(False, False), (True, False), (True, True)])
def test_an_independent_client_agrees(bits: int | bool | None, own: int | None, flags: tuple[bool, bool]) -> None:
    """What `websockets` offers is accepted, and it accepts the answer and reads what is sent, as we do."""
    client = ClientPerMessageDeflateFactory(*flags, server_max_window_bits=own, client_max_window_bits=bits)
    offer = "; ".join(
        [client.name, *(name if value is None else f"{name}={value}" for name, value in client.get_request_params())]
    )
    answer = negotiate(offer)
    assert answer is not None
    ((name, parameters),) = parse_extension(answer)
    assert name == client.name
    extension = client.process_response_params(parameters, [])
    for payload in (b"", b"once", b"and again " * 500):
        received = extension.decode(Frame(Opcode.BINARY, deflate(payload), rsv1=True))
        assert bytes(received.data) == payload
        sent = bytes(extension.encode(Frame(Opcode.BINARY, payload)).data)
        assert INFLATER.inflate(sent, len(payload)) == payload


@given(st.text(alphabet='permessage-deflate;,= \t"15x', max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_header_gets_an_answer(offers: str) -> None:
    """Nothing is raised, and nothing else is answered."""
    assert negotiate(offers) in (None, PLAIN, BOUND)


@given(st.binary(max_size=3000))
@settings(max_examples=100, deadline=None)
def test_messages_come_back(payload: bytes) -> None:
    """Deflated as RFC 7692, 7.2.1 has it, and within what the parser lets pass."""
    deflated = deflate(payload)
    assert not deflated.endswith(b"\0\0\xff\xff")
    assert len(deflated) <= largest_deflated(len(payload))
    assert INFLATER.inflate(deflated, len(payload)) == payload


@pytest.mark.parametrize(
    ("deflated", "message"),
    [
        (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"Hello"),
        (b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", b"Hello"),
        (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"Hello"),
        (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", b"Hello"),
        (b"\x00", b""),
        # A final block without the empty one that the standard wants behind it.
        (b"\xf3\x48\xcd\xc9\xc9\x07\x00", b"Hello"),
    ],
)
def test_examples_of_the_standard(deflated: bytes, message: bytes) -> None:
    """RFC 7692, 7.2.3: one block, a stored one, a final one, two."""
    assert INFLATER.inflate(deflated, 100) == message


def test_a_message_that_is_cut_off() -> None:
    """Every piece of one that is shorter than the whole is refused, rather than read as something else."""
    whole = deflate(b"hello world, hello world, hello" * 20)
    plain = set()
    for size in range(len(whole)):
        try:
            plain.add(INFLATER.inflate(whole[:size], 10_000))
        except Undecodable:
            continue
    # But for the last byte, which belongs to the empty block at the end.
    assert plain <= {b"hello world, hello world, hello" * 20}


def test_a_message_that_goes_on_behind_its_final_block() -> None:
    """What stands there is not dropped without a word."""
    compress = zlib.compressobj(wbits=-15)
    final = compress.compress(b"Hello") + compress.flush()
    for more in (deflate(b"lost"), b"\0\0", b"garbage"):
        with pytest.raises(Undecodable):
            INFLATER.inflate(final + more, 100)


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_anything_else_is_refused(noise: bytes) -> None:
    """Bytes that are no deflated message raise one of the two errors, and no message is too large."""
    try:
        assert len(INFLATER.inflate(noise, 200)) <= 200
    except (TooLarge, Undecodable):
        return


@pytest.mark.parametrize("size", [1, 100, 16 * 1024, 64 * 1024])
def test_exactly_as_large_as_allowed(size: int) -> None:
    """The limit is allowed, a byte more is not."""
    payload = bytes(range(256)) * (size // 256 + 1)
    assert INFLATER.inflate(deflate(payload[:size]), size) == payload[:size]
    with pytest.raises(TooLarge):
        INFLATER.inflate(deflate(payload[:size]), size - 1)


def test_a_bomb_is_not_inflated() -> None:
    """A hundred megabytes of zeros in a hundred kilobytes cost no more memory than the limit."""
    compress = zlib.compressobj(wbits=-15)
    bomb = b"".join(compress.compress(bytes(1 << 20)) for _ in range(100)) + compress.flush(zlib.Z_SYNC_FLUSH)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            INFLATER.inflate(bomb, 16 * 1024)
        assert tracemalloc.get_traced_memory()[1] < len(bomb) + (1 << 18)
    finally:
        tracemalloc.stop()
