"""The session's table: every legal move, and that all others are refused by whose fault they are."""

from __future__ import annotations

from itertools import product

import pytest

from gameserver.protocol.codes import Close
from gameserver.sessions.transitions import (
    PEER,
    TABLE,
    Action,
    Input,
    LocalProtocolError,
    RemoteProtocolError,
    State,
    Step,
    step,
)

ILLEGAL = [(state, happened) for state, happened in product(State, Input) if happened not in TABLE[state]]
LEGAL = [(state, happened) for state, happened in product(State, Input) if happened in TABLE[state]]


@pytest.mark.parametrize(("state", "happened"), ILLEGAL, ids=lambda word: word.name.lower())
def test_illegal_moves(state: State, happened: Input) -> None:
    """What the table does not have is refused: to the peer what is the peer's, else it is a bug of ours."""
    at_fault = RemoteProtocolError if happened in PEER and state is not State.CONNECTING else LocalProtocolError
    with pytest.raises(at_fault, match=state.name.lower().replace("_", " ")):
        step(state, happened)


@pytest.mark.parametrize(("state", "happened"), LEGAL, ids=lambda word: word.name.lower())
def test_legal_moves_are_whole(state: State, happened: Input) -> None:
    """A close has a code and ends in CLOSED; from CLOSED nothing leads anywhere else."""
    found = step(state, happened)
    assert (found.close is not None) == (found.action is Action.CLOSE)
    assert found.action is not Action.CLOSE or found.state is State.CLOSED
    assert state is not State.CLOSED or found.state is State.CLOSED


@pytest.mark.parametrize("state", [State.AWAITING_HELLO, State.LIVE, State.DRAINING])
@pytest.mark.parametrize(
    ("happened", "code"),
    [
        (Input.UNREADABLE_TOO_OFTEN, Close.POLICY),
        (Input.FLOODED, Close.RATE_LIMITED),
        (Input.HEARTBEAT_LOST, Close.HEARTBEAT_LOST),
        (Input.EXPIRED, Close.BAD_TOKEN),
        (Input.REPLACED, Close.REPLACED),
        (Input.LOGGED_OUT, Close.LOGGED_OUT),
        (Input.KICKED, Close.KICKED),
        (Input.BANNED, Close.NOT_ALLOWED),
        (Input.FAILED, Close.INTERNAL),
    ],
)
def test_what_ends_an_accepted_session(state: State, happened: Input, code: Close) -> None:
    """Each ending has its close code, in every state a connection was accepted in."""
    assert step(state, happened) == Step(State.CLOSED, Action.CLOSE, code)


def test_the_usual_life() -> None:
    """Accepted, welcomed, talking, drained."""
    state = State.CONNECTING
    life = (Input.ACCEPTED, Input.MESSAGE, Input.UNREADABLE, Input.DRAIN, Input.MESSAGE, Input.FLUSHED, Input.LOST)
    actions = []
    for happened in life:
        found = step(state, happened)
        state = found.state
        actions.append(found.action)
    assert actions == [
        Action.WELCOME,
        Action.HANDLE,
        Action.COMPLAIN,
        Action.GOODBYE,
        Action.IGNORE,
        Action.CLOSE,
        Action.FORGET,
    ]
    assert state is State.CLOSED


def test_resuming_waits_for_the_positions() -> None:
    """With a resume token the hello comes first, or time runs out and nothing is recovered."""
    waiting = step(State.CONNECTING, Input.ACCEPTED_RESUMING)
    assert waiting == Step(State.AWAITING_HELLO, Action.AWAIT_HELLO)
    assert step(waiting.state, Input.HELLO) == Step(State.LIVE, Action.RESUME)
    assert step(waiting.state, Input.HELLO_TIMEOUT) == Step(State.LIVE, Action.WELCOME_UNRECOVERED)
    with pytest.raises(RemoteProtocolError):
        step(State.LIVE, Input.HELLO)


def test_every_state_can_be_reached_and_left() -> None:
    """No state is an island: all but the first are led to, all but the last lead on."""
    reached = {found.state for inputs in TABLE.values() for found in inputs.values()}
    assert reached == set(State) - {State.CONNECTING}
    for state in set(State) - {State.CLOSED}:
        assert any(found.state is not state for found in TABLE[state].values())
