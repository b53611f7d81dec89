"""What instruments cost an execution: none installed, one that wants nothing, OpenTelemetry without and with an SDK.

Run by hand, on a machine that does little else: ``python -m tests.benchmarks.instruments [--rounds N] [--count N]``.

A board answers at once; blocks of the ways are interleaved. The ratio is by the way without instruments, the median
over the rounds. What stands on the way of every execution while none is installed, a look at an empty tuple, is too
little for that: it is timed alone, a million times, less an empty loop. So is a scrape, of a manager with 100 devices.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import statistics
import sys
import time
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, generate_latest

from belay_py import DeviceSession, DeviceSessionManager
from belay_py.integrations.opentelemetry import Telemetry
from belay_py.integrations.prometheus import expose
from belay_py.metrics import Installed, Observed
from belay_py.session.about import About
from belay_py.testing import ScriptedBoard

from .exec import instant_board
from .layers import repeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.metrics import Instrument, Operation


class Deaf:
    """Wants nothing."""

    def begin(self, operation: Operation, /) -> None:
        """Want nothing."""


def with_an_sdk() -> Telemetry:
    """Give a telemetry whose spans are recorded, and exported nowhere."""
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    return Telemetry(tracer_provider=TracerProvider(shutdown_on_exit=False), meter_provider=meters)


WAYS: dict[str, Callable[[], Instrument | None]] = {
    "none": lambda: None,
    "one that wants nothing": Deaf,
    "OpenTelemetry, no SDK": Telemetry,
    "OpenTelemetry, SDK": with_an_sdk,
}


async def executions(path: str, rounds: int, count: int) -> dict[str, list[float]]:
    """Seconds for an execution, by way and round."""
    taken: dict[str, list[float]] = {name: [] for name in WAYS}
    async with DeviceSession(path) as session:
        instruments = {name: make() for name, make in WAYS.items()}
        for number in range(rounds + 1):
            for name, instrument in instruments.items():
                take_out = None if instrument is None else session.instrument(instrument)
                took = await repeat(lambda: session.execute("pass"), count)
                if take_out is not None:
                    take_out()
                if number:  # the first round warms everything up
                    taken[name].append(took)
    return taken


def alone(call: Callable[[], object], count: int = 1_000_000) -> float:
    """Nanoseconds of a call, less those of an empty one."""

    def best(one: Callable[[], object]) -> float:
        least = math.inf
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(count):
                one()
            least = min(least, time.perf_counter() - start)
        return least / count * 1e9

    return best(call) - best(lambda: None)


async def guards() -> dict[str, float]:
    """Nanoseconds of what is there while nobody watches."""
    session = DeviceSession("virtual:")
    log, about = logging.getLogger("belay_py.benchmark"), About("cafe", "pump", 1)
    standing = session._standing

    def watched(instrument: Instrument) -> float:
        installed = (Installed(instrument),)
        return alone(lambda: Observed(installed, standing.operation("execute")).ended(None), 50_000)

    return {
        "the look for instruments": alone(lambda: session._guard is None and not session._standing.instruments),
        "a line of the log that nobody wants, with its session": alone(lambda: log.debug("x", extra=about)),
        "the same without it": alone(lambda: log.debug("x")),
        "one that wants nothing, told of a begin and an end": watched(Deaf()),
        "OpenTelemetry without an SDK, told the same": watched(Telemetry()),
        "OpenTelemetry with an SDK, told the same": watched(with_an_sdk()),
    }


async def scrapes(devices: int) -> float:
    """Milliseconds of a scrape."""
    async with DeviceSessionManager(max_sessions=devices) as manager:
        boards = [ScriptedBoard(f"bench-{number}") for number in range(devices)]
        for number, board in enumerate(boards):
            await manager.create_session(f"board-{number}", board.port)
        registry = CollectorRegistry()
        expose(manager, registry=registry)
        return min([await repeat(lambda: asyncio.sleep(0, generate_latest(registry)), 1) for _ in range(20)]) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="rounds of interleaved blocks (default 15)")
    parser.add_argument("--count", type=int, default=1000, help="executions in a block (default 1000)")
    options = parser.parse_args()
    with instant_board() as path:
        taken = asyncio.run(executions(path, options.rounds, options.count))
    floor = taken["none"]
    for name, times in taken.items():
        ratio = statistics.median(time / least for time, least in zip(times, floor, strict=True))
        added = statistics.median(time - least for time, least in zip(times, floor, strict=True))
        sys.stdout.write(f"{name:24} {statistics.median(times) * 1e6:7.1f} us {ratio:6.3f} x {added * 1e6:+7.2f} us\n")
    for name, nanoseconds in asyncio.run(guards()).items():
        sys.stdout.write(f"{name}: {nanoseconds:.0f} ns\n")
    sys.stdout.write(f"a scrape of 100 devices: {asyncio.run(scrapes(100)):.1f} ms\n")


if __name__ == "__main__":
    main()
