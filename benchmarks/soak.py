"""`python -m benchmarks.soak`: W2 for half an hour with people who come and go and people who read slowly.

Every minute one line; at the end, whether memory stayed flat and every replica right.
"""

from __future__ import annotations

import argparse
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress

from benchmarks.bus import Bus
from benchmarks.contestants import Running
from benchmarks.fanout import BURST, HZ, ROOMS, SIZE, payload
from benchmarks.native import Unavailable
from benchmarks.script import Figures, Script
from gameserver.bench.figures import facts_page
from gameserver.bench.machine import Cores, allow_many_connections, facts
from gameserver.bench.processes import BenchmarkFailed

CLIENTS = 1000
SLOW = 50
"""Of them; they read little of what they are sent."""
CHURN = 10.0
"""Who come, and who go, every second."""
COMING = 200
"""Of the clients; each stays for twenty seconds. As many more are away."""
WARM_UP = 2
"""Minutes in which memory may still grow."""
FLAT = 0.05
COUNTERS = ("drift", "resyncs", "reloads", "demoted", "promoted", "task_failures")
"""Of /metrics, in the table's last columns."""
HEADS = ("minute", "deliveries/s", "p50 ms", "p99 ms", "worst ms", "core %", "RSS MiB", "joins", "cut off", *COUNTERS)


def main(argv: Sequence[str] | None = None) -> int:
    """0 when memory stayed flat and nothing drifted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="W2 with churn and slow readers.")
    parser.add_argument("--minutes", type=float, default=30.0, help="default: %(default)s")
    parser.add_argument("--interval", type=float, default=60.0, help="seconds for a line (default: %(default)s)")
    arguments = parser.parse_args(argv)
    allow_many_connections()
    print(facts_page(facts()), "\n")
    try:
        lines = list(soak(arguments.minutes * 60, arguments.interval))
    except (BenchmarkFailed, Unavailable) as failure:
        print(failure, file=sys.stderr)
        return 1
    return verdict(lines, arguments.interval)


def soak(seconds: float, interval: float) -> Iterator[Figures]:
    """Yields what each interval came to, and prints it."""
    bus, cores = Bus(), Cores.of_this_machine()
    print("  ".join(HEADS))
    with bus.start(cores, ROOMS) as running:
        made = script(bus, running, seconds, interval)
        minute = 0.0
        for found in made.results(running.port, cores.load, running.processes):
            if "interval" in found:
                found["metrics"] = metrics(running.port)
                minute += found["seconds"] / 60
                print_line(minute, found)
                yield found


def script(bus: Bus, running: Running, seconds: float, interval: float) -> Script:
    made = Script()
    made.say("stride", SIZE - 20)
    first = 0
    for name, many, slow, churn in (
        ("listeners", CLIENTS - COMING - SLOW, False, 0.0),
        ("slow", SLOW, True, 0.0),
        ("coming", 2 * COMING, False, CHURN),
    ):
        arguments = [bus.listener(running, number % ROOMS, number) for number in range(first, first + many)]
        made.group(name, bus.listeners(), arguments, slow=slow, churn=churn)
        first += many
    made.group("publishers", bus.publishers(), [bus.publisher(running, room) for room in range(ROOMS)])
    for name in ("listeners", "slow", "coming", "publishers"):
        made.join(name)
    made.phase(
        "soak",
        "paced",
        "publishers",
        bus.message(payload()),
        ROOMS * HZ,
        many=BURST,
        seconds=seconds + 1,
        warm_up=1.0,
        interval=interval,
    )
    return made


def metrics(port: int) -> dict[str, float]:
    """The counters of the server; what it does not say is left out."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = {}
    for line in lines:
        name, _, value = line.partition(" ")
        for counter in COUNTERS:
            if name == f"gameserver_{counter}_total":
                with suppress(ValueError):
                    found[counter] = float(value)
    return found


def print_line(minute: float, found: Figures) -> None:
    seconds, latency = found["seconds"], found["delivery"]
    cells = [
        f"{minute:.1f}",
        f"{found['delivered'] / seconds:,.0f}",
        f"{1e3 * latency.get('p50', 0):.2f}",
        f"{1e3 * latency.get('p99', 0):.2f}",
        f"{1e3 * latency['worst']:.1f}",
        f"{100 * found['cpu']['server'] / seconds:.1f}",
        f"{found['resident_kib']['server'] / 1024:.1f}",
        f"{found['joins']}",
        f"{found['lost']}",
        *(f"{found['metrics'].get(counter, 0):.0f}" for counter in COUNTERS),
    ]
    print("  ".join(cell.rjust(len(head)) for cell, head in zip(cells, HEADS, strict=True)), flush=True)


def verdict(lines: list[Figures], interval: float) -> int:
    """Memory after the warm-up: the mean of the last fifth beside that of the first."""
    settled = lines[round(WARM_UP * 60 / interval) :]
    if len(settled) < 2:
        print("\nToo short to say whether memory is flat.")
        return 0
    fifth = max(1, len(settled) // 5)
    resident = [line["resident_kib"]["server"] for line in settled]
    early, late = sum(resident[:fifth]) / fifth, sum(resident[-fifth:]) / fifth
    growth = late / early - 1
    drift = lines[-1]["metrics"].get("drift", 0.0)
    print(f"\nmemory {100 * growth:+.1f} % ({'flat' if abs(growth) <= FLAT else 'NOT FLAT'}), drift {drift:.0f}")
    return 0 if growth <= FLAT and not drift else 1


if __name__ == "__main__":
    sys.exit(main())
