"""From where a connection comes, for limits per address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

_IPV6_SITE = 64
"""A household has a whole /64: limits per single IPv6 address would limit nobody."""


def read_networks(words: Iterable[str]) -> tuple[Network, ...]:
    return tuple(ip_network(word) for word in words)


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address to count by; `forwarded_for` are the values of X-Forwarded-For, in their order.

    The header is believed only as far as trusted proxies wrote it: from its end backwards, while the address
    so far is one of theirs. IPv6 counts by /64. A peer without an address (a Unix socket) is `local`.
    """
    hops = [hop.strip() for value in forwarded_for for hop in value.split(",")] if trusted else []
    current = _parse(peer or "")
    if current is None:
        return "local"
    while hops and _is_trusted(current, trusted):
        hop = _parse(hops.pop())
        if hop is None:
            break
        current = hop
    if isinstance(current, IPv6Address):
        return str(ip_network((current, _IPV6_SITE), strict=False))
    return str(current)


@lru_cache(maxsize=1024)
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_trusted(address: IPv4Address | IPv6Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)
