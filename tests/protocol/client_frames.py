"""Frames as a client sends them, right or wrong in any way one likes."""

from __future__ import annotations

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
MASK = b"\x5a\x01\xf0\x33"


def masked(payload: bytes, mask: bytes = MASK) -> bytes:
    """RFC 6455, 5.3, as it is written there."""
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def head(opcode: int, size: int, *, fin: bool = True, reserved: int = 0, form: int | None = None) -> bytes:
    """A masked frame up to its mask; `form` is the number of bytes of an extended length (0, 2 or 8)."""
    if form is None:
        form = 0 if size < 126 else 2 if size < 65536 else 8
    first = FIN * fin | reserved | opcode
    short = size if form == 0 else 126 if form == 2 else 127
    return bytes((first, 0x80 | short)) + (size.to_bytes(form, "big") if form else b"") + MASK


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, form: int | None = None) -> bytes:
    """A whole masked frame."""
    return head(opcode, len(payload), fin=fin, reserved=reserved, form=form) + masked(payload)


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


def fragments(opcode: int, parts: list[bytes], *, reserved: int = 0) -> bytes:
    """A message of one frame a part."""
    last = len(parts) - 1
    return b"".join(
        frame(CONTINUATION if index else opcode, part, fin=index == last, reserved=0 if index else reserved)
        for index, part in enumerate(parts)
    )
