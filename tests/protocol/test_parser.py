"""The parser of client frames, rule by rule of RFC 6455 and RFC 7692."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.protocol.closing import MAX_REASON, NO_CODE, close_frame, read_close
from gameserver.protocol.deflate import Inflater, deflate, largest_deflated
from gameserver.protocol.frames import encode_frame, encode_pong, payload_of
from gameserver.protocol.parser import FrameParser
from tests.protocol.client_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    MASK,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    close,
    fragments,
    frame,
    head,
)

LIMIT = 1000
BEFORE = frame(TEXT, b"before")
EURO = "€".encode()


def parser(limit: int = LIMIT, max_fragments: int = 64) -> FrameParser:
    return FrameParser(limit, max_fragments=max_fragments)


def inflating(limit: int = LIMIT) -> FrameParser:
    return FrameParser(limit, inflater=Inflater())


def assert_fails(stream: bytes, code: int, *, inflates: bool = False) -> None:
    """The stream breaks a rule, read at once or byte by byte, and what came before it is still told."""
    for one_by_one in (False, True):
        reading = inflating() if inflates else parser()
        pieces = [bytes((byte,)) for byte in BEFORE + stream] if one_by_one else [BEFORE + stream]
        seen = [message for piece in pieces for message in reading.feed(piece)]
        assert seen[0] == (TEXT, b"before")
        assert reading.fault is not None, stream
        assert reading.fault.code == code, reading.fault
        assert 0 < len(reading.fault.reason.encode()) <= MAX_REASON
        assert not reading.unfinished
        assert reading.feed(BEFORE) == []


# -- what is right ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4, 125, 126, 127, 65535, 65536, 70000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_whole_messages_of_every_form_of_length(opcode: int, size: int) -> None:
    """Each of the three forms, at its edges."""
    reading = parser(100_000)
    assert reading.feed(frame(opcode, b"x" * size)) == [(opcode, b"x" * size)]
    assert (reading.fault, reading.unfinished) == (None, False)


def test_many_frames_of_one_read_come_in_order() -> None:
    """Data and control frames as they came, whatever stands beside them."""
    reading = parser()
    stream = frame(TEXT, b"1") + frame(PING, b"2") + frame(BINARY, b"3") + frame(PONG) + frame(TEXT, b"x" * 200)
    assert reading.feed(stream) == [(TEXT, b"1"), (PING, b"2"), (BINARY, b"3"), (PONG, b""), (TEXT, b"x" * 200)]


def test_control_frames_stand_between_fragments() -> None:
    """They come at once, and the message when it is whole (RFC 6455, 5.4)."""
    reading = parser()
    stream = frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(CONTINUATION, b"b", fin=False)
    assert reading.feed(stream) == [(PING, b"p")]
    assert reading.unfinished
    assert reading.feed(frame(CONTINUATION, b"c")) == [(TEXT, b"abc")]
    assert not reading.unfinished
    assert reading.feed(frame(BINARY, b"next")) == [(BINARY, b"next")]


def test_messages_of_empty_fragments() -> None:
    """A message may be empty in every frame."""
    assert parser().feed(fragments(BINARY, [b"", b"", b""])) == [(BINARY, b"")]


@pytest.mark.parametrize("cut", range(1, len(frame(TEXT, b"x" * 200))))
def test_unfinished_from_the_first_byte_to_the_last(cut: int) -> None:
    """A frame that has begun is unfinished until it is whole."""
    stream = frame(TEXT, b"x" * 200)
    reading = parser()
    assert not reading.unfinished
    assert reading.feed(stream[:cut]) == []
    assert reading.unfinished
    assert reading.feed(stream[cut:]) == [(TEXT, b"x" * 200)]
    assert not reading.unfinished


def test_a_mask_of_zeros_is_a_mask() -> None:
    """What the client XORs with is its own matter."""
    assert parser().feed(bytes((FIN | TEXT, 0x83)) + b"\0\0\0\0abc") == [(TEXT, b"abc")]


def test_nothing_behind_a_close_frame_is_read() -> None:
    """Neither in the same read, nor later, right or wrong; it is no fault (RFC 6455, 5.5.1)."""
    reading = parser()
    assert reading.feed(BEFORE + close(1000, b"bye") + frame(TEXT, b"late") + b"\xff\xff") == [
        (TEXT, b"before"),
        (CLOSE, b"\x03\xe8bye"),
    ]
    assert reading.feed(frame(TEXT, b"later")) == []
    assert (reading.fault, reading.unfinished) == (None, False)


def test_a_close_frame_ends_a_message_that_has_begun() -> None:
    """The message is given up."""
    reading = parser()
    assert reading.feed(frame(TEXT, b"a", fin=False) + close(1001)) == [(CLOSE, b"\x03\xe9")]
    assert not reading.unfinished


# -- frames -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reserved", [RSV1, RSV2, RSV3, RSV2 | RSV3])
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
def test_reserved_bits(opcode: int, reserved: int) -> None:
    """None may be set where no extension says what it means (RFC 6455, 5.2)."""
    assert_fails(frame(opcode, b"", reserved=reserved), 1002)


@pytest.mark.parametrize("reserved", [RSV2, RSV3])
def test_reserved_bits_beside_compression(reserved: int) -> None:
    """permessage-deflate gives a meaning to the first of them only."""
    assert_fails(frame(TEXT, deflate(b"x"), reserved=RSV1 | reserved), 1002, inflates=True)


@pytest.mark.parametrize("opcode", [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF])
def test_unknown_opcodes(opcode: int) -> None:
    """Reserved opcodes, of data and of control."""
    assert_fails(frame(opcode, b""), 1002)


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
@pytest.mark.parametrize("size", [0, 2, 300])
def test_frames_without_mask(opcode: int, size: int) -> None:
    """A client masks all that it sends (RFC 6455, 5.1)."""
    stream = bytearray(head(opcode, size)[:-4] + b"x" * size)
    stream[1] &= 0x7F
    assert_fails(bytes(stream), 1002)


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_control_frames_are_short_and_whole(opcode: int) -> None:
    """At most 125 bytes, never in fragments (RFC 6455, 5.5), and as much is known from the head alone."""
    assert_fails(head(opcode, 126)[:2], 1002)
    assert_fails(head(opcode, 70_000)[:2], 1002)
    assert_fails(frame(opcode, b"", fin=False), 1002)
    assert_fails(frame(opcode, b"abc", form=2), 1002)


def test_the_longest_control_frame() -> None:
    """125 bytes are allowed, even where no message may be as long."""
    assert parser(64).feed(frame(PING, b"x" * 125)) == [(PING, b"x" * 125)]


@pytest.mark.parametrize(("size", "form"), [(0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8)])
def test_lengths_longer_than_they_need_to_be(size: int, form: int) -> None:
    """The shortest form must be used (RFC 6455, 5.2)."""
    assert_fails(head(BINARY, size, form=form), 1002)


@pytest.mark.parametrize("size", [1 << 63, (1 << 64) - 1, (1 << 63) + 5])
def test_the_top_bit_of_a_length(size: int) -> None:
    """It must be 0 (RFC 6455, 5.2); whatever else it is, such a message is too large."""
    assert_fails(head(BINARY, size), 1009)


def test_a_continuation_of_nothing() -> None:
    """Neither at the start, nor after a message that is whole, final or not."""
    assert_fails(frame(CONTINUATION, b"x"), 1002)
    assert_fails(frame(CONTINUATION, b"x", fin=False), 1002)
    assert_fails(fragments(TEXT, [b"a", b"b"]) + frame(CONTINUATION, b"c"), 1002)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("fin", [True, False])
def test_a_message_inside_another(opcode: int, fin: bool) -> None:
    """Messages do not interleave (RFC 6455, 5.4)."""
    assert_fails(frame(TEXT, b"a", fin=False) + frame(opcode, b"b", fin=fin), 1002)


# -- text ---------------------------------------------------------------------------------------------

NOT_UTF8 = [
    b"\xff",
    b"\x80",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
]


@pytest.mark.parametrize("wrong", NOT_UTF8)
@pytest.mark.parametrize("size", [0, 200])
def test_text_that_is_not_utf8(wrong: bytes, size: int) -> None:
    """Stray bytes, overlong forms, surrogates, beyond U+10FFFF, in short frames and long (RFC 6455, 8.1)."""
    assert_fails(frame(TEXT, b"x" * size + wrong), 1007)
    assert_fails(frame(TEXT, wrong + b"x" * size), 1007)


def test_text_that_stops_within_a_character() -> None:
    """In one frame, and at the end of several."""
    assert_fails(frame(TEXT, EURO[:2]), 1007)
    assert_fails(fragments(TEXT, [b"a", EURO[:2]]), 1007)
    assert_fails(fragments(TEXT, [EURO[:2], b""]), 1007)


def test_characters_may_be_cut_between_fragments() -> None:
    """What counts is the message."""
    text = "κόσμε €😀".encode()
    assert parser().feed(fragments(TEXT, [bytes((byte,)) for byte in text])) == [(TEXT, text)]


def test_wrong_text_fails_with_the_fragment_that_proves_it() -> None:
    """Nothing more is waited for."""
    assert_fails(frame(TEXT, b"a\xff", fin=False), 1007)
    assert_fails(frame(TEXT, EURO[:1], fin=False) + frame(CONTINUATION, b"a", fin=False), 1007)


def test_binary_messages_hold_anything() -> None:
    """Whole or in fragments."""
    assert parser().feed(frame(BINARY, b"\xff\xfe") + fragments(BINARY, [b"\xe2", b"\xff"])) == [
        (BINARY, b"\xff\xfe"),
        (BINARY, b"\xe2\xff"),
    ]


# -- limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [64, 125, 126, 127, 1000, 65535, 65536])
def test_messages_as_large_as_allowed(limit: int) -> None:
    """The limit itself is allowed, whole or in fragments; a byte more is not, and the head says so."""
    whole = b"x" * limit
    assert parser(limit).feed(frame(BINARY, whole) + fragments(BINARY, [whole[:50], b"", whole[50:]])) == [
        (BINARY, whole),
        (BINARY, whole),
    ]
    for stream in (head(BINARY, limit + 1), frame(TEXT, whole, fin=False) + head(CONTINUATION, 1)):
        reading = parser(limit)
        assert reading.feed(stream) == []
        assert reading.fault is not None
        assert reading.fault.code == 1009


@pytest.mark.parametrize("size", [LIMIT + 1, 65536, 1 << 40, (1 << 63) - 1])
@pytest.mark.parametrize("cut", range(11))
def test_too_large_however_the_length_is_cut(size: int, cut: int) -> None:
    """A length that comes in two reads is as much too large, and nothing of the frame is kept."""
    stream = head(BINARY, size) + b"x" * 100
    reading = parser()
    assert reading.feed(stream[:cut]) == []
    assert reading.feed(stream[cut:]) == []
    assert reading.fault is not None
    assert reading.fault.code == 1009
    assert not reading.unfinished


def test_fragments_are_counted() -> None:
    """As many frames as allowed, empty ones too; one more is a policy violation, from its head on."""
    for empty in (b"", b"x"):
        reading = parser(max_fragments=4)
        assert reading.feed(fragments(BINARY, [empty] * 4)) == [(BINARY, empty * 4)]
        assert reading.feed(frame(BINARY, empty, fin=False) + frame(CONTINUATION, empty, fin=False) * 3) == []
        assert reading.fault is None
        assert reading.feed(frame(CONTINUATION, empty)[:2]) == []
        assert reading.fault is not None
        assert reading.fault.code == 1008


def test_memory_stays_with_the_limit() -> None:
    """A peer that says more than it may, in any number of bytes, is not remembered."""
    reading = parser(16 * 1024)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        piece = b"x" * 4096
        reading.feed(b"\x82")
        reading.feed(head(BINARY, 1 << 40)[1:])
        for _ in range(1000):
            reading.feed(piece)
        assert tracemalloc.get_traced_memory()[1] - before < 32 * 1024
    finally:
        tracemalloc.stop()


def test_an_idle_parser_keeps_nothing() -> None:
    """After whatever it read, it is as small as at first."""
    count = 1000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        parsers = [parser() for _ in range(count)]
        for each in parsers:
            each.feed(frame(TEXT, b"x" * 900)[:500])
            each.feed(frame(TEXT, b"x" * 900)[500:] + fragments(TEXT, [b"a", b"b"]))
        assert (tracemalloc.get_traced_memory()[0] - before) / count < 200
    finally:
        tracemalloc.stop()


# -- close frames -------------------------------------------------------------------------------------

SENT = [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4409, 4999]
NEVER_SENT = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


@pytest.mark.parametrize("code", SENT)
def test_codes_that_a_peer_may_close_with(code: int) -> None:
    """Those of the protocol and its registry, of libraries and of applications (RFC 6455, 7.4)."""
    reading = parser()
    ((opcode, payload),) = reading.feed(close(code, "adiós".encode()))
    assert (opcode, read_close(payload)) == (CLOSE, (code, "adiós"))
    assert reading.fault is None


@pytest.mark.parametrize("code", NEVER_SENT)
def test_codes_that_nobody_may_send(code: int) -> None:
    """Reserved for what happens without a close frame, or not given out."""
    assert_fails(close(code), 1002)


def test_close_frames_without_a_code() -> None:
    """No payload is a payload; one byte is none."""
    ((opcode, payload),) = parser().feed(frame(CLOSE))
    assert (opcode, read_close(payload)) == (CLOSE, (NO_CODE, ""))
    assert_fails(frame(CLOSE, b"\x03"), 1002)


@pytest.mark.parametrize("wrong", NOT_UTF8)
def test_reasons_that_are_not_utf8(wrong: bytes) -> None:
    """A reason is text."""
    assert_fails(close(1000, wrong), 1007)


@given(st.sampled_from(SENT), st.text(max_size=130))
@settings(max_examples=100, deadline=None)
def test_reasons_of_ours_are_cut_between_characters(code: int, reason: str) -> None:
    """A close frame of ours is a control frame, and its reason text, however long it was."""
    whole = close_frame(code, reason)
    assert (whole[0], whole[1]) == (FIN | CLOSE, len(whole) - 2)
    assert len(whole) <= 127
    read_code, read_reason = read_close(whole[2:])
    assert read_code == code
    assert reason.startswith(read_reason)
    # No more is missing than the character that did not fit.
    assert read_reason == reason or len(read_reason.encode()) > MAX_REASON - 4


def test_a_close_frame_of_ours_without_a_code() -> None:
    """1005 says that there was none, and is not sent."""
    assert close_frame(NO_CODE, "whatever") == b"\x88\x00"


@pytest.mark.parametrize("size", [0, 1, 125])
def test_pongs(size: int) -> None:
    """The ping's payload comes back in a final, unmasked frame (RFC 6455, 5.5.3)."""
    assert encode_pong(b"p" * size) == bytes((FIN | PONG, size)) + b"p" * size


# -- compressed messages ------------------------------------------------------------------------------


def test_compressed_and_plain_messages_side_by_side() -> None:
    """Each message says for itself whether it is compressed (RFC 7692, 6)."""
    text = "zażółć ".encode() * 40
    stream = (
        frame(TEXT, deflate(text), reserved=RSV1) + frame(TEXT, b"plain") + frame(BINARY, deflate(b""), reserved=RSV1)
    )
    reading = inflating()
    assert reading.inflates
    assert reading.feed(stream) == [(TEXT, text), (TEXT, b"plain"), (BINARY, b"")]
    assert reading.fault is None


@pytest.mark.parametrize("size", [1, 2, 7])
def test_compressed_messages_in_fragments(size: int) -> None:
    """Only the first frame says so, and the rest may be cut anywhere, control frames between."""
    text = "zażółć gęślą jaźń".encode()
    whole = deflate(text)
    parts = [whole[start : start + size] for start in range(0, len(whole), size)]
    stream = fragments(TEXT, parts, reserved=RSV1)
    first = len(frame(TEXT, parts[0]))
    assert inflating().feed(stream[:first] + frame(PING) + stream[first:]) == [(PING, b""), (TEXT, text)]


def test_the_bit_of_compression_stands_on_the_first_frame_only() -> None:
    """Not on a continuation, nor on a control frame (RFC 7692, 6.1)."""
    assert_fails(
        frame(TEXT, b"", fin=False, reserved=RSV1) + frame(CONTINUATION, b"", reserved=RSV1), 1002, inflates=True
    )
    assert_fails(frame(PING, b"", reserved=RSV1), 1002, inflates=True)


def test_compressed_text_that_is_not_utf8() -> None:
    """Text is judged as it was before compression."""
    assert_fails(frame(TEXT, deflate(b"\xff"), reserved=RSV1), 1007, inflates=True)


@pytest.mark.parametrize("wrong", [b"\xff\xff\xff", deflate(b"abcdefgh")[:-2], deflate(b"a" * 500)[:3]])
def test_what_is_not_deflated(wrong: bytes) -> None:
    """Other bytes, and deflated ones that were cut off."""
    assert_fails(frame(BINARY, wrong, reserved=RSV1), 1007, inflates=True)


def test_what_would_be_too_large_when_inflated() -> None:
    """The limit is on the message, whole or in fragments, not on what it was compressed to."""
    bomb = deflate(b"\0" * 200_000)
    assert len(bomb) < LIMIT
    assert_fails(frame(BINARY, bomb, reserved=RSV1), 1009, inflates=True)
    assert_fails(fragments(BINARY, [bomb[:10], bomb[10:]], reserved=RSV1), 1009, inflates=True)
    assert inflating().feed(frame(BINARY, deflate(b"\0" * LIMIT), reserved=RSV1)) == [(BINARY, b"\0" * LIMIT)]


def test_what_does_not_compress_may_be_as_large_as_anything() -> None:
    """Deflating random bytes makes them more, which is not the client's fault; there is an end to that too."""
    noise = bytes((index * index * 7 + index // 3) % 251 for index in range(LIMIT))
    grown = b"".join(
        bytes((0,)) + len(part).to_bytes(2, "little") + (0xFFFF - len(part)).to_bytes(2, "little") + part
        for part in (noise[start : start + 200] for start in range(0, LIMIT, 200))
    )
    assert LIMIT < len(grown) <= largest_deflated(LIMIT)
    assert inflating().feed(frame(BINARY, grown + b"\0", reserved=RSV1)) == [(BINARY, noise)]
    assert_fails(head(BINARY, largest_deflated(LIMIT) + 1, reserved=RSV1), 1009, inflates=True)
    assert_fails(head(BINARY, LIMIT + 1), 1009, inflates=True)


# -- what the server sends ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
@pytest.mark.parametrize("text", [True, False])
def test_compressed_frames_of_ours(text: bool, size: int) -> None:
    """The same frame but for the bit that says so; whoever expects plain ones refuses it."""
    plain, compressed = encode_frame(b"x" * size, text), encode_frame(b"x" * size, text, compressed=True)
    assert compressed == bytes((plain[0] | RSV1,)) + plain[1:]
    with pytest.raises(ValueError):
        payload_of(compressed)


def test_masks_are_applied_from_the_start_of_each_frame() -> None:
    """Each fragment begins with the mask's first byte (RFC 6455, 5.3)."""
    assert parser().feed(fragments(BINARY, [b"abcde", MASK, b"xyz"])) == [(BINARY, b"abcde" + MASK + b"xyz")]
