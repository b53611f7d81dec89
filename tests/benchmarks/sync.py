"""What a sync of many small files costs, as ratios to the wire's floor of 10 bits per byte. Run by hand:

    python -m tests.benchmarks.sync [--files N] [--size BYTES] [--baudrate N] [--latency SECONDS]

On a virtual board behind a wire of that rate and then directly: the first sync, one with nothing changed, one with
three files changed, and one with everything removed from the host. The floor of the first and the third is what the
files hold; that of the others is one round trip of nothing. Beside each are the executions and the bytes both ways.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from belay_py import DeviceSession
from belay_py.testing import FaultyWire
from belay_py.virtual import VirtualBoard


async def measure(session: DeviceSession, folder: Path, files: list[Path], baudrate: int | None) -> None:
    """Print one line for each sync."""
    await session.files.list("/")  # the kits go first: they are no part of what is measured
    await session.files.plan_sync(folder, "/nothing")
    began = time.perf_counter()
    await session.execute("pass")
    round_trip = time.perf_counter() - began

    async def sync(what: str) -> None:
        before = session.statistics
        began = time.perf_counter()
        plan = await session.files.sync(folder, delete=True)
        seconds = time.perf_counter() - began
        after = session.statistics
        sent, received = after.bytes_sent - before.bytes_sent, after.bytes_received - before.bytes_received
        floor = plan.bytes * 10 / baudrate if baudrate and plan.bytes else round_trip
        say(
            f"{what:28} {seconds:7.3f} s  ratio {seconds / floor:7.2f} to a floor of {floor:.4f} s  "
            f"{after.operations - before.operations} executions  {sent} + {received} bytes"
        )

    await sync(f"{len(files)} files, first")
    await sync("nothing changed")
    for path in files[:3]:
        path.write_bytes(path.read_bytes()[::-1])
    await sync("three changed")
    for path in files:
        path.unlink()
    await sync("all removed")


def make(folder: Path, count: int, size: int) -> list[Path]:
    """Make files, ten to a folder."""
    files = []
    for number in range(count):
        path = folder / f"package_{number // 10}" / f"module_{number}.py"
        files.append(path)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((f"value = {number}\n" * size).encode()[:size])
    return files


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def run(count: int, size: int, baudrate: int, latency: float) -> None:
    """Measure on a wire, then without."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make(folder, count, size)
        say(f"{count} files of {size} bytes at {baudrate} baud, {latency * 1000:g} ms each way")
        async with (
            VirtualBoard(overrun="drop") as board,
            FaultyWire(board.port, baudrate=baudrate, latency=latency) as wire,
            DeviceSession(wire.port, baudrate=baudrate) as session,
        ):
            await measure(session, folder, files, baudrate)
        make(folder, count, size)
        say(f"{count} files of {size} bytes on a direct link")
        async with DeviceSession("virtual:") as session:
            await measure(session, folder, files, None)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--baudrate", type=int, default=115200)
    parser.add_argument("--latency", type=float, default=0.001)
    options = parser.parse_args()
    asyncio.run(run(options.files, options.size, options.baudrate, options.latency))


if __name__ == "__main__":
    main()
