"""What a virtual board costs: starting, memory, one execution, one Ctrl-C.

Run by hand: ``python -m tests.benchmarks.bench_virtual``. The figures are medians, with the fastest and slowest in
brackets; the machine's load is printed, since anything else that runs is measured too. The artifact must be in the
cache or in ``BELAY_VIRTUAL_WASM``: nothing is downloaded while the clock runs.

warm start      from `BoardProcess.start` to a verified raw prompt, machine code in the cache
cold start      the same with an empty cache, so that MicroPython is compiled
memory          resident memory of the board's process at the prompt (Linux only)
execution       `await session.execute("pass")`, over the socket to the board's process
Ctrl-C          `await session.interrupt()` against `while True: pass`, until the board is at its prompt again
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from belay_py import DeviceSession, Interrupted
from belay_py.virtual import VirtualBoard, artifact, firmware

if TYPE_CHECKING:
    from collections.abc import Sequence

STARTS = 9
COLD_STARTS = 5
EXECUTIONS = 2000
INTERRUPTS = 200


async def start_to_prompt() -> float:
    begun = time.perf_counter()
    async with VirtualBoard() as board, DeviceSession(board.port):
        return time.perf_counter() - begun


async def cold_start(binary: bytes) -> float:
    with tempfile.TemporaryDirectory() as folder:
        os.environ[artifact.CACHE_VARIABLE] = folder
        artifact.write_cache(f"micropython-{firmware.VERSION}.wasm", binary)
        return await start_to_prompt()


def resident(pid: int | None) -> float | None:
    """Megabytes, or None where /proc does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


async def execution(session: DeviceSession) -> float:
    begun = time.perf_counter()
    await session.execute("pass")
    return time.perf_counter() - begun


async def interruption(session: DeviceSession) -> float:
    async with aclosing(session.stream("print('on')\nwhile True: pass", timeout=60)) as pieces:
        await anext(pieces)  # the loop is next
        begun = time.perf_counter()
        await session.interrupt()
        took = time.perf_counter() - begun
        try:
            await anext(pieces, None)
        except Interrupted:
            return took
    raise AssertionError("the loop ended of itself")


def report(name: str, seconds: Sequence[float]) -> None:
    middle, least, most = (value * 1e3 for value in (statistics.median(seconds), min(seconds), max(seconds)))
    sys.stdout.write(f"{name:12} {middle:8.2f} ms  ({least:.2f} to {most:.2f}, {len(seconds)} times)\n")


async def main() -> None:
    if hasattr(os, "getloadavg"):
        sys.stdout.write(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.2f}\n")
    binary = await asyncio.to_thread(artifact.load)
    await start_to_prompt()  # fills the cache
    report("warm start", [await start_to_prompt() for _ in range(STARTS)])
    async with VirtualBoard() as board, DeviceSession(board.port) as session:
        memory = resident(board.process.pid)
        report("execution", [await execution(session) for _ in range(EXECUTIONS)])
        report("Ctrl-C", [await interruption(session) for _ in range(INTERRUPTS)])
    if memory is not None:
        sys.stdout.write(f"{'memory':12} {memory:8.1f} MB\n")
    report("cold start", [await cold_start(binary) for _ in range(COLD_STARTS)])


if __name__ == "__main__":
    asyncio.run(main())
