"""What things cost as they grow: files from 1 KiB to 1 MiB, 1 to 64 boards at once, 1 to 10,000 executions.

Run by hand, on a machine that does little else: ``python -m tests.benchmarks.growth [--quick] [--write]``.

Boards are virtual ones, each a process; a straight line in the figures is a cost that is proportional. Beside each
time stands what this process itself used of a processor, since the boards share the machine's processors with it. The
line ``fixed + each * n`` is the one from which the times differ least, in proportion; how far they do is in the table.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from belay_py import DeviceSession

from .exec import virtual_board
from .figures import Lines, draw
from .files import some_text
from .pages import FIGURES, PAGE, machine, replace_part, table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SIZES = (1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20)
BOARDS = (1, 2, 4, 8, 16, 32, 64)
EXECUTIONS = (1, 10, 100, 1000, 10_000)
ON_EACH = 100
"""Executions on each board of many."""


async def _nothing() -> None:
    """Undo nothing."""


@dataclass
class Growth:
    """Seconds, and CPU seconds of this process, by how much was done."""

    title: str
    across: str
    seconds: dict[int, float] = field(default_factory=dict)
    cpu: dict[int, float] = field(default_factory=dict)

    async def measure(
        self,
        amount: int,
        work: Callable[[], Awaitable[object]],
        runs: int,
        undo: Callable[[], Awaitable[object]] = _nothing,
    ) -> None:
        """Do it several times and keep the median; what undoes it does not count."""
        times, busy = [], []
        for _ in range(runs):
            used, began = time.process_time(), time.perf_counter()
            await work()
            times.append(time.perf_counter() - began)
            busy.append(time.process_time() - used)
            await undo()
        self.seconds[amount], self.cpu[amount] = statistics.median(times), statistics.median(busy)
        sys.stderr.write(f"{self.title}: {amount}: {self.seconds[amount]:.4f} s, CPU {self.cpu[amount]:.4f} s\n")

    def line(self) -> tuple[float, float]:
        """What it costs at all, and what each one costs: the line from which the times differ least, in proportion."""
        points = [(amount, seconds, seconds**-2) for amount, seconds in self.seconds.items()]
        whole = sum(weight for *_, weight in points)
        across = sum(amount * weight for amount, _, weight in points) / whole
        up = sum(seconds * weight for _, seconds, weight in points) / whole
        each = sum((amount - across) * (seconds - up) * weight for amount, seconds, weight in points) / sum(
            (amount - across) ** 2 * weight for amount, _, weight in points
        )
        return up - each * across, each

    def rows(self) -> list[list[str]]:
        """A row for each amount."""
        fixed, each = self.line()
        rows = []
        for amount, seconds in self.seconds.items():
            per_one = [f"{seconds / amount * 1e6:,.2f}", f"{self.cpu[amount] / amount * 1e6:,.2f}"]
            rows.append([f"{amount:,}", f"{seconds:.4f}", *per_one, f"{seconds / (fixed + each * amount):.2f} x"])
        return rows

    def panel(self) -> Lines:
        """Its figure."""
        fixed, each = self.line()
        return Lines(
            self.title, self.across, "seconds",
            {
                "measured": list(self.seconds.items()),
                "a straight line": [(amount, fixed + each * amount) for amount in self.seconds],
                "CPU of this process": [(amount, max(busy, 1e-5)) for amount, busy in self.cpu.items()],
            },
            ("a straight line",),
        )  # fmt: skip


async def files(most: int, *, text: bool) -> Growth:
    kind = "text" if text else "random bytes"
    growth = Growth(f"put of a file, {kind}", "bytes")
    async with DeviceSession("virtual:") as session:
        for size in (size for size in SIZES if size <= most):
            data = some_text(size) if text else random.randbytes(size)

            async def work(data: bytes = data) -> None:
                await session.files.put(data, "/file")

            await work()
            await growth.measure(size, work, 3)
    return growth


async def executions(most: int) -> Growth:
    growth = Growth("executions, one after the other", "executions")
    async with DeviceSession("virtual:") as session:
        await session.execute("pass")
        for count in (count for count in EXECUTIONS if count <= most):

            async def work(count: int = count) -> None:
                for _ in range(count):
                    await session.execute("pass")

            await growth.measure(count, work, 1 if count > 1000 else 5)
    return growth


async def boards(most: int) -> tuple[Growth, Growth]:
    connecting = Growth("boards connected at once", "boards")
    running = Growth(f"{ON_EACH} executions on each of so many boards at once", "boards")
    with ExitStack() as started:
        ports = [started.enter_context(virtual_board()) for _ in range(most)]
        for count in (count for count in BOARDS if count <= most):
            sessions = [DeviceSession(port, connection_timeout=120) for port in ports[:count]]

            async def begin(sessions: list[DeviceSession] = sessions) -> None:
                await asyncio.gather(*(session.connect() for session in sessions))

            async def one(session: DeviceSession) -> None:
                for _ in range(ON_EACH):
                    await session.execute("pass")

            async def all_of_them(sessions: list[DeviceSession] = sessions) -> None:
                await asyncio.gather(*(one(session) for session in sessions))

            async def end(sessions: list[DeviceSession] = sessions) -> None:
                await asyncio.gather(*(session.disconnect() for session in sessions))

            await begin()
            await end()
            await connecting.measure(count, begin, 3, end)
            await begin()
            await all_of_them()
            await running.measure(count, all_of_them, 3)
            await asyncio.gather(*(session.close() for session in sessions))
    return connecting, running


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="up to 64 KiB, 16 boards, 1,000 executions")
    parser.add_argument("--write", action="store_true", help="write tables and figure into docs/performance.md")
    options = parser.parse_args()
    quick = options.quick
    all_of_it = [
        await executions(1000 if quick else 10_000),
        await files(65536 if quick else 1 << 20, text=False),
        await files(65536 if quick else 1 << 20, text=True),
        *await boards(16 if quick else 64),
    ]
    parts = [f"Measured with: {machine()}."]
    for growth in all_of_it:
        fixed, each = growth.line()
        parts.append(
            f"*{growth.title}*: {max(fixed, 0) * 1e3:.2f} ms and {each * 1e6:,.2f} µs for each\n\n"
            + table([growth.across, "seconds", "µs each", "CPU µs each", "by the line"], growth.rows())
        )
    sys.stdout.write("\n\n".join(parts) + "\n")
    if options.write:
        FIGURES.mkdir(exist_ok=True)
        draw([growth.panel() for growth in all_of_it], FIGURES / "growth.svg")
        replace_part(PAGE, "growth", "\n\n".join([parts[0], f"![Growth]({FIGURES.name}/growth.svg)", *parts[1:]]))


if __name__ == "__main__":
    asyncio.run(main())
