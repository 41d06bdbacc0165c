"""Close frames (RFC 6455, sections 5.5.1 and 7.4)."""

from __future__ import annotations

MAX_REASON = 123
"""Bytes of a reason, in UTF-8."""
NO_CODE = 1005
"""Stands for a close frame without a code, or an end without a close frame; never sent itself."""

_CLOSE = 0x88
_REGISTERED = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))


def may_be_sent(code: int) -> bool:
    """Whether a code may stand in a close frame."""
    return code in _REGISTERED or 3000 <= code < 5000


def close_frame(code: int, reason: str) -> bytes:
    """A server's close frame; a long reason is cut between characters."""
    if code == NO_CODE:
        return bytes((_CLOSE, 0))
    payload = code.to_bytes(2, "big") + reason.encode()[:MAX_REASON].decode(errors="ignore").encode()
    return bytes((_CLOSE, len(payload))) + payload


def read_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame that was found valid."""
    return (int.from_bytes(payload[:2], "big"), payload[2:].decode()) if payload else (NO_CODE, "")
