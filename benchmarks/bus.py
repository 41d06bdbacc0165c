"""Our bus as a contestant: `gameserver run` on a Redis of its own, publishers who send commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.metadata import version

from benchmarks.contestants import Contestant, Running
from benchmarks.script import ID, TURN, Arguments, Message, Speech, request
from benchmarks.world import BACKSTAGE, player_in
from gameserver.asgi.auth import issue_token
from gameserver.bench.machine import Cores
from gameserver.bench.processes import Settings, redis, server
from gameserver.bench.world import ITEMS, SIGN
from gameserver.protocol.codec import JSON, MSGPACK, Codec
from gameserver.protocol.compact_schema import COMPACT
from gameserver.settings import Settings as ServerSettings

WORLD, FLYING = "benchmarks.world:game", "benchmarks.world:flying"
NAMES = {JSON.subprotocol: "JSON", MSGPACK.subprotocol: "MessagePack", COMPACT: "compact"}
TOKEN_SECONDS = 6 * 3600.0
OWN = 54321
"""Stands for the number of a commander's own thing until the connection's is put in its place."""


class Bus(Contestant):
    """One worker, or several on one Redis; `redis` False keeps the world in the worker.

    Commands are sent in `codec`; `listening` is the subprotocol of those who only listen, if it is another one.
    """

    echoes = True

    def __init__(
        self,
        codec: Codec = JSON,
        *,
        listening: str = "",
        world: str = WORLD,
        redis: bool = True,
        workers: int = 1,
        environ: dict[str, str] | None = None,
    ) -> None:
        self._codec = codec
        self._world = world
        self._redis = redis
        self._workers = workers
        self._environ = environ or {}
        self._listening = listening or codec.subprotocol
        self.encoding = NAMES[self._listening]
        self.name = f"gameserver, {self.encoding}"

    def prepare(self) -> str:
        return version("gameserver")

    @contextmanager
    def start(self, cores: Cores, rooms: int) -> Iterator[Running]:
        settings = replace(Settings.new(), cores=cores)
        settings.environ.update(self._environ)
        with ExitStack() as stack:
            url, others = "", {}
            if self._redis:
                store = stack.enter_context(redis(settings))
                url, others = store.url, {"redis": [store.pid]}
            workers = [stack.enter_context(server(settings, self._world, url))]
            port = workers[0].port
            # The others listen at the same port, and the kernel deals the connections out.
            for _ in range(self._workers - 1):
                workers.append(stack.enter_context(server(settings, self._world, url, port)))
            yield Running(port, [worker.pid for worker in workers], others, settings)

    def listeners(self) -> Speech:
        return self._speech(self._listening, self._codec.text)

    def publishers(self) -> Speech:
        """Publishers always speak JSON: what they cost is the same for all."""
        return self._speech(JSON.subprotocol, text=True)

    def _speech(self, subprotocol: str, text: bool) -> Speech:
        headers = (f"Sec-WebSocket-Protocol: {subprotocol}", "Authorization: Bearer {1}")
        accepted = b'"ok":true' if text else b"\xa2ok\xc3"
        return Speech(request("/ws", *headers), (SIGN.encode(),), accepted=accepted)

    def listener(self, running: Running, room: int, number: int) -> Arguments:
        return (self.token(running, player_in(str(room), number)), b"%d" % room)

    def publisher(self, running: Running, room: int) -> Arguments:
        return (self.token(running, player_in(BACKSTAGE, room)), b"%d" % room)

    def commander(self, running: Running, number: int) -> Arguments:
        """Somebody backstage, with a thing of their own, as JSON and as MessagePack writes its number."""
        token = self.token(running, player_in(BACKSTAGE, number))
        return token, b"%d" % (number % ITEMS), MSGPACK.encode(number % ITEMS)

    def token(self, running: Running, player: str) -> bytes:
        signing = ServerSettings.load(running.shared.environ)
        return issue_token(signing, player, lifetime=TOKEN_SECONDS).encode()

    def message(self, payload: str) -> Message:
        command = {"type": "mark", "id": ID, "room": "{2}", "slot": TURN, "text": payload}
        return Message(json.dumps(command, separators=(",", ":")).encode())

    def command(self) -> Message:
        return self.sent("nothing")

    def sent(self, name: str, *, hot: bool = False) -> Message:
        """A command in the listeners' encoding, about a thing of the commander's own or about one thing of all."""
        what = 0 if hot else OWN
        encoded = self._codec.encode({"type": name, "id": ID, "what": what, "by": 1})
        own = b"{2}" if self._codec.text else b"{3}"
        return Message(encoded.replace(self._codec.encode(OWN), own), self._codec.text)


def buses() -> list[Bus]:
    """One for each encoding that the server knows."""
    return [Bus(JSON), Bus(MSGPACK), Bus(JSON, listening=COMPACT)]
