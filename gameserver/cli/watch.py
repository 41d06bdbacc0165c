"""`gameserver watch ROOM`: a room as a client sees it, proven by checksums while one looks."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from gameserver.cli import screen, words
from gameserver.cli.access import DEFAULT_URL, TOKEN_VARIABLE, Access
from gameserver.cli.exits import DONE, FAILED
from gameserver.cli.options import Subparsers, add_command, positive
from gameserver.cli.sight import Sight
from gameserver.client import Client, ClientClosed, ClientEvent, RequestRefused
from gameserver.errors import GameserverError
from gameserver.sessions.claims import ROLES

FRAME = 0.125
"""Seconds between two pictures."""
PATIENCE = 10.0


def add_to(commands: Subparsers) -> None:
    parser = add_command(commands, "watch", "show a room live", watch)
    parser.add_argument("room", metavar="ROOM", help="such as sector:1, global or team:red")
    parser.add_argument("--url", default=DEFAULT_URL, help="default: %(default)s")
    parser.add_argument(
        "--token", help=f"default: {TOKEN_VARIABLE}, or one signed with GAMESERVER_JWT_SECRET, or a dev server's"
    )
    parser.add_argument("--player", default=f"watcher-{os.getpid()}", help="whom a token is made for")
    parser.add_argument("--role", choices=ROLES, default="admin", help="admins may watch every room (default: admin)")
    parser.add_argument(
        "--encoding", choices=("json", "msgpack", "compact"), default="msgpack", help="default: msgpack"
    )
    parser.add_argument("--once", action="store_true", help="print the room as it is, and end")
    parser.add_argument("--plain", action="store_true", help="a line for each change, also on a terminal")
    parser.add_argument("--seconds", type=positive, help="how long (default: until Ctrl-C)")


def watch(arguments: argparse.Namespace) -> int:
    return asyncio.run(_watch(arguments))


async def _watch(arguments: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    access = Access(arguments.url, arguments.token)
    await access.token(arguments.player, arguments.role)
    watcher = Watcher(arguments.room, plain=arguments.plain or not sys.stdout.isatty())
    client = Client(
        access.url_for(arguments.role),
        lambda: access.token(arguments.player, arguments.role),
        encoding=arguments.encoding,
        on_event=watcher.hear,
    )
    opening = asyncio.create_task(_open(client, arguments.room))
    interrupted = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([opening, interrupted], return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            return DONE
        opening.result()
        if arguments.once:
            watcher.print_snapshot(client)
            return DONE
        if arguments.seconds is not None:
            asyncio.get_running_loop().call_later(arguments.seconds, stop.set)
        return await watcher.watch(client, stop)
    finally:
        opening.cancel()
        interrupted.cancel()
        await client.close()


async def _open(client: Client, room: str) -> None:
    """Raises GameserverError with a sentence."""
    try:
        await client.open(PATIENCE)
        await client.subscribe(room, timeout=PATIENCE)
    except RequestRefused as refusal:
        raise GameserverError(f"The server does not show {room!r}: {refusal}.") from None
    except ClientClosed as error:
        raise GameserverError(f"The server does not let us in: {error.closed.reason or error.closed.code}.") from None
    except TimeoutError as error:
        raise GameserverError(f"The server does not answer: {error or 'no snapshot came'}.") from None


class Watcher:
    """Shows one room: as a picture that changes, or plain, as a line for each change."""

    def __init__(self, room: str, *, plain: bool) -> None:
        self.sight = Sight(room)
        self._plain = plain
        self._untold: list[str] = []

    def hear(self, event: ClientEvent) -> None:
        """For the client's `on_event`."""
        self.sight.feed(event, time.monotonic())
        if self._plain and getattr(event, "room", self.sight.room) == self.sight.room:
            self._untold += words.lines_of(event)

    def print_snapshot(self, client: Client) -> None:
        room = client.rooms[self.sight.room]
        standing = f"{words.position(room)}, {len(room.state)} entities, {self.sight.proven(time.monotonic())}"
        print(f"{words.printable(room.name)} {standing}")
        for entity in sorted(room.state, key=words.natural):
            print(f"{words.printable(entity)} {words.fields(room.state[entity])}".rstrip())
        sys.stdout.flush()

    async def watch(self, client: Client, stop: asyncio.Event) -> int:
        """Until `stop` is set, or the client is closed for good; the exit code."""
        closed = client.closed
        stopped = asyncio.create_task(stop.wait())
        try:
            if self._plain:
                self._untold.clear()
                self.print_snapshot(client)
                await self._until({stopped, closed}, self._tell)
                self._print_end(client)
            else:
                with screen.whole_screen():
                    await self._until({stopped, closed}, lambda: screen.show(self._picture(client)))
        finally:
            stopped.cancel()
        if closed.done():
            end = closed.result()
            raise GameserverError(f"The server closed the connection: {end.code} {end.reason}".rstrip() + ".")
        return FAILED if self.sight.mismatches else DONE

    async def _until(self, ends: set[asyncio.Future[Any]], show: Callable[[], None]) -> None:
        done: set[asyncio.Future[Any]] = set()
        while not done:
            show()
            done, _ = await asyncio.wait(ends, timeout=FRAME, return_when=asyncio.FIRST_COMPLETED)

    def _tell(self) -> None:
        if self._untold:
            print("\n".join(self._untold), flush=True)
            self._untold.clear()

    def _print_end(self, client: Client) -> None:
        self._tell()
        room = client.rooms.get(self.sight.room)
        print(f"{words.printable(self.sight.room)} {words.position(room) if room else 'left'}, {self.sight.counts()}")

    def _picture(self, client: Client) -> list[str]:
        schema: Mapping[str, Any] = client.welcome.get("schema") or {}
        room = client.rooms.get(self.sight.room)
        return screen.render(self.sight, room, schema, *screen.page(), time.monotonic())
