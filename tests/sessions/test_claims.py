import math

import pytest

from gameserver.errors import InvalidArgument
from gameserver.sessions.claims import Claims, read_claims

GOOD = {"sub": "ann", "exp": 1_900_000_000, "aud": "gameserver", "iss": "gameserver"}


def test_the_least_a_token_can_say():
    """Without more, the bearer is a player shown by their id."""
    assert read_claims(GOOD) == Claims("ann", "ann", "player", None, 1_900_000_000.0, issuer="gameserver")


def test_all_claims():
    """Every claim of the protocol arrives under its own name."""
    payload = GOOD | {
        "name": "Ann Ö.",
        "role": "service",
        "team": "red",
        "jti": "j1",
        "publish": ["sector:*", "global"],
    }
    assert read_claims(payload) == Claims(
        player="ann",
        name="Ann Ö.",
        role="service",
        team="red",
        expires=1_900_000_000.0,
        token_id="j1",
        publish=("sector:*", "global"),
        issuer="gameserver",
    )


def test_publish_is_for_services():
    """A player's or an admin's publish claim gives nothing."""
    assert read_claims(GOOD | {"publish": ["global"]}).publish == ()
    assert read_claims(GOOD | {"role": "admin", "publish": ["global"]}).publish == ()


@pytest.mark.parametrize("exp", [None, "1900000000", True, math.nan, math.inf, -1, 10**400, [1], 2.0**60])
def test_exp_is_a_finite_number(exp):
    """Anything PyJWT might turn into a number, or compare oddly, is refused."""
    with pytest.raises(InvalidArgument):
        read_claims(GOOD | {"exp": exp})


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": ""},
        {"sub": "a\0b"},
        {"sub": "a" * 65},
        {"sub": "a b"},
        {"sub": 7},
        {"sub": None},
        {"role": "root"},
        {"role": ["admin"]},
        {"role": {"admin": 1}},
        {"role": None},
        {"team": ""},
        {"team": "a b"},
        {"team": 3},
        {"team": False},
        {"name": ""},
        {"name": "x" * 65},
        {"name": "a\u202eb"},
        {"name": 1},
        {"jti": ""},
        {"jti": 7},
        {"iat": "now"},
        {"iat": True},
        {"nbf": math.nan},
        {"role": "service", "publish": "sector:*"},
        {"role": "service", "publish": ["*"]},
        {"role": "service", "publish": ["worker:*"]},
        {"role": "service", "publish": [1]},
        {"role": "service", "publish": ["global"] * 65},
    ],
)
def test_every_claim_has_one_type_and_one_grammar(claims):
    """What does not fit is refused, and the message does not quote it."""
    with pytest.raises(InvalidArgument) as caught:
        read_claims(GOOD | claims)
    assert "root" not in str(caught.value)
