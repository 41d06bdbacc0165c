"""What `welcome` says of commands."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

from msgspec import Meta

from gameserver.protocol.incoming import Argument, CommandSpec, json_schema
from gameserver.protocol.schema import welcome_commands
from gameserver.state.kinds import f32


class Stance(Enum):
    CALM = "calm"
    ANGRY = "angry"


def test_a_command_as_json_schema() -> None:
    """[CMD10] Every type of argument, what is required, and nothing beside."""
    spec = CommandSpec(
        "act",
        (
            Argument("to", str),
            Argument("amount", Annotated[int, Meta(ge=1, le=99)], 1),
            Argument("vx", f32),
            Argument("loud", bool, False),
            Argument("good", Literal["ore", "fuel"]),
            Argument("stance", Stance, Stance.CALM),
            Argument("plan", dict, {}),
            Argument("names", list[Annotated[str, Meta(min_length=1)]] | None, None),
            Argument("prices", dict[str, float]),
            Argument("either", int | str),
        ),
        "Act.",
    )
    assert json_schema(spec) == {
        "description": "Act.",
        "type": "object",
        "properties": {
            "to": {"type": "string"},
            "amount": {"type": "integer", "minimum": 1, "maximum": 99, "default": 1},
            "vx": {"type": "number"},
            "loud": {"type": "boolean", "default": False},
            "good": {"enum": ["ore", "fuel"]},
            "stance": {"enum": ["calm", "angry"], "default": "calm"},
            "plan": {"type": "object", "default": {}},
            "names": {"type": "array", "items": {"type": "string", "minLength": 1}},
            "prices": {"type": "object", "additionalProperties": {"type": "number"}},
            "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        },
        "required": ["to", "vx", "good", "prices", "either"],
        "additionalProperties": False,
    }


def test_all_commands_by_name() -> None:
    """A command without arguments takes none."""
    assert welcome_commands([CommandSpec("wave")]) == {
        "wave": {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    }
