"""The client: one player's connection, their rooms, and what they can do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar

from gameserver.client.answers import forgo
from gameserver.client.closing import Closed
from gameserver.client.codec import Encoding
from gameserver.client.dialing import Dialer, Token, TokenPlace
from gameserver.client.events import ClientEvent
from gameserver.client.failures import ClientClosed, CommandTimeout, ConnectionLost
from gameserver.client.home import home_rooms, stands_for
from gameserver.client.pending import Ack, CommandId
from gameserver.client.replica import ClientReplica
from gameserver.client.room import RoomReplica
from gameserver.client.session import Session
from gameserver.client.stats import ClientStats
from gameserver.client.streams import EventStream
from gameserver.client.tuning import Tuning
from gameserver.client.waiting import Waiters
from gameserver.protocol.codes import RESERVED_TYPES, Close

T = TypeVar("T")
Message = dict[str, Any]


class Client:
    """One connection to a gameserver, made again whenever the close codes allow it.

    Make it inside a running event loop, and use it in one of two ways::

        async with Client("ws://127.0.0.1:8080/ws", token) as client:
            await client.ready()
            ack = await client.command("move", to="sector:8")

        client = await Client.connect("ws://127.0.0.1:8080/ws", token)
        ...
        await client.close()

    `token` is a JWT, or a function (plain or async) asked for one before every connection. `on_event`
    is called with every event, in order, and must not block. All times are in seconds; every call
    has a deadline and raises TimeoutError when it passes.
    """

    def __init__(
        self,
        url: str,
        token: Token,
        *,
        encoding: Encoding = "json",
        token_in: TokenPlace = "subprotocol",
        resume: bool = True,
        resume_token: str | None = None,
        reconnect: bool = True,
        on_event: Callable[[ClientEvent], None] | None = None,
        origin: str | None = None,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        signed: bool = False,
        tuning: Tuning | None = None,
    ) -> None:
        """`resume_token` resumes a session that another client had; `origin` poses as a page of a browser. With
        `signed` every message is signed ([SIGN1]).

        Raises ValueError for a URL that is not one of a WebSocket, and for an unknown encoding.
        """
        self._tuning = tuning or Tuning()
        self._dialer = Dialer(url, token, encoding, token_in, origin, headers, tls, signed, self._tuning)
        self._waiters = Waiters(self)
        self._session = Session(self._dialer, self._tuning, resume, reconnect, self._changed, on_event)
        self._link = self._session.link
        self._link.resume_token = resume_token
        self._requesting = asyncio.Lock()
        self._now = asyncio.get_running_loop().time

    def __repr__(self) -> str:
        state = "closed" if self._session.closed.done() else "connected" if self.connected else "not connected"
        return f"<Client {self.player or '?'} at {self._dialer.url}, {state}>"

    @classmethod
    async def connect(cls, url: str, token: Token, **options: Any) -> Self:
        """A client that has been welcomed. Options as of the class; raises as `open` does."""
        client = cls(url, token, **options)
        await client.open()
        return client

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def start(self) -> None:
        """Begin to connect, and return at once."""
        self._link.start()

    async def open(self, timeout: float = 30.0) -> None:
        """Connect and wait for `welcome`, over as many attempts as fit into `timeout`.

        Raises ClientClosed when coming back is of no use (a bad token), and TimeoutError; the client
        is closed then.
        """
        self.start()
        try:
            await self.wait_for(lambda client: client.connected, timeout)
        except TimeoutError:
            last = self._session.last_end
            await self.close()
            raise TimeoutError(f"no welcome within {timeout} s" + (f": {last.reason}" if last else "")) from None
        except BaseException:
            await self.close()
            raise

    async def close(self, code: int = Close.NORMAL, reason: str = "") -> None:
        """Close the connection for good and end everything that waits. Does no harm when done twice."""
        await self._link.close(code, reason)
        self._session.ended(Closed(code, reason))

    @property
    def closed(self) -> asyncio.Future[Closed]:
        """Done when the client will not connect again, with the close code and the reason."""
        return asyncio.shield(self._session.closed)

    @property
    def connected(self) -> bool:
        """Whether there is a connection on which `welcome` has come."""
        return self._link.connected

    @property
    def rooms(self) -> Mapping[str, RoomReplica]:
        """The rooms held, by name."""
        return MappingProxyType(self.replica.rooms)

    @property
    def replica(self) -> ClientReplica:
        return self._session.replica

    @property
    def stats(self) -> ClientStats:
        return self._session.stats

    @property
    def welcome(self) -> Mapping[str, Any]:
        """The last `welcome`: session, worker, limits, commands, schema; empty before the first."""
        return self._session.welcome

    @property
    def player(self) -> str:
        """The player's id; empty before the first `welcome`."""
        return str(self.welcome.get("player", ""))

    @property
    def resume_token(self) -> str | None:
        """What resumes this session; a new one comes with every `welcome`."""
        return self._link.resume_token

    @property
    def tier(self) -> str:
        """The quality the server gives: `full`, `reduced` or `low`."""
        return self._session.tier

    def room(self, pattern: str) -> RoomReplica | None:
        """A room held whose name the pattern stands for: `sector:*` is the sector one is in.

        One that can be trusted comes before one in doubt: after a session that could not be resumed, the
        room one was in before may still be held.
        """
        found = [room for name, room in self.replica.rooms.items() if stands_for(pattern, name)]
        return min(found, key=lambda room: room.doubt is not None, default=None)

    async def ready(self, *rooms: str, timeout: float = 10.0) -> None:
        """Wait for `welcome` and for every room named, or every home room, to be held and free of doubt.

        Rooms may be patterns such as `sector:*`. Home rooms are those the token promises ([ROOM3]).
        """
        await self.wait_for(lambda client: client._holds(rooms), timeout)

    async def wait_for(self, condition: Callable[[Client], T], timeout: float = 10.0) -> T:
        """The first truthy value of `condition(client)`, looked at after every message and every change of the line.

        Raises TimeoutError, ClientClosed when the client is closed first, and what the condition raises.
        """
        if self._session.closed.done():
            value = condition(self)
            if value:
                return value
            raise ClientClosed(self._session.closed.result())
        return await self._waiters.wait(condition, timeout)

    async def reached(self, seqs: Mapping[str, int], timeout: float = 10.0) -> None:
        """Wait until the rooms held stand at these seqs or above, as with `ack.seq`: one sees what one did."""

        def there(client: Client) -> bool:
            held = client.replica.rooms
            return all(held[room].seq >= seq for room, seq in seqs.items() if room in held)

        await self.wait_for(there, timeout)

    def events(self, *kinds: type, size: int | None = None) -> EventStream:
        """Events of these types, or all, from now on: `async for event in client.events(EventReceived)`.

        Holds `size` events at most; of more, the oldest are given up, counted in the stream's `dropped`
        and in `stats.dropped_events`.
        """
        return self._session.streams.open(kinds, self._tuning.most_held if size is None else size)

    async def command(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        /,
        *,
        id: CommandId | None = None,
        timeout: float = 5.0,
        retry: bool = False,
        **more: Any,
    ) -> Ack:
        """Carry out a command and wait until it is committed.

        Arguments come as keywords, or as a map where their names are taken here. With `retry` the command
        outlives a lost connection: it is sent again, with the same id, on the next one; it is carried out
        once all the same. Raises CommandRejected; ConnectionLost without a connection or, without `retry`,
        when it breaks; CommandTimeout; ClientClosed; TooManyCommands; ValueError for a reserved name.
        """
        if name in RESERVED_TYPES:
            raise ValueError(f"{name!r} is no command's name")
        self._must_be_open()
        message = {**(arguments or {}), **more, "type": name}
        answer: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        if not self.connected and not retry:
            raise ConnectionLost("there is no connection")
        pending = self._session.pending.add(message, id, retry, self._now(), answer)
        self.stats.commands += 1
        try:
            async with asyncio.timeout(timeout):
                if self.connected:
                    await self._send_or_wait(pending.message)
                return await answer
        except TimeoutError:
            self.stats.timeouts += 1
            raise CommandTimeout(f"no answer to {name} {pending.id!r} within {timeout} s") from None
        finally:
            self._session.pending.forget(pending)
            forgo(answer)

    async def subscribe(
        self,
        room: str,
        entities: Iterable[str] | None = None,
        fields: Iterable[str] | None = None,
        timeout: float = 5.0,
    ) -> RoomReplica:
        """Join a room, or narrow one's view of it to entities (ids or `kind:*`) and fields ([SUB1] to [SUB3]).

        The subscription is made again on a connection that could not resume. Raises RequestRefused.
        """
        message: Message = {"type": "subscribe", "room": room}
        if entities is not None:
            message["entities"] = list(entities)
        if fields is not None:
            message["fields"] = list(fields)
        await self._request(message, lambda answer: answer["type"] == "snapshot" and answer["room"] == room, timeout)
        self._session.subscriptions[room] = message
        return self.replica.rooms[room]

    async def unsubscribe(self, room: str, timeout: float = 5.0) -> None:
        """Undo a subscription ([SUB4]). Raises RequestRefused."""
        self._session.subscriptions.pop(room, None)
        await self._request(
            {"type": "unsubscribe", "room": room},
            lambda answer: answer["type"] in ("left", "snapshot") and answer["room"] == room,
            timeout,
        )

    async def resync(self, room: str, timeout: float = 5.0) -> RoomReplica:
        """Ask for a snapshot and wait for it; gaps and mismatches do so by themselves. Raises RequestRefused."""
        await self._request(
            {"type": "resync", "room": room},
            lambda answer: answer["type"] == "snapshot" and answer["room"] == room,
            timeout,
        )
        return self.replica.rooms[room]

    async def refresh(self, token: str, timeout: float = 5.0) -> int:
        """Replace the token before it expires; its `exp`, in seconds since the Unix epoch. Raises RequestRefused."""
        answer = await self._request(
            {"type": "refresh", "token": token}, lambda answer: answer["type"] == "refreshed", timeout
        )
        self._dialer.token = token
        return int(answer["exp"])

    async def quality(self, tier: str, reason: str | None = None) -> None:
        """Wish for a tier: `full`, `reduced` or `low` ([QUAL3]). The wish is repeated on later connections."""
        wish: Message = {"type": "quality", "tier": tier}
        if reason is not None:
            wish["reason"] = reason
        self._session.wish = wish
        if self.connected:
            await self._link.send(wish)

    async def publish(self, room: str, key: str, data: Any) -> None:
        """Send a signal; services only ([SIG3]). `data` may be bytes. A refusal comes as ErrorReceived."""
        await self._send({"type": "publish", "room": room, "key": key, "data": data})

    async def ping(self, timeout: float = 5.0) -> float:
        """The round trip in seconds."""
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._send(self._session.pings.ping(self._now(), answer))
                return await answer
        finally:
            forgo(answer)

    async def logout(self, timeout: float = 5.0) -> Closed:
        """End the session wherever it is live; how the client was closed ([SES5])."""
        await self._send({"type": "logout"})
        async with asyncio.timeout(timeout):
            return await self.closed

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a message as it is, whatever it is. Raises ConnectionLost."""
        await self._send(message)

    async def _request(
        self, message: Message, answers: Callable[[Mapping[str, Any]], bool], timeout: float
    ) -> Mapping[str, Any]:
        """Requests carry no id: one at a time, or an `error` could not be told whose it is."""
        async with asyncio.timeout(timeout), self._requesting:
            answer = self._session.answers.expect(answers)
            try:
                await self._send(message)
                return await answer
            finally:
                forgo(answer)

    async def _send(self, message: Mapping[str, Any]) -> None:
        self._must_be_open()
        if not self.connected:
            raise ConnectionLost("there is no connection")
        await self._link.send(message)

    async def _send_or_wait(self, message: Message) -> None:
        """A connection that breaks under a command settles its answer itself."""
        try:
            await self._link.send(message)
        except ConnectionLost:
            return

    def _holds(self, rooms: Iterable[str]) -> bool:
        if not self.connected:
            return False
        held = self.replica.rooms
        return all(
            any(stands_for(pattern, name) and room.doubt is None for name, room in held.items())
            for pattern in rooms or home_rooms(self._dialer.claims, self.player)
        )

    def _changed(self) -> None:
        if self._waiters:
            self._waiters.changed()
            if self._session.closed.done():
                self._waiters.fail(ClientClosed(self._session.closed.result()))

    def _must_be_open(self) -> None:
        if self._session.closed.done():
            raise ClientClosed(self._session.closed.result())
