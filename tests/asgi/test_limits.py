import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameserver.asgi.addresses import client_address, read_networks
from gameserver.asgi.limits import KeyedRate

PROXIES = read_networks(["10.0.0.0/8", "fd00::/8"])


@settings(max_examples=50, deadline=None)
@given(
    rate=st.floats(0.5, 50),
    burst=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 1), min_size=1, max_size=200),
)
def test_never_more_than_burst_and_rate_allow(rate, burst, gaps):
    """In any stretch of time, what is allowed stays within the burst and what the rate adds."""
    limiter = KeyedRate(rate, burst)
    now, allowed = 1000.0, []
    for gap in gaps:
        now += gap
        wait = limiter.take("k", now)
        if wait == 0:
            allowed.append(now)
        else:
            assert limiter.take("k", now + wait / 2 - 1e-6) > 0 or wait < 1e-5
    for start in range(len(allowed)):
        for end in range(start, len(allowed)):
            assert end - start + 1 <= burst + rate * (allowed[end] - allowed[start]) + 1e-3


def test_the_wait_that_is_told_is_enough():
    """Whoever comes back when told is let in."""
    limiter = KeyedRate(2.0, 3)
    assert [limiter.take("k", 5.0) for _ in range(3)] == [0, 0, 0]
    wait = limiter.take("k", 5.0)
    assert wait == pytest.approx(0.5)
    assert limiter.take("k", 5.0 + wait) == 0


def test_memory_is_bounded():
    """Keys that recovered are forgotten; when too many are in debt, the oldest are."""
    limiter = KeyedRate(1.0, 1, most=100)
    for number in range(10_000):
        limiter.take(str(number), 0.0)
    assert len(limiter) <= 100
    assert limiter.take("9999", 0.0) > 0
    limiter.take("later", 100.0)
    for number in range(200):
        limiter.take(f"n{number}", 200.0 + number)
    assert len(limiter) <= 100


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["1.2.3.4", "198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["junk"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, junk, 10.0.0.2"], "10.0.0.2"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("fd00::1", ["2001:db8:1:2::9"], "2001:db8:1:2::/64"),
        (None, [], "local"),
        ("", ["1.2.3.4"], "local"),
    ],
)
def test_the_address_counted_by(peer, forwarded, address):
    """X-Forwarded-For counts as far back as trusted proxies wrote it, and no further."""
    assert client_address(peer, forwarded, PROXIES) == address
