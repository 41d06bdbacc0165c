"""The parser of client frames for any stream: against what was meant, and against an independent implementation."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from gameserver.protocol.deflate import Inflater, deflate
from gameserver.protocol.parser import FrameParser
from tests.protocol.client_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    RSV1,
    TEXT,
    close,
    fragments,
    frame,
)

LIMIT = 400
ENDLESS = 1 << 30
LONGER_FORM = ("a length longer", "a control frame that is long")
"""How the parser's reasons begin where it may have met such a length."""
OTHER_FAULT = ((1002, 1009), (1002, 1007), (1007, 1009))
"""Our code and the library's for a frame with two faults."""
Message = tuple[int, bytes]


@dataclass(frozen=True)
class Sent:
    """A message and how it goes over the wire: where it is cut, and which control frames come behind each piece."""

    message: Message
    compressed: bool
    cuts: list[int]
    between: list[Message]

    def stream(self) -> bytes:
        opcode, payload = self.message
        reserved = RSV1 if self.compressed else 0
        payload = deflate(payload) if self.compressed else payload
        cuts = sorted(cut % (len(payload) + 1) for cut in self.cuts)
        parts = [payload[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        # All control frames stand behind the first piece; behind the only one they follow the message.
        first = frame(opcode, parts[0], fin=len(parts) == 1, reserved=reserved)
        return (
            first
            + b"".join(frame(*each) for each in self.between)
            + fragments(opcode, parts, reserved=reserved)[len(first) :]
        )

    def messages(self) -> list[Message]:
        return [*self.between, self.message] if self.cuts else [self.message, *self.between]


controls = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))
messages = st.one_of(
    st.tuples(st.just(TEXT), st.text(max_size=80).map(str.encode)),
    st.tuples(st.just(BINARY), st.binary(max_size=LIMIT)),
)
sent = st.builds(
    Sent, messages, st.booleans(), st.lists(st.integers(0, LIMIT), max_size=6), st.lists(controls, max_size=2)
)
cuts = st.lists(st.integers(0, 4000), max_size=12)


def in_reads(stream: bytes, at: list[int]) -> list[bytes]:
    """The stream, cut into reads."""
    places = sorted(place % (len(stream) + 1) for place in at)
    return [stream[start:stop] for start, stop in zip([0, *places], [*places, len(stream)], strict=True)]


@given(st.lists(sent, max_size=6), cuts)
@settings(max_examples=300, deadline=None)
def test_any_messages_in_any_pieces(all_sent: list[Sent], at: list[int]) -> None:
    """What was sent is what comes, however it was fragmented, compressed and cut into reads."""
    parser = FrameParser(LIMIT, inflater=Inflater())
    stream = b"".join(each.stream() for each in all_sent)
    read = [message for data in in_reads(stream, at) for message in parser.feed(data)]
    assert read == [message for each in all_sent for message in each.messages()]
    assert parser.fault is None
    assert not parser.unfinished


@given(st.lists(sent, min_size=1, max_size=3), cuts)
@settings(max_examples=100, deadline=None)
def test_whatever_begins_is_unfinished(all_sent: list[Sent], at: list[int]) -> None:
    """After every read, the parser says that something has begun exactly when the bytes so far end within it."""
    parser, other = FrameParser(LIMIT, inflater=Inflater()), b""
    stream = b"".join(each.stream() for each in all_sent)
    ends, end = {0}, 0
    for each in all_sent:
        whole = Sent(each.message, each.compressed, each.cuts, [])
        end += len(each.stream())
        ends.add(end)
        if not each.cuts:
            place = end - len(each.stream()) + len(whole.stream())
            ends.add(place)
            for control in each.between:
                place += len(frame(*control))
                ends.add(place)
    for data in in_reads(stream, at):
        parser.feed(data)
        other += data
        assert parser.unfinished == (len(other) not in ends)


# -- against websockets -------------------------------------------------------------------------------


class Peer:
    """The library's server, on which its users build messages: put together, and text judged, as it asks of them."""

    def __init__(self) -> None:
        quiet = logging.getLogger("websockets.quiet")
        quiet.setLevel(logging.CRITICAL + 1)
        self.protocol = ServerProtocol(state=OPEN, max_size=LIMIT, logger=quiet)
        self.messages: list[Message] = []
        self.not_text = False
        self._opcode = 0
        self._parts: list[bytes] = []

    @property
    def failed(self) -> bool:
        return self.not_text or self.protocol.parser_exc is not None

    @property
    def code(self) -> int | None:
        """The code that the connection failed with."""
        if self.not_text:
            return 1007
        sent = self.protocol.close_sent
        return int(sent.code) if self.failed and sent is not None else None

    def feed(self, data: bytes) -> None:
        if self.failed:
            return
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if not self.not_text:
                self._take(event.opcode, bytes(event.data), event.fin)

    def _take(self, opcode: int, payload: bytes, fin: bool) -> None:
        if opcode not in (CONTINUATION, TEXT, BINARY):
            self.messages.append((opcode, payload))
            return
        if opcode != CONTINUATION:
            self._opcode, self._parts = opcode, []
        self._parts.append(payload)
        whole = b"".join(self._parts)
        if self._opcode == TEXT and not is_text(whole, fin):
            self.not_text = True
        elif fin:
            self.messages.append((self._opcode, whole))


def is_text(payload: bytes, whole: bool) -> bool:
    """UTF-8; what is not whole may stop within a character."""
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        return not whole and error.reason == "unexpected end of data"
    return True


@st.composite
def any_frame(draw: st.DrawFn) -> bytes:
    """A frame that follows no rule but that its length is that of its payload, mostly."""
    opcode = draw(st.sampled_from([TEXT, BINARY, CONTINUATION, CONTINUATION, PING, PONG, CLOSE, 3, 11]))
    payload = draw(st.one_of(st.binary(max_size=130), st.text(max_size=10).map(str.encode), st.just(b"x" * LIMIT)))
    whole = frame(
        opcode,
        payload,
        fin=draw(st.booleans()),
        reserved=draw(st.sampled_from([0, 0, 0, 0, 0, 0x10, 0x20, 0x40])),
        form=draw(st.sampled_from([None, None, None, 2, 8])) if len(payload) < 126 else None,
    )
    masked = draw(st.sampled_from([True] * 9 + [False]))
    return whole if masked else whole[:1] + bytes((whole[1] & 0x7F,)) + whole[2:]


plain = sent.map(lambda each: Sent(each.message, False, each.cuts, each.between).stream())
closes = st.builds(close, st.sampled_from([1000, 1004, 1005, 1013, 3000, 5000]), st.binary(max_size=4))
streams = st.lists(st.one_of(plain, plain, closes, any_frame()), min_size=1, max_size=6).map(b"".join)
flips = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 7)), max_size=3)


def flipped(stream: bytes, bits: list[tuple[int, int]]) -> bytes:
    changed = bytearray(stream)
    for place, bit in bits:
        changed[place % len(changed)] ^= 1 << bit
    return bytes(changed)


def refuses(peer: Peer) -> bool:
    """Whether the library refuses the frame it is waiting for, once that is whole, whatever stands in it."""
    known = len(peer.messages)
    for _ in range(1 << 17):
        if peer.failed or len(peer.messages) > known:
            break
        peer.feed(b"\0")
    return peer.failed and len(peer.messages) == known


def assert_same(stream: bytes, at: list[int]) -> None:
    """Both find the same messages, and both fail, with the same code, or neither does, but for these:

    - The library takes lengths in longer forms than needed, of control frames too; RFC 6455, 5.2 does not.
    - It refuses a close frame within a fragmented message; RFC 6455, 5.4 lets control frames stand there.
    - It counts a control frame against what is left of the message's limit; we do not.
    - It judges most of a head when the payload has come; we do at once.
    - Of two faults in one frame it may name the other: a length too large rather than what else is wrong with the head,
      and a close frame's reason that is not UTF-8 rather than its code.
    """
    parser, peer = FrameParser(LIMIT, max_fragments=ENDLESS), Peer()
    ours = []
    for data in in_reads(stream, at):
        ours += parser.feed(data)
        peer.feed(data)
    failure = peer.protocol.parser_exc
    beyond = ours[len(peer.messages)][0] if len(ours) > len(peer.messages) else None
    if parser.fault is not None and parser.fault.reason.startswith(LONGER_FORM):
        assert peer.messages[: len(ours)] == ours
    elif beyond == CLOSE and str(failure) == "incomplete fragmented message":
        assert ours[:-1] == peer.messages
    elif beyond in (PING, PONG, CLOSE) and isinstance(failure, PayloadTooBig):
        assert ours[: len(peer.messages)] == peer.messages
    else:
        assert ours == peer.messages
        assert (parser.fault is not None) == (peer.failed or (parser.fault is not None and refuses(peer)))
        code = parser.fault and int(parser.fault.code)
        assert code == peer.code or (code, peer.code) in OTHER_FAULT


@given(streams, flips, cuts)
@settings(max_examples=600, deadline=None)
def test_an_independent_server_reads_the_same(stream: bytes, bits: list[tuple[int, int]], at: list[int]) -> None:
    """Streams of right and wrong frames, with bits flipped: the same messages, and the same to be refused."""
    assert_same(flipped(stream, bits), at)


@given(st.binary(max_size=300), cuts)
@settings(max_examples=200, deadline=None)
def test_an_independent_server_reads_noise_the_same(noise: bytes, at: list[int]) -> None:
    """Any bytes at all."""
    assert_same(noise, at)
