"""How fast files move, as ratios to the wire's floor of 10 bits per byte. Run by hand:

    python -m tests.benchmarks.files [--size KIB] [--runs N] [--baudrate N] [--latency SECONDS]

On a virtual board behind a wire of that rate, then directly, where the floor is unknown and the speed is told. The
floor of text is what zlib makes of it in blocks of 4 KiB, at the wire's speed. The first put sends the kit, which is
told apart.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import random
import statistics
import sys
import time
import zlib
from typing import TYPE_CHECKING

from belay_py import DeviceSession
from belay_py.session.files.transfer import ENCODINGS
from belay_py.testing import FaultyWire
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def some_text(size: int) -> bytes:
    """Return what looks like the log of a board."""
    chance = random.Random(1)
    words = ["temperature", "sensor", "pressure", "humidity", "error", "retry", "connected", "timeout", "value"]
    lines = (
        f"{chance.randrange(10**6):07d} {chance.choice(words)} {chance.choice(words)}={chance.random():.4f}\n"
        for _ in range(size // 16)
    )
    return "".join(lines).encode()[:size]


def deflated(data: bytes) -> int:
    """Return how many bytes zlib makes of some in blocks of 4 KiB."""
    total = 0
    for start in range(0, len(data), 4096):
        packer = zlib.compressobj(9, zlib.DEFLATED, -12)
        total += len(packer.compress(data[start : start + 4096]) + packer.flush())
    return total


async def median(runs: int, work: Callable[[], Awaitable[object]]) -> float:
    """Return the median of the seconds that something takes."""
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


async def measure(session: DeviceSession, size: int, runs: int, baudrate: int | None) -> None:
    """Print one line for each way of moving a file."""
    contents = {"random": random.Random(0).randbytes(size), "text": some_text(size)}
    began = time.perf_counter()
    first = await session.files.put(b"", "/bench")
    say(f"first put of nothing, the kit in it: {(time.perf_counter() - began) * 1000:.0f} ms, {first.sent} bytes")
    nothing = await median(runs, lambda: session.files.put(b"", "/bench"))
    say(f"put of nothing: {nothing * 1000:.2f} ms")
    for name, content in contents.items():
        least = size if name == "random" else deflated(content)
        for way in (None, *ENCODINGS) if baudrate is None else (None, "binary", "literal"):
            seconds = await median(runs, functools.partial(session.files.put, content, "/bench", encoding=way))
            tell(f"put {name} {way or 'as chosen'}", seconds, size, least, baudrate)
        seconds = await median(runs, lambda: session.files.get("/bench"))
        assert await session.files.get("/bench") == content
        tell(f"get {name}", seconds, size, size, baudrate)


def tell(what: str, seconds: float, size: int, least: int, baudrate: int | None) -> None:
    """Print one figure."""
    if baudrate is None:
        say(f"{what:28} {seconds * 1000:9.1f} ms  {size / seconds / 1e6:6.2f} MB/s")
    else:
        floor = least * 10 / baudrate
        say(f"{what:28} {seconds:7.3f} s  floor {floor:.3f} s  ratio {seconds / floor:.3f}")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def run(size: int, runs: int, baudrate: int, latency: float) -> None:
    """Measure on a wire, then without."""
    async with VirtualBoard(overrun="drop") as board:
        say(f"{size >> 10} KiB at {baudrate} baud, {latency * 1000:g} ms each way, {runs} runs")
        async with (
            FaultyWire(board.port, baudrate=baudrate, latency=latency) as wire,
            DeviceSession(wire.port, baudrate=baudrate) as session,
        ):
            await measure(session, size, runs, baudrate)
    say(f"{size >> 10} KiB on a direct link")
    async with DeviceSession("virtual:") as session:
        await measure(session, size, runs * 3, None)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64, help="KiB")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--baudrate", type=int, default=115200)
    parser.add_argument("--latency", type=float, default=0.001)
    options = parser.parse_args()
    asyncio.run(run(options.size << 10, options.runs, options.baudrate, options.latency))


if __name__ == "__main__":
    main()
