"""Real Redis servers for tests: one alone, or a cluster of three primaries, on free ports of 127.0.0.1."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

HOST = "127.0.0.1"
START_DEADLINE = 20.0
POLL = 0.02


class RedisServer:
    """One `redis-server` process in a directory of its own; `options` are its command-line options."""

    def __init__(self, *options: str, port: int | None = None, directory: str | None = None) -> None:
        self.binary = shutil.which("redis-server")
        if self.binary is None:
            raise RuntimeError(
                "These tests need a real Redis 7: install it (Debian: apt-get install redis-server, "
                "macOS: brew install redis) so that redis-server is on PATH."
            )
        self.options = options
        self.port = port or free_port()
        self._temporary = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="redis-")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    def start(self) -> RedisServer:
        """Returns when it answers PING."""
        command = [str(self.binary), "--port", str(self.port), "--bind", HOST, "--dir", self.directory]
        command += ["--save", "", "--appendonly", "no", *self.options]
        with Path(self.directory, "redis.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        wait_until(self._answers, f"redis-server on port {self.port}")
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            log = Path(self.directory, "redis.log").read_text(errors="replace")
            raise RuntimeError(f"redis-server ended with code {self.process.returncode}:\n{log[-2000:]}")
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        """A plain blocking client, for looking at the server from outside."""
        return redis.Redis(host=HOST, port=self.port, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def freeze(self) -> None:
        """SIGSTOP: the process keeps its sockets and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; `start` may follow, on the same port and directory."""
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """End it and remove its directory."""
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.kill()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


class RedisCluster:
    """Three primaries that share the slots evenly; no replicas."""

    SIZE = 3

    def __init__(self) -> None:
        self.nodes: list[RedisServer] = []

    @property
    def url(self) -> str:
        return self.nodes[0].url

    def start(self) -> RedisCluster:
        """Returns when every node sees the cluster whole."""
        self.nodes = [self._node().start() for _ in range(self.SIZE)]
        edges = [index * 16384 // self.SIZE for index in range(self.SIZE + 1)]
        for node, first, after in zip(self.nodes, edges, edges[1:], strict=False):
            with node.client() as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
                for other in self.nodes:
                    if other is not node:
                        client.execute_command("CLUSTER", "MEET", HOST, other.port, _bus_port(other))
        for node in self.nodes:
            with node.client() as client:
                wait_until(lambda client=client: _is_whole(client, self.SIZE), "the cluster")
        return self

    def _node(self) -> RedisServer:
        bus = free_port()
        options = ("--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "2000")
        return RedisServer(*options)

    def owner(self, key: str) -> RedisServer:
        """The node that keeps a key, as the cluster itself says."""
        with self.nodes[0].client() as client:
            slot: Any = client.execute_command("CLUSTER", "KEYSLOT", key)
            ranges: Any = client.execute_command("CLUSTER", "SLOTS")
        port = next(primary[1] for first, last, primary, *_ in ranges if first <= slot <= last)
        return next(node for node in self.nodes if node.port == port)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


def _bus_port(node: RedisServer) -> str:
    return node.options[node.options.index("--cluster-port") + 1]


def _is_whole(client: redis.Redis, size: int) -> bool:
    answer: Any = client.execute_command("CLUSTER", "INFO")
    info = dict(line.split(":", 1) for line in answer.decode().split())
    return bool(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == info["cluster_size"] == str(size))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], what: str, deadline: float = START_DEADLINE) -> None:
    """Raises TimeoutError naming `what` when the condition does not come true within `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} was not ready within {deadline} s")
        time.sleep(POLL)


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    server = RedisServer(*options)
    with ExitStack() as stack:
        stack.callback(server.stop)
        yield server.start()


@contextmanager
def redis_cluster() -> Iterator[RedisCluster]:
    cluster = RedisCluster()
    with ExitStack() as stack:
        stack.callback(cluster.stop)
        yield cluster.start()
