"""How far a faulty wire's time of a transfer is from ``10 * bytes / baudrate``. Run by hand:

    python -m tests.benchmarks.wire [--runs N] [--baudrates 9600,115200,921600]

A client and a silent board, both bare system calls, at the ends of a pseudo-terminal wire. The time is from
just before the write to just after the last byte was read, on one clock; so it has in it what the system
needs to wake both processes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import select
import statistics
import sys
import threading
import time
import tty

from belay_py.testing import FaultyWire

SIZES = (1024, 4096, 16384)
RATES = (9600, 19200, 57600, 115200, 230400, 460800, 921600)


def read_all(fd: int, count: int) -> float:
    """Read ``count`` bytes; return when the last one came."""
    while count:
        select.select([fd], [], [])
        count -= len(os.read(fd, 65536))
    return time.perf_counter()


def transfer(source: int, target: int, count: int) -> float:
    """Send bytes from one end to the other; return the seconds it took."""
    ended: list[float] = []
    reader = threading.Thread(target=lambda: ended.append(read_all(target, count)))
    reader.start()
    data = bytes(count)
    began = time.perf_counter()
    while data:
        select.select([], [source], [])
        data = data[os.write(source, data) :]
    reader.join()
    return ended[0] - began


async def measure(rate: int, runs: int) -> None:
    """Print one line per size and direction."""
    master, slave = os.openpty()
    tty.setraw(slave)
    async with FaultyWire(os.ttyname(slave), baudrate=rate) as wire:
        client = os.open(wire.port, os.O_RDWR | os.O_NOCTTY)
        for size in SIZES:
            if size * 10 / rate * runs > 120:
                continue
            for name, ends in (("to board", (client, master)), ("to host", (master, client))):
                transfer(*ends, 16)
                ratios = [transfer(*ends, size) / (size * 10 / rate) for _ in range(runs)]
                sys.stdout.write(
                    f"{rate:7} baud  {size:6} bytes {name:8}  median {statistics.median(ratios):.4f}  "
                    f"best {min(ratios):.4f}  worst {max(ratios):.4f}\n"
                )
                sys.stdout.flush()
        os.close(client)
    os.close(master)
    os.close(slave)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--baudrates", default=",".join(map(str, RATES)))
    options = parser.parse_args()
    for rate in options.baudrates.split(","):
        asyncio.run(measure(int(rate), options.runs))


if __name__ == "__main__":
    main()
