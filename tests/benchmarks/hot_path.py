"""Where the time of ``execute("pass")`` goes, from the call to its return, on a board that answers at once.

Run by hand, on a machine that does little else: ``python -m tests.benchmarks.hot_path [--rounds N] [--write]``.

Two ways that check each other. *By layers*: the same exchange is done by bare system calls, then through an event loop,
then through our transport, and so on up to the blocking face; each layer has in it all that stands before it, blocks of
them are interleaved, and a layer's own cost is the median, over the rounds, of the difference to the one before. *By
pieces*: what a layer calls once for each execution is called alone, many times, without any link.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import statistics
import sys
import time
import tty
from typing import TYPE_CHECKING

from belay_py import DeviceSession, DeviceSessionManager
from belay_py.session import nonces
from belay_py.session.execution import ExecutionResult, encode_code
from belay_py.sync import DeviceSession as BlockingSession
from belay_py.testing import ScriptedBoard
from belay_py.transports import LinkOptions, open_transport

from . import targets
from .exec import Floor, instant_board
from .pages import PAGE, keep, machine, replace_part, table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Run = Callable[[], Awaitable[object]]

REQUEST = b"\x05A\x01pass\n_q(b'abcd')\x04"
END = b"\x04\x04>"
ANSWER = b"R\x01\x80\x00\x01\x04abcd\x04\x04>"


class Whole(asyncio.Protocol):
    """Sets a future when the end of an answer has come; knows nothing else."""

    waiter: asyncio.Future[None]

    def data_received(self, data: bytes) -> None:
        if data.endswith(END) and not self.waiter.done():
            self.waiter.set_result(None)


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

    whole.waiter = loop.create_future()
    os.write(fd, b"\r\x03\x03\x01")
    await asyncio.sleep(0.05)  # the banner ends in other bytes
    took = await repeat(exchange, count)
    loop.remove_reader(fd)
    os.write(fd, b"\x02")
    os.close(fd)
    return took


async def by_the_transport(path: str, count: int) -> float:
    """The same, with the transport that sessions use."""
    loop, whole = asyncio.get_running_loop(), Whole()
    whole.waiter = loop.create_future()
    transport = await open_transport(path, whole, LinkOptions())  # type: ignore[arg-type]  # asyncio names its own base

    async def exchange() -> None:
        whole.waiter = loop.create_future()
        transport.write(REQUEST)
        await whole.waiter

    transport.write(b"\r\x03\x03\x01")
    await asyncio.sleep(0.05)
    took = await repeat(exchange, count)
    transport.abort()
    await asyncio.sleep(0.01)
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


async def pieces(path: str, count: int) -> dict[str, float]:
    """Microseconds of what one execution calls, each alone, on a connected session that sends nothing meanwhile."""
    loop = asyncio.get_running_loop()
    async with DeviceSession(path) as session:
        standing = session._standing
        channel, lifecycle, turn = standing.channel, standing.lifecycle, standing.turn
        assert channel is not None
        repl = channel.repl

        def protocol() -> None:
            repl.submit(b"pass", nonce="abcdefghijklmno")
            repl.data_to_send()
            repl.receive_data(ANSWER)
            repl.next_event()
            repl.next_event()
            repl.data_to_send()

        def clocks() -> None:
            time.perf_counter()
            time.perf_counter()
            time.perf_counter()
            time.time()
            time.time()
            loop.time()
            loop.time()

        def states() -> None:
            lifecycle.allows("begin")
            lifecycle.flip("begin")
            lifecycle.flip("finish")

        def turns() -> None:
            turn.take()
            turn.release()

        async def coroutines(depth: int) -> None:
            if depth:
                await coroutines(depth - 1)

        async def future() -> None:
            waiter = loop.create_future()
            loop.call_soon(waiter.set_result, None)
            await waiter

        def per_call(call: Callable[[], object]) -> float:
            best = math.inf
            for _ in range(5):
                start = time.perf_counter()
                for _ in range(count):
                    call()
                best = min(best, (time.perf_counter() - start) / count)
            return best * 1e6

        protocol()
        seen = {
            "`RawRepl`: submit, send, receive, two looks for events": per_call(protocol),
            "a nonce of 14 random bytes": per_call(nonces.of_execution),
            "code encoded and searched": per_call(lambda: encode_code("pass")),
            "seven looks at clocks": per_call(clocks),
            "the lifecycle asked and moved twice": per_call(states),
            "the turn taken and given back": per_call(turns),
            "an operation counted": per_call(lambda: standing.counters.ended(0.0002)),
            "a result made": per_call(lambda: ExecutionResult(b"", 0.0002)),
        }
        # A coroutine that does not wait costs no turn of the loop; a future that is set in one costs two callbacks.
        seen["five coroutines, one in the other"] = (
            min([await repeat(lambda: coroutines(4), count) for _ in range(5)]) * 1e6
        )
        seen["a future set and awaited, with the loop's turn for it"] = (
            min([await repeat(future, count) for _ in range(5)]) * 1e6
        )
        return seen


async def leases(count: int) -> float:
    """Microseconds of a lease and its release, of a board that is ready, more than those of an empty block."""
    async with DeviceSessionManager() as manager:
        board = ScriptedBoard()
        await manager.create_session("x", board.port, check_after=3600.0)

        async def lease() -> None:
            async with manager.lease("x"):
                pass

        async def nothing() -> None:
            async with contextlib.nullcontext():
                pass

        return statistics.median([(await repeat(lease, count) - await repeat(nothing, count)) * 1e6 for _ in range(9)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=41, help="rounds of interleaved blocks (default 41)")
    parser.add_argument("--count", type=int, default=1000, help="executions in a block (default 1000)")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md")
    options = parser.parse_args()
    taken: dict[str, list[float]] = {name: [] for name in LAYERS}
    with instant_board() as path:
        for number in range(options.rounds + 1):
            for name, (_, way) in LAYERS.items():
                took = way(path, options.count)
                if number:  # the first round warms everything up
                    taken[name].append(took * 1e6)
        alone = asyncio.run(pieces(path, 20_000))
    leased = asyncio.run(leases(20_000))
    floor = before = taken["write and read"]
    rows = []
    for name, times in taken.items():
        own = statistics.median(one - other for one, other in zip(times, before, strict=True))
        ratio = statistics.median(one / least for one, least in zip(times, floor, strict=True))
        added = "" if times is floor else f"{own:+.1f}"
        rows.append([f"{name}: {LAYERS[name][0]}", f"{statistics.median(times):.1f}", added, f"{ratio:.2f} x"])
        before = times
    text = "\n\n".join([
        f"Measured with: {machine()}; {options.rounds} rounds of {options.count} executions.",
        table(["layer, with all above it", "µs", "its own µs", "by the floor"], rows),
        table(["piece, alone", "µs"], [[name, f"{took:.2f}"] for name, took in alone.items()]),
        f"A lease of a board that is ready, and its release: {leased:.2f} µs.",
    ])  # fmt: skip
    sys.stdout.write(text + "\n")
    if options.write:
        session, blocking = taken["`DeviceSession.execute`"], taken["blocking face"]
        keep("hot path", {
            "direct": statistics.median(one / least for one, least in zip(session, floor, strict=True)),
            "blocking": statistics.median(one - other for one, other in zip(blocking, session, strict=True)),
            "lease": leased,
        })  # fmt: skip
        replace_part(PAGE, "hot path", text)
        targets.write(PAGE)


if __name__ == "__main__":
    main()
