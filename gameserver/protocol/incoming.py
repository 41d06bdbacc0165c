"""A client's messages, decoded and validated in one pass (docs/protocol.md, Client to server).

What can be read at all and names a known type is decoded straight into its structure; only when that
fails are the bytes read a second time, to tell what is wrong and whom to answer.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from copy import deepcopy
from hashlib import blake2b
from typing import Annotated, Any, ClassVar, NamedTuple, Union, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gameserver.errors import BadMessage, GameserverError, InvalidArgument, UnknownCommand
from gameserver.protocol.arguments import (
    REQUIRED,
    Argument,
    CommandSpec,
    Limits,
    is_composite,
    is_number,
    is_plain,
    plain,
    wire_type,
)
from gameserver.protocol.bounds import carried, check_json_depth, check_key, check_size, free_argument, holds_nul
from gameserver.protocol.codes import MessageId, TierWord
from gameserver.protocol.schema import json_schema
from gameserver.state.values import MAX_INTEGER, canonical

MAX_ROOMS = 256
MAX_ENTITIES = 256
MAX_FIELDS = 64
BACKSLASH = ord("\\")
NUL = 0

Whole = Annotated[int, Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Identifier = Whole | Annotated[str, Meta(min_length=1, max_length=64)]


class Seen(NamedTuple):
    """Where a resuming client stands in a room; `events` is the seq up to which it has the room's events."""

    epoch: int
    seq: int
    events: int


class SeenPosition(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    # JavaScript writes large integers as floats: any number is read, and it is the session that judges it.
    epoch: int | Finite
    seq: int | Finite
    events: int | Finite | None = None


class Hello(msgspec.Struct, tag_field="type", tag="hello", forbid_unknown_fields=True):
    rooms: Annotated[dict[str, SeenPosition], Meta(max_length=MAX_ROOMS)]
    quality: TierWord | UnsetType = UNSET

    def positions(self) -> dict[str, Seen]:
        """By room name, unchecked; numbers beyond ±(2^53-1) are cut down to that, which no store reaches."""
        return {
            room: Seen(_clamp(seen.epoch), _clamp(seen.seq), _clamp(seen.seq if seen.events is None else seen.events))
            for room, seen in self.rooms.items()
        }


class Resync(msgspec.Struct, tag_field="type", tag="resync", forbid_unknown_fields=True):
    room: Name


class Publish(msgspec.Struct, tag_field="type", tag="publish", forbid_unknown_fields=True):
    """`data` is any value both encodings carry; what was binary is bytes."""

    room: Name
    key: Name
    data: Any


class Logout(msgspec.Struct, tag_field="type", tag="logout", forbid_unknown_fields=True):
    pass


Entities = Annotated[list[Annotated[str, Meta(min_length=1, max_length=96)]], Meta(max_length=MAX_ENTITIES)]
Fields = Annotated[list[Name], Meta(max_length=MAX_FIELDS)]


class Subscribe(msgspec.Struct, tag_field="type", tag="subscribe", forbid_unknown_fields=True):
    """UNSET: not narrowed."""

    room: Name
    entities: Entities | UnsetType = UNSET
    fields: Fields | UnsetType = UNSET


class Unsubscribe(msgspec.Struct, tag_field="type", tag="unsubscribe", forbid_unknown_fields=True):
    """A client may send back the subscription it leaves; only the room matters."""

    room: Name
    entities: Entities | UnsetType = UNSET
    fields: Fields | UnsetType = UNSET


class Quality(msgspec.Struct, tag_field="type", tag="quality", forbid_unknown_fields=True):
    tier: TierWord
    reason: Annotated[str, Meta(max_length=256)] | UnsetType = UNSET


class Refresh(msgspec.Struct, tag_field="type", tag="refresh", forbid_unknown_fields=True):
    token: str


class Ping(msgspec.Struct, tag_field="type", tag="ping", forbid_unknown_fields=True):
    at: Whole | Finite


class CommandMessage(msgspec.Struct, tag_field="type", forbid_unknown_fields=True):
    """A game's command; `build_decoder` makes one subclass of it for each."""

    spec: ClassVar[CommandSpec]
    composite: ClassVar[bool]
    """Whether an argument may be a list or a map."""
    variable: ClassVar[dict[str, bytes]]
    """The arguments whose equal values may be read as different ones (1 and 1.0, keys in another order), each with
    its default in canonical form, empty without one."""

    id: MessageId | None = None
    """None when the client gave none: then nothing is acknowledged or remembered."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def values(self) -> tuple[Any, ...]:
        """The arguments in the order of the command's signature."""
        return msgspec.structs.astuple(self)[1:]

    @property
    def arguments(self) -> dict[str, Any]:
        return {field.name: value for field, value in zip(self.spec.fields, self.values, strict=True)}

    def body_hash(self) -> bytes:
        """8 bytes that are the same for the same command with the same arguments: in either encoding, in any
        order, on any worker, and whether or not a default is spelled out."""
        body: list[Any] = [self.spec.name]
        for field, value in zip(self.spec.fields, self.values, strict=True):
            default = self.variable.get(field.name)
            if default is not None:
                value = canonical(plain(value))
            elif type(value) is float:
                value += 0.0  # -0.0 becomes 0.0: the two are one number
            if value != (default or field.default):
                body += (field.name, value)
        return blake2b(_encode(body), digest_size=8).digest()


Incoming = Hello | Resync | Publish | Logout | Subscribe | Unsubscribe | Quality | Refresh | Ping | CommandMessage
_PROTOCOL_TYPES = (Hello, Resync, Publish, Logout, Subscribe, Unsubscribe, Quality, Refresh, Ping)


def id_key(id: MessageId) -> str:
    """The id as a key under which it is remembered: `7` and `"7"` differ."""
    return f"s{id}" if type(id) is str else f"i{id}"


def build_decoder(specs: Iterable[CommandSpec], limits: Limits | None = None) -> IncomingDecoder:
    """The decoder of a world's messages. Raises ValueError when a command is declared twice,
    TypeError for an argument of a type that cannot be checked."""
    return IncomingDecoder(tuple(specs), limits or Limits())


class IncomingDecoder:
    """Bytes in, one valid message out. Knows nothing of who sent them."""

    def __init__(self, specs: tuple[CommandSpec, ...], limits: Limits) -> None:
        names = [spec.name for spec in specs]
        if len(set(names)) != len(names):
            raise ValueError("a command is declared twice")
        structures = [_command_type(spec, limits) for spec in specs]
        union: Any = Union[(*_PROTOCOL_TYPES, *structures)]
        self.limits = limits
        self._size = limits.message
        self._json = msgspec.json.Decoder(union).decode
        self._msgpack = msgspec.msgpack.Decoder(union).decode
        self._names = {*names, *(kind.__struct_config__.tag for kind in _PROTOCOL_TYPES)}
        self._finishers: dict[type, Callable[[Any, bool], None]] = {
            Hello: _finish_hello,
            Publish: self._finish_publish,
        }
        self._texts: dict[type, tuple[str, ...]] = {kind: kind.__struct_fields__ for kind in _PROTOCOL_TYPES}
        for structure in structures:
            attributes = tuple(zip(structure.spec.fields, structure.__struct_fields__[1:], strict=True))
            texts = (attribute for field, attribute in attributes if not is_number(field.annotation))
            self._texts[structure] = ("id", *texts)
            composite = [(field.name, attribute) for field, attribute in attributes if is_composite(field.annotation)]
            if composite:
                self._finishers[structure] = self._finisher(composite)

    def decode(self, payload: bytes, text: bool) -> Incoming:
        """One message; `text` says that it came in a text frame, and so is JSON.

        Raises BadMessage for what cannot be read or is over a limit, UnknownCommand for a type there is not,
        InvalidArgument, naming the argument, for anything else. Each has `message_id` when an id could be read.
        """
        if len(payload) > self._size:
            raise BadMessage(f"a message has at most {self._size} bytes")
        try:
            message = self._json(payload) if text else self._msgpack(payload)
            finish = self._finishers.get(type(message))
            if finish is not None:
                finish(message, text)
        except _FAILURES as error:
            raise self._refusal(payload, text, error) from None
        # Only where the bytes could mean a NUL are the strings searched for one.
        if (BACKSLASH in payload and b"u0000" in payload) if text else NUL in payload:
            for attribute in self._texts[type(message)]:
                if holds_nul(getattr(message, attribute)):
                    raise self._refusal(payload, text, InvalidArgument("a string may not hold NUL"))
        return cast(Incoming, message)

    def _finish_publish(self, message: Publish, text: bool) -> None:
        check_size(message.data, self.limits, depth=2)
        message.data = carried(message.data, text)

    def _finisher(self, composite: list[tuple[str, str]]) -> Callable[[Any, bool], None]:
        def finish(message: Any, text: bool) -> None:
            for name, attribute in composite:
                free_argument(name, getattr(message, attribute), self.limits)

        return finish

    def _refusal(self, payload: bytes, text: bool, failure: Exception) -> GameserverError:
        """Why a message was not accepted, read from the bytes anew."""
        message_id = None
        try:
            message = _read_any(payload, text, self.limits)
            message_id = _id_of(message)
            refusal = self._judge(message, failure)
        except BadMessage as unreadable:
            refusal = unreadable
        refusal.message_id = message_id
        return refusal

    def _judge(self, message: dict[str, Any], failure: Exception) -> GameserverError:
        kind = message.get("type")
        if type(kind) is not str or not kind:
            raise BadMessage("a message needs a type")
        check_size(message, self.limits)
        if kind not in self._names:
            return UnknownCommand(f"there is no command {kind[:64]!r}")
        if isinstance(failure, GameserverError):
            return failure
        return InvalidArgument(_explanation(str(failure)))


_FAILURES = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadMessage, InvalidArgument)

_encode = msgspec.msgpack.Encoder().encode
_read_json = msgspec.json.Decoder(dict[str, Any]).decode
_read_msgpack = msgspec.msgpack.Decoder(dict[str, Any]).decode


def _read_any(payload: bytes, text: bool, limits: Limits) -> dict[str, Any]:
    try:
        if text:
            check_json_depth(payload, limits.depth)
            return _read_json(payload)
        return _read_msgpack(payload)
    except RecursionError:
        raise BadMessage(f"nested deeper than {limits.depth}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessage(f"unreadable: {error}") from None


def _id_of(message: dict[str, Any]) -> MessageId | None:
    try:
        message_id = msgspec.convert(message.get("id"), Identifier)
    except msgspec.ValidationError:
        return None
    return None if holds_nul(message_id) else cast(MessageId, message_id)


_FAULT = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
_PATH = re.compile(r"(.*) - at `(?:key in )?\$\.?(.*)`", re.DOTALL)


def _explanation(fault: str) -> str:
    """msgspec's words in the protocol's terms, the argument named first."""
    if found := _FAULT.match(fault):
        return f"{'missing' if found[1].startswith('missing') else 'unexpected'} argument: {found[2][:64]}"
    if found := _PATH.match(fault):
        return f"argument {found[2][:64]}: {found[1][:200]}"
    return fault[:200]


def _command_type(spec: CommandSpec, limits: Limits) -> type[CommandMessage]:
    # Attributes are numbered, so that an argument may be called like anything a structure has itself.
    attributes = [f"argument_{index}" for index in range(len(spec.fields))]
    fields: list[Any] = [("id", Identifier, None)]
    for attribute, field in zip(attributes, spec.fields, strict=True):
        kind = wire_type(field.annotation, limits)
        fields.append((attribute, kind, _default(field)))
    variable = {
        field.name: b"" if field.default is REQUIRED else canonical(plain(field.default))
        for field in spec.fields
        if not is_plain(field.annotation)
    }
    return cast(
        type[CommandMessage],
        msgspec.defstruct(
            f"{spec.name}_command",
            fields,
            bases=(CommandMessage,),
            namespace={
                "spec": spec,
                "variable": variable,
                "composite": any(is_composite(field.annotation) for field in spec.fields),
            },
            tag=spec.name,
            rename={a: field.name for a, field in zip(attributes, spec.fields, strict=True)},
            kw_only=True,
        ),
    )


def _default(field: Argument) -> Any:
    if field.default is REQUIRED:
        return msgspec.field()
    if isinstance(field.default, list | dict):
        return msgspec.field(default_factory=lambda: deepcopy(field.default))
    return msgspec.field(default=field.default)


def _finish_hello(message: Hello, text: bool) -> None:
    for room in message.rooms:
        check_key("rooms", room)


def _clamp(number: float) -> int:
    return int(max(-MAX_INTEGER, min(MAX_INTEGER, number)))


__all__ = [
    "REQUIRED",
    "Argument",
    "CommandMessage",
    "CommandSpec",
    "Hello",
    "Incoming",
    "IncomingDecoder",
    "Limits",
    "Logout",
    "Ping",
    "Publish",
    "Quality",
    "Refresh",
    "Resync",
    "Seen",
    "Subscribe",
    "Unsubscribe",
    "build_decoder",
    "id_key",
    "json_schema",
]
