"""The exchange of ``execute("pass")`` by more and more of belay_py, from bare system calls to the blocking face."""

from __future__ import annotations

import asyncio
import math
import os
import time
import tty
from typing import TYPE_CHECKING

from belay_py import DeviceSession
from belay_py.sync import DeviceSession as BlockingSession
from belay_py.transports import LinkOptions, open_transport

from .exec import Floor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Run = Callable[[], Awaitable[object]]

REQUEST = b"\x05A\x01pass\n_q(b'abcd')\x04"
END = b"\x04\x04>"
BANNER = b"raw REPL; CTRL-B to exit\r\n>"


class Whole(asyncio.Protocol):
    """Sets futures when the raw prompt, the end of an answer or that of the link has come; knows nothing else."""

    waiter: asyncio.Future[None]

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.prompt, self.lost = loop.create_future(), loop.create_future()
        self._greeting = b""

    def data_received(self, data: bytes) -> None:
        if not self.prompt.done():
            self._greeting += data
            if self._greeting.endswith(BANNER):
                self.prompt.set_result(None)
        elif data.endswith(END) and not self.waiter.done():
            self.waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


async def repeat(run: Run, count: int) -> float:
    """Give the seconds that one takes."""
    start = time.perf_counter()
    for _ in range(count):
        await run()
    return (time.perf_counter() - start) / count


def by_system_calls(path: str, count: int) -> float:
    floor = Floor(path, marked=True)
    took = floor.block("pass", count)
    floor.close()
    return took


async def by_the_loop(path: str, count: int) -> float:
    """A reader's callback, one future for each exchange, bare reads and writes."""
    loop, whole = asyncio.get_running_loop(), Whole()
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(fd)
    loop.add_reader(fd, lambda: whole.data_received(os.read(fd, 4096)))

    async def exchange() -> None:
        whole.waiter = loop.create_future()
        os.write(fd, REQUEST)
        await whole.waiter

    os.write(fd, b"\r\x03\x03\x01")
    await whole.prompt
    took = await repeat(exchange, count)
    loop.remove_reader(fd)
    os.write(fd, b"\x02")
    os.close(fd)
    return took


async def by_the_transport(path: str, count: int) -> float:
    """The same, with the transport that sessions use."""
    loop, whole = asyncio.get_running_loop(), Whole()
    transport = await open_transport(path, whole, LinkOptions())  # type: ignore[arg-type]  # asyncio names its own base

    async def exchange() -> None:
        whole.waiter = loop.create_future()
        transport.write(REQUEST)
        await whole.waiter

    transport.write(b"\r\x03\x03\x01")
    await whole.prompt
    took = await repeat(exchange, count)
    transport.abort()
    await whole.lost
    return took


async def by_the_session(path: str, count: int, layer: str) -> float:
    """Through a connected session, at one of its layers."""
    async with DeviceSession(path) as session:
        channel = session._standing.channel
        assert channel is not None
        ways: dict[str, Run] = {
            "channel": lambda: channel.execute(b"pass", math.inf),
            "operations": lambda: session._operations.run(b"pass", None),
            "session": lambda: session.execute("pass"),
        }
        return await repeat(ways[layer], count)


def by_the_blocking_face(path: str, count: int) -> float:
    with BlockingSession(path) as session:
        session.execute("pass")
        start = time.perf_counter()
        for _ in range(count):
            session.execute("pass")
        return (time.perf_counter() - start) / count


LAYERS: dict[str, tuple[str, Callable[[str, int], float]]] = {
    "write and read": ("the floor: two system calls, and the board's answer", by_system_calls),
    "event loop": (
        "`epoll` besides the read, the reader's callback, a future, one more turn of the loop",
        lambda path, count: asyncio.run(by_the_loop(path, count)),
    ),
    "transport": (
        "checks of the link's state, the hand-over of what was read",
        lambda path, count: asyncio.run(by_the_transport(path, count)),
    ),
    "channel and protocol": (
        "the nonce, the marked code, the state machine both ways, the deadline's timer, the bytes counted",
        lambda path, count: asyncio.run(by_the_session(path, count, "channel")),
    ),
    "operations": (
        "the turn, the lifecycle's two moves, clocks, statistics, the result",
        lambda path, count: asyncio.run(by_the_session(path, count, "operations")),
    ),
    "`DeviceSession.execute`": (
        "arguments checked, code encoded and searched for control characters",
        lambda path, count: asyncio.run(by_the_session(path, count, "session")),
    ),
    "blocking face": ("to the loop's thread and back, a task", by_the_blocking_face),
}
