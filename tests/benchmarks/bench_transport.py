"""Echo round trips over a pseudo-terminal: bare system calls, our transport, pyserial-asyncio as it is.

Run by hand: ``python -m tests.benchmarks.bench_transport``. Blocks are interleaved, so that what else the machine does
falls on all alike; the figure to judge by is the median of the ratios to the floor of the same round.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import select
import statistics
import sys
import time
import tty
from typing import TYPE_CHECKING

import serial
import serial_asyncio

from belay_py.transports import LinkOptions, open_transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

REQUEST = b"\x05A\x01pass\x04"
ROUNDS = 41
ECHOES = 300


def echo(master: int) -> None:
    """The board: answers at once, in a process of its own."""
    while True:
        try:
            data = os.read(master, 4096)
        except OSError:
            return
        os.write(master, data)


class Echoing(asyncio.Protocol):
    """One future per round trip, as a lean session has it."""

    def __init__(self) -> None:
        self.waiter: asyncio.Future[None] | None = None
        self.missing = 0
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.missing -= len(data)
        if not self.missing and self.waiter is not None:
            self.waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


async def trips(transport: asyncio.WriteTransport, protocol: Echoing) -> float:
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    for _ in range(ECHOES):
        protocol.waiter = loop.create_future()
        protocol.missing = len(REQUEST)
        transport.write(REQUEST)
        await protocol.waiter
    return (time.perf_counter() - start) / ECHOES


async def floor(path: str) -> float:
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(fd)
        start = time.perf_counter()
        for _ in range(ECHOES):
            os.write(fd, REQUEST)
            missing = len(REQUEST)
            while missing:
                missing -= len(os.read(fd, 4096))
        return (time.perf_counter() - start) / ECHOES
    finally:
        os.close(fd)


async def selecting_floor(path: str) -> float:
    """The floor, with the readiness call that any event loop has to make."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    poll = select.epoll()
    poll.register(fd, select.EPOLLIN)
    try:
        tty.setraw(fd)
        start = time.perf_counter()
        for _ in range(ECHOES):
            os.write(fd, REQUEST)
            missing = len(REQUEST)
            while missing:
                poll.poll()
                missing -= len(os.read(fd, 4096))
        return (time.perf_counter() - start) / ECHOES
    finally:
        poll.close()
        os.close(fd)


async def ours(path: str) -> float:
    protocol = Echoing()
    transport = await open_transport(path, protocol, LinkOptions())  # type: ignore[arg-type]  # asyncio names its own base
    took = await trips(transport, protocol)  # type: ignore[arg-type]  # it has write
    transport.abort()
    await protocol.lost
    return took


async def theirs(path: str) -> float:
    loop = asyncio.get_running_loop()
    transport, protocol = await serial_asyncio.connection_for_serial(loop, Echoing, serial.Serial(path))
    await asyncio.sleep(0)
    took = await trips(transport, protocol)
    transport.abort()
    await protocol.lost
    return took


async def main() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    board = multiprocessing.get_context("fork").Process(target=echo, args=(master,), daemon=True)
    board.start()
    ways: dict[str, Callable[[str], Awaitable[float]]] = {
        "floor (read, write)": floor,
        "floor with epoll": selecting_floor,
        "belay_py": ours,
        "pyserial-asyncio": theirs,
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            taken[name].append(await way(path))
    board.kill()
    board.join()
    os.close(master)
    os.close(slave)
    bare = taken["floor (read, write)"]
    for name, times in taken.items():
        ratio = statistics.median(time / least for time, least in zip(times, bare, strict=True))
        sys.stdout.write(f"{name:20} {statistics.median(times) * 1e6:7.1f} us  {ratio:5.2f} x floor\n")


if __name__ == "__main__":
    asyncio.run(main())
