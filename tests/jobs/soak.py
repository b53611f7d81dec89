"""A soak: a manager with real boards that are leased, go idle, are asked for signs of life, unplugged and plugged in.

Run by hand: ``python -m tests.jobs.soak [--seconds N] [--boards N]``. Memory, descriptors, tasks and threads of this
process are sampled once a second. The exit status is 1 when a result was wrong, or when the median of one of them is
higher in the last third than in the middle third: by more than a hundredth for memory, by a tenth for the others.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import statistics
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from belay_py import BelayError, DeviceSessionManager, events
from belay_py.virtual import open_board

if TYPE_CHECKING:
    from belay_py.virtual import BoardProcess

PAGE = os.sysconf("SC_PAGE_SIZE")
ROOM_FOR_CHANCE = {"memory": 0.01, "descriptors": 0.1, "tasks": 0.1, "threads": 0.1}


class Soak:
    """All of it, and what was seen."""

    def __init__(self, boards: int, seconds: float) -> None:
        self.names = [f"soak-{number}" for number in range(boards)]
        self.seconds = seconds
        self.boards: dict[str, BoardProcess] = {}
        self.done: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.samples: dict[str, list[float]] = {what: [] for what in ROOM_FOR_CHANCE}
        # One board more than may be open, so that some are closed to make room.
        self.manager = DeviceSessionManager(
            max_sessions=boards - 1, cleanup_interval=1.0, quarantine_after=0, lease_timeout=20.0
        )

    def heard(self, event: events.SessionEvent) -> None:
        name = type(event).__name__
        if isinstance(event, events.SessionDisconnected):
            name += f" ({event.reason})"
        self.events[name] += 1

    async def works(self, number: int) -> None:
        """Lease boards, by name and by tag, with pauses in which they grow idle."""
        chance = random.Random(number)
        count = 0
        while True:
            count += 1
            token = f"{number} {count} {chance.random()}"
            by_name = chance.random() < 0.5
            try:
                async with (
                    self.manager.lease(chance.choice(self.names))
                    if by_name
                    else self.manager.lease(tags={chance.choice(("even", "odd"))})
                ) as session:
                    for _ in range(chance.randint(1, 20)):
                        output = (await session.execute(f"print({token!r})")).output
                        if output != f"{token}\n":
                            self.wrong.append(f"{session.device_id}: {output!r} in place of {token!r}")
                self.done["by name" if by_name else "by tag"] += 1
            except BelayError as error:
                self.errors[type(error).__name__] += 1
            await asyncio.sleep(chance.random() * 3)

    async def unplugs(self) -> None:
        """Pull plugs."""
        chance = random.Random("plugs")
        while True:
            await asyncio.sleep(chance.random() * 4)
            board = self.boards[chance.choice(self.names)]
            await asyncio.to_thread(board.unplug)
            try:
                await asyncio.sleep(chance.random() * 2)
            finally:
                await asyncio.shield(asyncio.to_thread(board.replug))

    async def samples_taken(self) -> None:
        """Look at this process once a second."""
        while True:
            await asyncio.sleep(1)
            self.samples["memory"].append(memory())
            self.samples["descriptors"].append(_descriptors())
            self.samples["tasks"].append(len(asyncio.all_tasks()))
            self.samples["threads"].append(threading.active_count())

    async def run(self) -> None:
        for name in self.names:
            self.boards[name] = await asyncio.to_thread(open_board, f"virtual:{name}")
        try:
            async with self.manager:
                self.manager.subscribe(self.heard)
                for number, name in enumerate(self.names):
                    await self.manager.create_session(
                        name,
                        f"virtual:{name}",
                        tags={"odd" if number % 2 else "even"},
                        connect=False,
                        idle_timeout=3.0,
                        heartbeat_interval=0.5,
                        health_check_interval=1.0,
                        check_after=0.5,
                        reconnect_delay=0.1,
                        max_reconnect_delay=1.0,
                    )
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.seconds), asyncio.TaskGroup() as tasks:
                        for number in range(len(self.names) * 2):
                            tasks.create_task(self.works(number))
                        tasks.create_task(self.unplugs())
                        tasks.create_task(self.samples_taken())
        finally:
            for board in self.boards.values():
                await asyncio.to_thread(board.close)

    def report(self) -> int:
        out = sys.stdout.write
        for title, counts in (("done", self.done), ("errors", self.errors), ("events", self.events)):
            out(f"{title:8} {', '.join(f'{name} {count}' for name, count in sorted(counts.items())) or 'none'}\n")
        out(f"{'wrong':8} {self.wrong or 'nothing'}\n")
        status = 1 if self.wrong else 0
        for what, values in self.samples.items():
            third = len(values) // 3
            parts = [values[:third], values[third : 2 * third], values[2 * third :]]
            medians = [statistics.median(part) for part in parts]
            highest = [max(part) for part in parts]
            grown = medians[2] / medians[1] - 1
            out(f"{what:12} medians {medians}, highest {highest} of the thirds: {grown:+.2%} at last\n")
            status |= grown > ROOM_FOR_CHANCE[what]
        return status


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def memory(pid: int | None = None) -> float:
    """The megabytes that a process, this one by default, has in memory, of which other programs share none."""
    resident, shared = map(int, Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1:3])
    return (resident - shared) * PAGE / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--boards", type=int, default=6)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    soak = Soak(options.boards, options.seconds)
    began, cpu = time.monotonic(), time.process_time()
    asyncio.run(soak.run())
    sys.stdout.write(
        f"{options.boards} boards, {time.monotonic() - began:.0f} s, {time.process_time() - cpu:.1f} s of CPU\n"
    )
    sys.exit(soak.report())


if __name__ == "__main__":
    main()
