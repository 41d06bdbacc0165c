"""Chat in its channels, status, announcements."""

import pytest

from gameserver.errors import InvalidArgument, NotFound, Rejected


@pytest.fixture
def cas(world, ada, bob):
    """A player of Ada's team in another sector."""
    cas = world.join("cas", team="red")
    cas.move(to="sector:8")
    return cas


@pytest.mark.parametrize(
    ("channel", "room", "hearers"),
    [
        ("global", "global", {"ada", "bob", "cas"}),
        ("sector", "sector:1", {"ada", "bob"}),
        ("team", "team:red", {"ada", "cas"}),
    ],
)
def test_a_channel_reaches_its_room(world, ada, bob, cas, channel, room, hearers):
    """Everybody there hears it, nobody else, in the lane of chat."""
    ada.chat(channel=channel, text="hello")
    heard = {player.id: player.heard("chat") for player in (ada, bob, cas)}
    assert {player for player, events in heard.items() if events} == hearers
    event = heard["ada"][0]
    assert (event.room, event.sender, event.priority) == (room, "ada", "chat")
    assert event.data == {"channel": channel, "text": "hello", "name": "Ada"}


def test_a_private_message_is_in_both_private_rooms(world, ada, bob, cas):
    """One commit, two events: the sender's other devices see it as well."""
    seqs = ada.chat(channel="private", text="psst", to="bob")
    assert seqs.keys() == {"private:ada", "private:bob"}
    for player in (ada, bob):
        (event,) = player.heard("chat")
        assert event.room == f"private:{player.id}"
        assert (event.sender, event.data) == (
            "ada",
            {"channel": "private", "text": "psst", "name": "Ada", "to": "bob"},
        )
    assert not cas.heard("chat")


def test_chat_changes_no_state(world, ada, bob):
    """Events only: nothing that could conflict with anybody."""
    before = world.states()
    ada.chat(channel="global", text="one")
    ada.chat(channel="private", text="two", to="bob")
    assert world.states() == before


def test_a_private_message_hardly_reads_anything(ada, bob, rooms_read):
    """Whether the other was ever here, and nothing of one's own room."""
    ada.chat(channel="private", text="psst", to="bob")
    assert rooms_read == {"private:bob"}
    assert bob.heard("chat")


def test_nobody_is_talked_into_being(world, ada):
    """A name that was never here is refused, and gets no room."""
    with pytest.raises(NotFound):
        ada.chat(channel="private", text="anyone?", to="nobody")
    assert "private:nobody" not in world.rooms()


@pytest.mark.parametrize(
    "arguments",
    [
        {"channel": "private", "text": "to whom?"},
        {"channel": "private", "text": "bad id", "to": "a b"},
        {"channel": "private", "text": "bad id", "to": ""},
        {"channel": "private", "text": "a room is no player", "to": "private:bob"},
        {"channel": "global", "text": "to nobody", "to": "bob"},
        {"channel": "system", "text": "I am the server"},
        {"channel": "global", "text": ""},
        {"channel": "global", "text": "  \n"},
        {"channel": "global", "text": "x" * 501},
        {"channel": "global", "text": 7},
        {"channel": "global"},
    ],
)
def test_nonsense_is_not_said(world, ada, arguments):
    """Refused before anybody hears it."""
    with pytest.raises(InvalidArgument):
        ada.chat(**arguments)
    assert not ada.heard("chat")


def test_team_chat_needs_a_team(world):
    """The refusal says so."""
    loner = world.join("dee")
    with pytest.raises(Rejected) as refused:
        loner.chat(channel="team", text="anyone?")
    assert refused.value.code == "no_team"


def test_talking_to_oneself_is_refused(ada):
    """It would be one event twice in the same room."""
    with pytest.raises(Rejected) as refused:
        ada.chat(channel="private", text="well", to="ada")
    assert refused.value.code == "to_yourself"


@pytest.mark.parametrize("status", ["away", "busy", "online"])
def test_a_status_is_seen_in_sector_and_team(world, ada, status):
    """Both presences change in one commit."""
    ada.status(status="busy" if status == "online" else "online")
    ada.status(status=status)
    assert world.state("sector:1")["player:ada"]["status"] == status
    assert world.state("team:red")["player:ada"]["status"] == status


@pytest.mark.parametrize("status", ["in_combat", "hidden", ""])
def test_only_some_statuses_are_for_players_to_set(ada, status):
    """The rest is the server's."""
    with pytest.raises(InvalidArgument):
        ada.status(status=status)


def test_nobody_talks_themselves_out_of_combat(world, ada, bob):
    """While a fight lasts the status stays."""
    ada.attack(target="ship:bob", drones=1)
    with pytest.raises(Rejected) as refused:
        bob.status(status="away")
    assert refused.value.code == "in_combat"


def test_there_is_news_once_a_minute(world, ada):
    """To everybody, in the system's lane, from nobody."""
    world.tick(seconds=61)
    news = ada.heard("announcement")
    assert len(news) == 1
    assert {(event.room, event.sender, event.priority) for event in news} == {("global", None, "system")}
