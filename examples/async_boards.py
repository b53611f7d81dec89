"""Run the same program on several boards at once, and say what became of each.

    python examples/async_boards.py [PORT ...]

One board that is missing, or fails, does not disturb the others.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from belay_py import BelayError, DeviceSession

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = """
total = sum(i * i for i in range(20000))
print(total)
"""


async def measure(number: int, port: str) -> str:
    """Run the program on one board; return a line about it."""
    try:
        async with DeviceSession(port, device_id=f"board {number}") as session:
            result = await session.execute(PROGRAM, timeout=60)
            return f"{session.device_id}: {result.output.strip()}, on {session.info.platform}"
    except BelayError as error:
        return f"board {number}: {type(error).__name__}: {error}"


async def run(ports: Sequence[str]) -> None:
    """Run on all boards concurrently; print the lines in the order of the ports."""
    for line in await asyncio.gather(*(measure(number, port) for number, port in enumerate(ports, start=1))):
        print(line)


def main(ports: Sequence[str] = ("virtual:", "virtual:", "virtual:")) -> None:
    """Measure every board."""
    asyncio.run(run(ports))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("ports", nargs="*", metavar="port", default=["virtual:"] * 3)
    main(parser.parse_args().ports)
