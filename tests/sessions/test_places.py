"""Networks that have names."""

from __future__ import annotations

import pytest

from gameserver.sessions.places import Places

PLACES = Places(["eu=192.0.2.0/24", "home = 192.0.2.128/25", "eu=2001:db8::/32", "us=10.0.0.0/8"])


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.7", "eu"),
        ("192.0.2.200", "home"),
        ("2001:db8:0:7::/64", "eu"),
        ("10.9.8.7", "us"),
        ("198.51.100.1", ""),
        ("::1", ""),
        ("local", ""),
    ],
)
def test_the_narrowest_network_says_where(address: str, place: str) -> None:
    """IPv6 counts by its /64, and what is no address is nowhere."""
    assert PLACES.of(address) == place


@pytest.mark.parametrize("word", ["eu", "=10.0.0.0/8", "eu=", "eu=10.0.0.1/8", "eu=somewhere"])
def test_what_names_no_network(word: str) -> None:
    """A name, an equals sign and a network."""
    with pytest.raises(ValueError, match=r".+"):
        Places([word])


def test_nothing_is_known_by_default() -> None:
    """Without names everybody is in one place."""
    assert Places().of("192.0.2.7") == ""
