"""What 100 snippets cost by `execute` in a loop and by `execute_many`, on a direct link and on a paced wire.

Run by hand, on a machine that does little else: ``python -m tests.benchmarks.many [--rounds N]``. The paced wire has
115200 baud and 1 ms each way. Both ways take turns; the ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time

from belay_py import DeviceSession
from belay_py.testing import FaultyWire
from belay_py.virtual import VirtualBoard

COUNT = 100
SNIPPETS = {"pass": ["pass"] * COUNT, "print": [f"print({number})" for number in range(COUNT)]}


async def compare(name: str, port: str, rounds: int) -> None:
    async with DeviceSession(port, operation_timeout=60) as session:
        for case, snippets in SNIPPETS.items():
            loops, submissions = [], []
            await session.execute_many(snippets)
            for _ in range(rounds):
                start = time.perf_counter()
                for snippet in snippets:
                    await session.execute(snippet)
                middle = time.perf_counter()
                await session.execute_many(snippets)
                loops.append(middle - start)
                submissions.append(time.perf_counter() - middle)
            ratio = statistics.median(one / other for one, other in zip(loops, submissions, strict=True))
            sys.stdout.write(
                f"{name}, {COUNT} x {case}: loop {statistics.median(loops) * 1e3:.1f} ms, "
                f"execute_many {statistics.median(submissions) * 1e3:.1f} ms, {ratio:.2f} times as fast\n"
            )


async def run(rounds: int) -> None:
    async with VirtualBoard() as board:
        await compare("direct", board.port, rounds)
        async with FaultyWire(board.port, baudrate=115200, latency=0.001) as wire:
            await compare("115200 baud, 1 ms", wire.port, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="rounds (default 9)")
    asyncio.run(run(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
