"""The map and the prices: pure functions."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from gameserver.worlds.frontier.galaxy import LINKS, NAMES, number_of, produce_of, room_of
from gameserver.worlds.frontier.goods import GOODS, price, price_of_buying, price_of_selling, restock

good_names = st.sampled_from(list(GOODS))
stocks = st.integers(0, 4_000)
amounts = st.integers(1, 100)


def test_there_are_twenty_sectors_with_names_of_their_own():
    """The map is as large as it says."""
    assert len(LINKS) == len(set(NAMES)) == 20
    assert [number_of(room) for room in LINKS] == list(range(1, 21))


def test_links_go_both_ways_and_never_to_oneself():
    """Who can get there can get back."""
    for room, links in LINKS.items():
        assert room not in links
        assert all(room in LINKS[other] for other in links)


def test_every_sector_can_be_reached():
    """The graph is connected, and nothing is more than five links away from anywhere."""
    for start in LINKS:
        distance = {start: 0}
        waiting = deque([start])
        while waiting:
            room = waiting.popleft()
            for other in LINKS[room]:
                if other not in distance:
                    distance[other] = distance[room] + 1
                    waiting.append(other)
        assert distance.keys() == LINKS.keys()
        assert max(distance.values()) <= 5


def test_every_good_is_made_somewhere_next_door():
    """From each sector some neighbour makes something else: there is always a trade to be made."""
    for room, links in LINKS.items():
        assert {produce_of(number_of(other)) for other in links} - {produce_of(number_of(room))}
    assert {produce_of(number_of(room_of(number))) for number in range(1, 21)} == set(GOODS)


@given(good_names, stocks)
def test_prices_fall_with_stock_and_never_to_nothing(good, stock):
    """More of it is never dearer."""
    assert price(good, stock) >= price(good, stock + 1) >= 1


@given(good_names, stocks, amounts)
def test_buying_and_selling_again_changes_nothing(good, stock, amount):
    """At one port nobody can earn, nor lose, by going round in a circle."""
    assert price_of_buying(good, stock + amount, amount) == price_of_selling(good, stock, amount)


@given(good_names, stocks, amounts, amounts)
def test_portions_do_not_matter(good, stock, first, second):
    """Selling at once or in two steps brings the same."""
    at_once = price_of_selling(good, stock, first + second)
    assert at_once == price_of_selling(good, stock, first) + price_of_selling(good, stock + first, second)


@given(stocks, stocks, st.integers(1, 50), stocks)
def test_restocking_never_overdraws(stock, target, flow, reserve):
    """Neither the stock nor the reserve falls below zero, the flow is kept, and the target is never passed."""
    moved = restock(stock, target, flow, reserve)
    assert abs(moved) <= flow
    assert stock + moved >= 0
    assert reserve - moved >= 0
    assert min(stock, target) <= stock + moved <= max(stock, target)
