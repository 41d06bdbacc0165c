"""What the author of a game uses: declare entities, commands, ticks and hooks; the bus does the rest."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from gameserver.context import Handler, lane_of
from gameserver.protocol.codes import RESERVED_TYPES, Priority
from gameserver.protocol.incoming import REQUIRED, Argument, CommandSpec
from gameserver.rooms.presence import BUILT_IN_KINDS
from gameserver.sessions.ratelimit import parse_rate
from gameserver.state.kinds import Kind, Schema

C = TypeVar("C", bound=type)
H = TypeVar("H", bound=Handler)

DEFAULT_RATE = "20/s"


@dataclass(frozen=True, slots=True)
class Command:
    """A declared command; `rate` is (tokens per second, burst) per player."""

    name: str
    handler: Handler
    spec: CommandSpec
    priority: Priority
    rate: tuple[float, float]
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Tick:
    """A declared tick: `handler(ctx, dt)` runs `hz` times a second in every room whose name matches `rooms`."""

    name: str
    handler: Handler
    hz: float
    rooms: str
    priority: Priority


class Game:
    """A world's rules.

    `start` is the sector where a player who was never here begins; `is_open` says which sectors players may watch
    without being there (none, unless given).
    """

    def __init__(self, name: str, *, start: str = "sector:1", is_open: Callable[[str], bool] | None = None) -> None:
        self.name = name
        self.start = start
        self.is_open = is_open
        self.schema = Schema()
        for kind, cls in BUILT_IN_KINDS.items():
            self.schema.add(Kind(kind, cls, Priority.MOVEMENT))
        self.commands: dict[str, Command] = {}
        self.ticks: list[Tick] = []
        self.hooks: dict[str, list[Handler]] = {}

    @overload
    def entity(self, cls: C, /) -> C: ...
    @overload
    def entity(self, *, kind: str | None = None, priority: str | Priority = Priority.MOVEMENT) -> Callable[[C], C]: ...
    def entity(self, cls: Any = None, *, kind: str | None = None, priority: str | Priority = Priority.MOVEMENT) -> Any:
        """Declare a kind of entity: a class with annotated fields. Ids of the kind are `<kind>` or `<kind>:<anything>`.

        The kind is the class's name in lower case unless `kind` says otherwise; `priority` is the lane in which
        its changes travel to a slow client. The kind `me` is each player's own entity (`ctx.me`).
        Raises TypeError for a field of a type that state cannot have, ValueError for a kind declared twice.
        """

        def declare(declared: type) -> type:
            name = kind or declared.__name__.lower()
            self.schema.add(Kind(name, declared, Priority.of(priority)))
            return declared

        return declare if cls is None else declare(cls)

    def command(
        self,
        *,
        priority: str | Priority = Priority.MOVEMENT,
        rate: str = DEFAULT_RATE,
        name: str | None = None,
        roles: tuple[str, ...] = ("player",),
    ) -> Callable[[H], H]:
        """Declare a command: `handler(ctx, argument: type, ...)`, synchronous, free of I/O.

        Arguments are validated from the signature and published as JSON Schema, described by the docstring.
        `rate` is per player, such as `5/s` or `30/m`; `roles` says which JWT roles may send it.
        Raises ValueError for a reserved or doubled name, TypeError for a signature that cannot be validated.
        """

        def declare(handler: H) -> H:
            spec = CommandSpec(name or handler.__name__, _arguments(handler), inspect.getdoc(handler) or "")
            if spec.name in RESERVED_TYPES:
                raise ValueError(f"a command may not be named {spec.name!r}: the protocol uses it")
            if spec.name in self.commands:
                raise ValueError(f"the command {spec.name!r} is declared twice")
            self.commands[spec.name] = Command(
                spec.name, handler, spec, Priority.of(priority), parse_rate(rate), frozenset(roles)
            )
            return handler

        return declare

    def tick(self, *, hz: float, rooms: str, priority: str | Priority = Priority.MOVEMENT) -> Callable[[H], H]:
        """Declare a tick: `handler(ctx, dt)`, `dt` in seconds of game time, run by one worker at a time."""
        if not 0 < hz <= 240:
            raise ValueError("a tick runs at more than 0 and at most 240 hz")

        def declare(handler: H) -> H:
            _check_synchronous(handler)
            self.ticks.append(Tick(handler.__name__, handler, hz, rooms, Priority.of(priority)))
            return handler

        return declare

    def on_create(self, handler: H) -> H:
        """`handler(ctx)` fills a new world's rooms; run once per store, in one commit."""
        return self._hook("create", handler)

    def on_first_join(self, handler: H) -> H:
        """`handler(ctx)` runs in the commit that creates a player's `me`, before they see anything."""
        return self._hook("first_join", handler)

    def on_enter(self, handler: H) -> H:
        """`handler(ctx)` runs in the commit that makes a player present, with the first device."""
        return self._hook("enter", handler)

    def on_leave(self, handler: H) -> H:
        """`handler(ctx)` runs in the commit that takes a player's presence away, after the grace period."""
        return self._hook("leave", handler)

    def run_hooks(self, hook: str, context: Any) -> None:
        for handler in self.hooks.get(hook, ()):
            handler(context)

    def _hook(self, hook: str, handler: H) -> H:
        _check_synchronous(handler)
        self.hooks.setdefault(hook, []).append(handler)
        return handler


def _arguments(handler: Handler) -> tuple[Argument, ...]:
    _check_synchronous(handler)
    hints = typing.get_type_hints(handler, include_extras=True)
    parameters = list(inspect.signature(handler).parameters.values())
    if not parameters:
        raise TypeError(f"{handler.__name__} needs a first parameter for its context")
    arguments = []
    for parameter in parameters[1:]:
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            raise TypeError(f"{handler.__name__}: {parameter.name} must be an ordinary parameter")
        if parameter.name not in hints:
            raise TypeError(f"{handler.__name__}: {parameter.name} needs a type")
        if parameter.name in ("type", "id"):
            raise TypeError(f"{handler.__name__}: an argument may not be named {parameter.name!r}")
        default = REQUIRED if parameter.default is parameter.empty else parameter.default
        arguments.append(Argument(parameter.name, hints[parameter.name], default))
    return tuple(arguments)


def _check_synchronous(handler: Handler) -> None:
    if inspect.iscoroutinefunction(handler):
        raise TypeError(f"{handler.__name__} must not be async: game code is a pure function of what it reads")


__all__ = ["Command", "Game", "Tick", "lane_of"]
