"""What may happen to a session when: one table of states, inputs and what follows.

An input that the table does not have for a state is illegal: of the peer's inputs it is the peer's fault and
refused, of the others a fault of ours.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from gameserver.errors import Forbidden, GameserverError
from gameserver.protocol.codes import Close


class LocalProtocolError(GameserverError):
    """We did what the session's state does not allow: a bug of ours."""


class RemoteProtocolError(Forbidden):
    """The peer sent what the session's state does not allow; refused, the connection is kept."""


class State(Enum):
    CONNECTING = auto()
    """The handshake is being decided."""
    AWAITING_HELLO = auto()
    """Accepted with a resume token: the client's positions come first."""
    LIVE = auto()
    """Welcomed."""
    DRAINING = auto()
    """Said goodbye to; what was written is still being taken."""
    CLOSED = auto()


class Input(Enum):
    # What the handshake comes to.
    ACCEPTED = auto()
    ACCEPTED_RESUMING = auto()
    REFUSED = auto()
    BAD_TOKEN = auto()
    BAD_ROLE = auto()
    # What the peer sends.
    HELLO = auto()
    MESSAGE = auto()
    UNREADABLE = auto()
    # What the peer does, or time.
    UNREADABLE_TOO_OFTEN = auto()
    """Three within 10 s (`gameserver.sessions.unreadable`)."""
    FORGED = auto()
    """A message that is not signed, though that was agreed, or was signed by somebody else."""
    HELLO_TIMEOUT = auto()
    FLOODED = auto()
    HEARTBEAT_LOST = auto()
    LOST = auto()
    # What is decided about it elsewhere.
    EXPIRED = auto()
    REPLACED = auto()
    LOGGED_OUT = auto()
    KICKED = auto()
    BANNED = auto()
    FAR_APART = auto()
    """From another place than the player's other connections, where that is not allowed."""
    FAILED = auto()
    UNAVAILABLE = auto()
    """What the session needs cannot be had now: another worker, or later."""
    TAKEN_OVER = auto()
    """This worker was silent so long that others ended the session for it."""
    DRAIN = auto()
    FLUSHED = auto()


class Action(Enum):
    WELCOME = auto()
    AWAIT_HELLO = auto()
    """Start the timer of 5 s; what comes of it is HELLO or HELLO_TIMEOUT."""
    RESUME = auto()
    """Welcome with what was recovered of the positions in the hello."""
    WELCOME_UNRECOVERED = auto()
    """Welcome anew: the positions did not come in time, nothing is recovered."""
    DENY = auto()
    """Answer the handshake with an HTTP status."""
    HANDLE = auto()
    COMPLAIN = auto()
    """Answer that it could not be read, and count it."""
    IGNORE = auto()
    GOODBYE = auto()
    """Say goodbye and let what is written be taken, then FLUSHED."""
    CLOSE = auto()
    """Close with the code of the step."""
    FORGET = auto()
    """Nobody is there to be told."""


class Step(NamedTuple):
    """What follows an input; `close` is the code when the action is CLOSE."""

    state: State
    action: Action
    close: Close | None = None


PEER = frozenset((Input.HELLO, Input.MESSAGE, Input.UNREADABLE))
"""Inputs that are the peer's own."""

_ENDINGS = {
    Input.UNREADABLE_TOO_OFTEN: Close.POLICY,
    Input.FORGED: Close.POLICY,
    Input.FLOODED: Close.RATE_LIMITED,
    Input.HEARTBEAT_LOST: Close.HEARTBEAT_LOST,
    Input.EXPIRED: Close.BAD_TOKEN,
    Input.REPLACED: Close.REPLACED,
    Input.LOGGED_OUT: Close.LOGGED_OUT,
    Input.KICKED: Close.KICKED,
    Input.BANNED: Close.NOT_ALLOWED,
    Input.FAR_APART: Close.NOT_ALLOWED,
    Input.FAILED: Close.INTERNAL,
    Input.UNAVAILABLE: Close.TRY_LATER,
    Input.TAKEN_OVER: Close.RESTART,
}
"""What ends an accepted session at once, and the code it is closed with."""

_CONNECTING = {
    Input.ACCEPTED: Step(State.LIVE, Action.WELCOME),
    Input.ACCEPTED_RESUMING: Step(State.AWAITING_HELLO, Action.AWAIT_HELLO),
    Input.REFUSED: Step(State.CLOSED, Action.DENY),
    Input.DRAIN: Step(State.CLOSED, Action.DENY),
    Input.BAD_TOKEN: Step(State.CLOSED, Action.CLOSE, Close.BAD_TOKEN),
    Input.BAD_ROLE: Step(State.CLOSED, Action.CLOSE, Close.NOT_ALLOWED),
    Input.LOST: Step(State.CLOSED, Action.FORGET),
}

_ACCEPTED = {
    Input.LOST: Step(State.CLOSED, Action.FORGET),
    **{ending: Step(State.CLOSED, Action.CLOSE, code) for ending, code in _ENDINGS.items()},
}

_AWAITING_HELLO = {
    **_ACCEPTED,
    Input.HELLO: Step(State.LIVE, Action.RESUME),
    Input.HELLO_TIMEOUT: Step(State.LIVE, Action.WELCOME_UNRECOVERED),
    Input.UNREADABLE: Step(State.AWAITING_HELLO, Action.COMPLAIN),
    Input.DRAIN: Step(State.DRAINING, Action.GOODBYE),
}

_LIVE = {
    **_ACCEPTED,
    Input.MESSAGE: Step(State.LIVE, Action.HANDLE),
    Input.UNREADABLE: Step(State.LIVE, Action.COMPLAIN),
    Input.DRAIN: Step(State.DRAINING, Action.GOODBYE),
}

_DRAINING = {
    **_ACCEPTED,
    Input.HELLO: Step(State.DRAINING, Action.IGNORE),
    Input.MESSAGE: Step(State.DRAINING, Action.IGNORE),
    Input.UNREADABLE: Step(State.DRAINING, Action.IGNORE),
    Input.FLUSHED: Step(State.CLOSED, Action.CLOSE, Close.RESTART),
}

_CLOSED = {
    # What was on its way when we closed, and the end of the transport itself.
    Input.HELLO: Step(State.CLOSED, Action.IGNORE),
    Input.MESSAGE: Step(State.CLOSED, Action.IGNORE),
    Input.UNREADABLE: Step(State.CLOSED, Action.IGNORE),
    Input.LOST: Step(State.CLOSED, Action.FORGET),
}

TABLE: dict[State, dict[Input, Step]] = {
    State.CONNECTING: _CONNECTING,
    State.AWAITING_HELLO: _AWAITING_HELLO,
    State.LIVE: _LIVE,
    State.DRAINING: _DRAINING,
    State.CLOSED: _CLOSED,
}


def step(state: State, happened: Input) -> Step:
    """Raises RemoteProtocolError when the peer may not do this now, LocalProtocolError when we may not."""
    found = TABLE[state].get(happened)
    if found is not None:
        return found
    words = f"{happened.name.lower()} while {state.name.lower()}"
    # Before the handshake is decided nothing of the peer's can have been read: whoever hands it in is wrong.
    if happened in PEER and state is not State.CONNECTING:
        raise RemoteProtocolError(words.replace("_", " "))
    raise LocalProtocolError(words.replace("_", " "))
