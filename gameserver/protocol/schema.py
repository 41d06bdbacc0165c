"""What `welcome` tells a client of a world's commands, as JSON Schema. Its kinds are told by `Schema.describe`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from gameserver.protocol.arguments import REQUIRED, CommandSpec, is_string_enum, plain, unwrap


def welcome_commands(specs: Iterable[CommandSpec]) -> dict[str, dict[str, Any]]:
    """Command to the JSON Schema of its arguments, for `welcome.commands`."""
    return {spec.name: json_schema(spec) for spec in specs}


def json_schema(spec: CommandSpec) -> dict[str, Any]:
    """The arguments of a command as JSON Schema, for `welcome.commands`."""
    properties = {}
    for argument in spec.fields:
        properties[argument.name] = schema = _type_schema(argument.annotation)
        if argument.default is not REQUIRED and argument.default is not None:
            schema["default"] = plain(argument.default)
    schema = {
        "type": "object",
        "properties": properties,
        "required": [argument.name for argument in spec.fields if argument.default is REQUIRED],
        "additionalProperties": False,
    }
    return {"description": spec.description, **schema} if spec.description else schema


def _type_schema(annotation: Any) -> dict[str, Any]:
    base, meta = unwrap(annotation)
    origin, parameters = get_origin(base), get_args(base)
    if origin is Union:
        return {"anyOf": [_type_schema(member) for member in parameters]}
    if origin is Literal:
        return {"enum": list(parameters)}
    if is_string_enum(base):
        return {"enum": [member.value for member in base]}
    kind = origin or base
    schema: dict[str, Any] = {"type": _SCHEMA_TYPES[kind]}
    if kind is list and parameters:
        schema["items"] = _type_schema(parameters[0])
    if kind is dict and parameters:
        schema["additionalProperties"] = _type_schema(parameters[1])
    for attribute, word in _BOUND_WORDS[kind].items():
        bound = getattr(meta, attribute)
        if bound is not None:
            schema[word] = bound
    return schema


_SCHEMA_TYPES: Mapping[Any, str] = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    list: "array",
    dict: "object",
}
_NUMBER_WORDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
_BOUND_WORDS: Mapping[Any, Mapping[str, str]] = {
    int: _NUMBER_WORDS,
    float: _NUMBER_WORDS,
    str: {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"},
    bool: {},
    list: {"min_length": "minItems", "max_length": "maxItems"},
    dict: {"min_length": "minProperties", "max_length": "maxProperties"},
}
