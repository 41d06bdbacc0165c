"""The worker's figures in Prometheus' text format, read from the counters where they are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from gameserver.asgi.worker import Worker


class WorkerCollector(Collector):
    """Everything one worker counts."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        yield from self._gauges()
        yield from self._counters()

    def _gauges(self) -> Iterator[Metric]:
        worker, node = self._worker, self._worker.node
        yield _gauge("ready", "1 while commits and publications go round", worker.ready)
        yield _gauge("store_connected", "1 while the bus is connected to its store", worker.bus.connected)
        yield _gauge("ticking", "1 while this worker holds the lease", node.ticker.owner)
        yield _gauge("connections", "WebSocket sessions", len(node.sessions))
        yield _gauge("slow_members", "members with an outbox of their own", len(node.hub.slow.members))
        outboxes = (member.outbox.size for member in node.hub.slow.members if member.outbox is not None)
        yield _gauge("outbox_bytes", "memory of all outboxes, about", sum(outboxes))
        yield _gauge("rooms", "rooms replicated here", len(node.replication.rooms()))
        yield _gauge("command_backlog", "commands that wait for their batch or a room", node.committer.backlog)
        yield _gauge("loop_lag_seconds", "longest wait of the event loop lately", node.lag.longest)
        yield _gauge("commit_seconds", "from sending to reply, of the last batch", node.committer.stats.last)

    def _counters(self) -> Iterator[Metric]:
        node, bus = self._worker.node, self._worker.bus
        committer, replication = node.committer.stats, node.replication.stats
        hub, siblings, ticker = node.hub.stats, node.hub.siblings, node.ticker.stats
        yield _counter("batches", "batches committed", committer.batches)
        yield _counter("commands_accepted", "commands, ticks and arrivals committed", committer.accepted)
        yield _counter("commands_rejected", "commands refused by game code", committer.rejected)
        yield _counter("commands_answered_again", "retries of commands already committed", committer.answered)
        yield _counter("commands_unavailable", "commands refused for want of a store", committer.unavailable)
        yield _counter("conflicts", "runs repeated because another worker was first", committer.conflicts)
        yield _counter("claimed", "runs turned away by another's claim", committer.claimed)
        yield _counter("fenced", "ticks of a former owner refused by the store", committer.fenced)
        yield _counter("batches_resent", "batches sent again because no reply came", committer.resent)
        yield _counter("commits_applied", "commits applied to replicas", replication.applied)
        yield _counter("publications_duplicate", "publications that came twice", replication.duplicates)
        yield _counter("gaps", "publications found missing by seq", replication.gaps)
        yield _counter("lost_echoes", "own publications found missing by the reply", replication.lost_echoes)
        yield _counter("lost_tails", "publications found missing by comparing positions", replication.lost_tails)
        yield _counter("repairs", "replicas repaired from the log", replication.repairs)
        yield _counter("reloads", "replicas replaced by a snapshot", replication.reloads)
        yield _counter("drift", "replicas that differed from their checksum", replication.drift)
        yield _counter("poison", "payloads on the bus that could not be read", replication.poison)
        yield _counter("resyncs", "snapshots that clients asked for", node.resyncs)
        yield _counter("deliveries", "frames handed to connections", hub.deliveries)
        yield _counter("flushes", "flushes of pending changes", hub.flushes)
        yield _counter("demoted", "members that became slow", hub.demoted)
        yield _counter("promoted", "members that caught up", hub.promoted)
        yield _counter("signals", "signals passed on", hub.signals)
        yield _counter("held", "commits held back for a sibling room", siblings.held)
        yield _counter(
            "held_too_long", "commits shown without a sibling that did not come", node.hub.siblings.held_too_long
        )
        yield _counter("ticks", "ticks committed", ticker.ticks)
        yield _counter("ticks_skipped", "ticks that found the one before uncommitted", ticker.skipped)
        yield _counter("verifications", "verification ticks", node.verifier.ticks)
        yield _counter("rooms_verified", "rooms whose checksum was sent to clients", node.verifier.proven)
        yield _counter("store_reconnects", "connections to the store made anew", bus.stats.reconnects)
        yield _counter("loop_stalls", "times the event loop stood still for half a second or more", node.lag.stalls)
        yield _counter("task_failures", "background tasks that failed", node.supervisor.failures)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"gameserver_{name}", text, value=float(value))


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"gameserver_{name}", text, value=float(value))


def exposition(worker: Worker) -> bytes:
    """Everything in the text format, version 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(WorkerCollector(worker))
    return generate_latest(registry)
