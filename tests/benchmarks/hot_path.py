"""Where the time of ``execute("pass")`` goes, from the call to its return, on a board that answers at once.

Run by hand, on a machine that does little else: ``python -m tests.benchmarks.hot_path [--rounds N] [--write]``.

Three ways that check each other. *By layers* (`layers`): the same exchange is done by bare system calls, then through
an event loop, then through our transport, and so on up to the blocking face; each layer has all those before it inside,
blocks of them are interleaved, and a layer's own cost is the median, over the rounds, of the difference to the one
before. *By steps*: the clock is looked at seven times on the way of one execution. *By pieces*: what an execution calls
is called alone, many times, without any link.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import math
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from belay_py import DeviceSession, DeviceSessionManager
from belay_py.session import nonces
from belay_py.session.execution import ExecutionResult, encode_code
from belay_py.testing import ScriptedBoard

from . import targets
from .exec import instant_board
from .layers import LAYERS, repeat
from .pages import PAGE, keep, machine, replace_part, table

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWER = b"R\x01\x80\x00\x01\x04abcd\x04\x04>"


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


STEPS = (
    "until something is sent: arguments, turn, lifecycle, nonce, code marked and framed",
    "the write: bytes counted, link looked at, `os.write`",
    "asleep: `epoll`, the board's answer, the wake-up, `os.read`",
    "the answer: parsed, its future set, nothing more to send",
    "a turn of the loop: `epoll` again, the task's callback",
    "until the return: lifecycle, turn, clocks, statistics, the result",
)


async def steps(path: str, count: int) -> list[float]:
    """Microseconds of each step, by looks at the clock where one ends and the next begins; the medians."""
    async with DeviceSession(path) as session:
        channel: Any = session._standing.channel
        transport = channel._transport
        write, deliver, exchange, clock = transport.write, transport._deliver, channel._exchange, time.perf_counter
        marks: list[float] = []

        def marked_write(data: bytes) -> None:
            marks.append(clock())
            write(data)
            marks.append(clock())

        def marked_deliver(data: bytes) -> None:
            marks.append(clock())
            deliver(data)
            marks.append(clock())

        async def marked_exchange(deadline: float) -> object:
            event = await exchange(deadline)
            marks.append(clock())
            return event

        transport.write, transport._deliver, channel._exchange = marked_write, marked_deliver, marked_exchange
        taken: list[list[float]] = []
        for _ in range(count):
            marks.clear()
            marks.append(clock())
            await session.execute("pass")
            marks.append(clock())
            if len(marks) == len(STEPS) + 1:  # else the answer came in two reads
                taken.append([(after - before) * 1e6 for before, after in itertools.pairwise(marks)])
        transport.write, transport._deliver, channel._exchange = write, deliver, exchange
    return [statistics.median(times) for times in zip(*taken, strict=True)]


async def connects(path: str, count: int) -> float:
    """Milliseconds from a new session to one that is ready, capabilities included."""
    times = []
    for _ in range(count):
        session = DeviceSession(path)
        start = time.perf_counter()
        await session.connect()
        times.append((time.perf_counter() - start) * 1e3)
        await session.close()
    return statistics.median(times)


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
        step_by_step = asyncio.run(steps(path, 20_000))
        connected = asyncio.run(connects(path, 50))
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
        table(["step, from the call to the return", "µs"], [
            *([name, f"{took:.1f}"] for name, took in zip(STEPS, step_by_step, strict=True)),
            ["all of it", f"{sum(step_by_step):.1f}"],
        ]),
        table(["piece, alone", "µs"], [[name, f"{took:.2f}"] for name, took in alone.items()]),
        f"A lease of a board that is ready, and its release: {leased:.2f} µs. Connecting to the board that answers at "
        f"once, until what it can do is known: {connected:.2f} ms.",
    ])  # fmt: skip
    sys.stdout.write(text + "\n")
    if options.write:
        session, blocking = taken["`DeviceSession.execute`"], taken["blocking face"]
        keep("hot path", {
            "direct": statistics.median(one / least for one, least in zip(session, floor, strict=True)),
            "blocking": statistics.median(one - other for one, other in zip(blocking, session, strict=True)),
            "lease": leased,
            "connect": connected,
        })  # fmt: skip
        replace_part(PAGE, "hot path", text)
        targets.write(PAGE)


if __name__ == "__main__":
    main()
