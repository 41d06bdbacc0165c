"""The world under test: small games that show what an author can rely on."""

import itertools
from typing import Annotated

import msgspec
import pytest

from gameserver import Context, Game, Rejected, f32
from gameserver.errors import Forbidden, GameserverError, InvalidArgument, NotFound, UnknownCommand
from gameserver.testing import START, World


def small_game():
    """Players count up and pick apples; a clock ticks."""
    game = Game("small", start="sector:a")

    @game.entity
    class Me:
        count: int = 0
        apples: int = 0

    @game.entity
    class Tree:
        apples: int = 3
        height: f32 = 1.0

    @game.entity
    class Clock:
        beats: int = 0
        seconds: float = 0.0
        rolled: list[int] = []  # noqa: RUF012

    @game.command(priority="trade")
    def pick(ctx: Context, amount: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1) -> None:
        tree = ctx.sector["tree"]
        if tree.apples < amount:
            raise Rejected("too_few", have=tree.apples)
        tree.apples -= amount
        ctx.me.apples += amount
        ctx.sector.event("picked", by=ctx.player)

    @game.command(name="raise", roles=("admin",))
    def grow(ctx: Context) -> None:
        ctx.sector["tree"].height += 0.1

    @game.command()
    def go(ctx: Context, to: str) -> None:
        ctx.move(to)
        ctx.sector.event("came")

    @game.command()
    def count(ctx: Context) -> None:
        ctx.me.count += 1

    @game.command()
    def wait(ctx: Context) -> None:
        ctx.sector.get("tree")

    @game.tick(hz=4, rooms="global", priority="system")
    def beat(ctx: Context, dt: float) -> None:
        clock = ctx.world["clock"]
        clock.beats += 1
        clock.seconds += dt
        clock.rolled = [*clock.rolled, ctx.random.randint(1, 6)]

    @game.on_create
    def plant(ctx: Context) -> None:
        ctx.world.create("clock")
        for name in "ab":
            ctx.room(f"sector:{name}").create("tree")

    @game.on_enter
    def greet(ctx: Context) -> None:
        ctx.world.event("welcome", player=ctx.player)

    @game.on_leave
    def part(ctx: Context) -> None:
        ctx.world.event("farewell", player=ctx.player)

    return game


@pytest.fixture
def world():
    return World(small_game(), seed=5)


@pytest.fixture
def ada(world):
    return world.join("ada", name="Ada", team="red")


@pytest.fixture
def bob(world):
    return world.join("bob")


def test_a_command_is_a_method_and_answers_its_seqs(world, ada):
    """What an acknowledgement would carry: the rooms it changed, with their new seqs."""
    assert ada.pick(amount=2) == {"private:ada": 2, "sector:a": 3}
    assert ada.me.apples == 2
    assert world.entity("sector:a", "tree").apples == 1
    assert ada.pick() == {"private:ada": 3, "sector:a": 4}


def test_a_refusal_is_raised_and_leaves_no_trace(world, ada):
    """As `Rejected`, with its details."""
    before = world.states()
    with pytest.raises(Rejected) as refused:
        ada.pick(amount=4)
    assert (refused.value.code, refused.value.details) == ("too_few", {"have": 3})
    assert world.states() == before
    assert not ada.heard("picked")


def test_a_command_that_changes_nothing_commits_nothing(ada):
    """No room moves on."""
    assert ada.wait() == {}


@pytest.mark.parametrize("arguments", [{"amount": 0}, {"amount": 6}, {"amount": "1"}, {"count": 1}])
def test_arguments_are_validated_as_on_the_wire(ada, arguments):
    """The signature's types and bounds hold in a test as well."""
    with pytest.raises(InvalidArgument):
        ada.pick(**arguments)


def test_what_is_no_command_is_no_method(ada):
    """A misspelt command fails in the test that has it."""
    with pytest.raises(AttributeError, match="no command 'pikc'"):
        ada.pikc()
    with pytest.raises(UnknownCommand):
        ada.send("pikc")


def test_commands_have_roles(world, ada):
    """A player cannot do what is for admins; a name that is no Python name can still be sent."""
    with pytest.raises(Forbidden):
        ada.send("raise")
    world.join("root", role="admin").send("raise")
    assert world.entity("sector:a", "tree").height == pytest.approx(1.1, abs=1e-6)


def test_joining_makes_a_player_present(world, ada):
    """Presence in sector and team, placement and session in the private room, as on a server."""
    for room in ("sector:a", "team:red"):
        assert world.state(room)["player:ada"] == {"name": "Ada", "status": "online", "devices": 1, "team": "red"}
    private = world.state("private:ada")
    assert private["placement"] == {"sector": "sector:a"}
    assert private["me"] == {"count": 0, "apples": 0}
    assert sum(entity.startswith("session:") for entity in private) == 1
    assert ada.rooms == ["global", "private:ada", "sector:a", "team:red"]


def test_a_second_device_is_the_same_player(world, ada):
    """Devices are counted; the hooks of entering and leaving are for the first and the last."""
    phone = world.join("ada", name="Ada", team="red")
    assert world.state("sector:a")["player:ada"]["devices"] == 2
    phone.count()
    assert ada.me.count == 1
    phone.leave()
    assert world.state("sector:a")["player:ada"]["devices"] == 1
    ada.leave()
    assert "player:ada" not in world.state("sector:a")
    assert [event.name for event in world.events] == ["welcome", "farewell"]


def test_a_lost_connection_keeps_the_presence_for_the_grace_period(world, ada):
    """`drop` leaves the presence without devices."""
    ada.drop()
    assert world.state("sector:a")["player:ada"]["devices"] == 0
    assert not [event for event in world.events if event.name == "farewell"]


def test_players_hear_the_rooms_they_are_in(world, ada, bob):
    """Not what was before they came to a room, and nothing after they left it."""
    bob.go(to="sector:b")
    ada.pick()
    ada.go(to="sector:b")
    bob.pick()
    assert [event.room for event in ada.heard("picked")] == ["sector:a", "sector:b"]
    assert [event.room for event in bob.heard("picked")] == ["sector:b"]
    assert not ada.heard("came")
    (came,) = bob.heard("came")
    assert (came.sender, came.index, came.at, came.priority) == ("ada", 0, int(START * 1000), "movement")
    assert [event.data["player"] for event in ada.heard("welcome")] == ["bob"]


def test_time_passes_only_in_tick(world, ada):
    """Ticks run when they are due, with the `dt` they were declared for."""
    ada.count()
    assert world.entity("global", "clock").beats == 0
    world.tick(seconds=0.2)
    assert world.entity("global", "clock").beats == 0
    world.tick(seconds=0.05)
    assert world.entity("global", "clock").beats == 1
    world.tick(seconds=10)
    clock = world.entity("global", "clock")
    assert (clock.beats, clock.seconds) == (41, 41 / 4)
    assert world.now == pytest.approx(START + 10.25)


def test_the_seed_decides_the_dice():
    """The same seed, the same world; another seed, another."""
    rolled = []
    for seed in (1, 1, 2):
        world = World(small_game(), seed=seed)
        world.tick(seconds=5)
        rolled.append(world.entity("global", "clock").rolled)
    assert rolled[0] == rolled[1] != rolled[2]


def test_commands_at_once_conflict_and_run_again(world, ada, bob):
    """All run on the same state; who comes second runs again on the first one's."""
    outcomes = world.at_once(ada.intend("pick", amount=2), bob.intend("pick", amount=2), bob.intend("count"))
    assert [type(outcome) for outcome in outcomes] == [dict, Rejected, dict]
    assert outcomes[1].details == {"have": 1}
    assert (ada.me.apples, bob.me.apples, bob.me.count) == (2, 0, 1)


def test_a_situation_can_be_arranged(world, ada):
    """Fields set, entities created, checked like any other write."""
    world.arrange("sector:a", "tree", apples=0)
    world.arrange("sector:c", "tree", apples=9)
    assert (world.entity("sector:a", "tree").apples, world.entity("sector:c", "tree").apples) == (0, 9)
    with pytest.raises(GameserverError):
        world.arrange("sector:a", "tree", apples="many")


def test_what_is_handed_out_is_a_copy(world, ada):
    """Changing it changes nothing."""
    ada.me.apples = 99
    world.state("sector:a")["tree"]["apples"] = 99
    assert ada.me.apples == 0
    assert world.state("sector:a")["tree"]["apples"] == 3
    assert world.entity("sector:a", "nothing") is None


def test_a_fault_in_the_game_reaches_the_test():
    """Not a refusal, but the exception itself."""
    game = small_game()

    @game.command()
    def fail(ctx: Context) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        World(game).join("ada").fail()


def test_game_code_that_remembers_is_found_out():
    """What is not a function of what it reads would do something else on the next conflict."""
    game = small_game()
    calls = itertools.count()

    @game.command()
    def remember(ctx: Context) -> None:
        ctx.me.count = next(calls)

    @game.command()
    def hesitate(ctx: Context) -> None:
        if next(calls) % 2:
            raise Rejected("not_now")
        ctx.me.count += 1

    ada = World(game).join("ada")
    with pytest.raises(AssertionError, match="run again"):
        ada.remember()
    with pytest.raises(AssertionError, match="run again"):
        ada.hesitate()


def test_a_missing_entity_is_refused_like_any_other(world, ada):
    """What the context raises is what the player is told."""
    world.arrange("sector:x", "tree")
    ada.go(to="sector:y")
    with pytest.raises(NotFound):
        ada.pick()
