"""A short run of the fuzz target, the same every time."""

from __future__ import annotations

from tests.fuzz import client_messages


def test_spoilt_messages_all_the_way() -> None:
    """Nothing raised but refusals, and the messages come to every end there is."""
    ended = client_messages.run(seed=20_261_127, count=3000)
    assert {"decoded", "BadMessage", "UnknownCommand", "InvalidArgument", "1002", "1007"} <= ended.keys()
    assert ended["decoded"] > 1000
