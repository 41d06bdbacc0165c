"""Where connections come from, as far as the operator has told: networks with names."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network


class Places:
    """`words` are like `eu=192.0.2.0/24`; a place may have several. Raises ValueError for others."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._networks: list[tuple[Network, str]] = []
        for word in words:
            place, found, network = word.partition("=")
            if not found or not place.strip():
                raise ValueError(f"{word!r} is not like eu=192.0.2.0/24")
            self._networks.append((ip_network(network.strip()), place.strip()))
        # The narrowest comes first, whatever else contains it.
        self._networks.sort(key=lambda known: known[0].prefixlen, reverse=True)

    def of(self, address: str) -> str:
        """The place of an address, or of a network that stands for one; empty when it is nowhere known."""
        if not self._networks:
            return ""
        try:
            given = ip_network(address, strict=False)
        except ValueError:
            return ""
        return next((place for network, place in self._networks if _within(given, network)), "")


ANYWHERE = Places()
"""Nothing has a name."""


def _within(given: Network, network: Network) -> bool:
    if isinstance(given, IPv4Network):
        return isinstance(network, IPv4Network) and given.subnet_of(network)
    return isinstance(network, IPv6Network) and given.subnet_of(network)
