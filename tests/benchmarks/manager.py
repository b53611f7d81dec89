"""What a manager costs: a lease of a board that is ready, a call outside of leases, waiting, and sessions nobody uses.

Run by hand, on a machine that does little else: ``python -m tests.benchmarks.manager [--rounds N]``.

A lease stands beside ``psycopg_pool``, whose connections are objects that do nothing here, where that is installed
(``pip install psycopg psycopg_pool``); both are ratios to an ``async with`` block whose two ends do nothing. Calls are
executions of ``pass`` on a board by script, in the memory of this process, as a ratio to a session of its own. Blocks
of the ways are interleaved, so that what else the machine does falls on all alike; a ratio is the median, over the
rounds, of a way's time by that of the first one in the same round.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import os
import statistics
import sys
import time
import tracemalloc
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from belay_py import DeviceSession, DeviceSessionManager, DeviceSessionOptions
from belay_py.testing import ScriptedBoard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Block = Callable[[int], Awaitable[None]]

HOUR = 3600.0


class Nothing:
    """An ``async with`` block that costs what any does."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *ending: object) -> None:
        pass


async def compare(ways: dict[str, Block], rounds: int, count: int) -> None:
    """Print the microseconds of each way, and the ratios to the first one."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    gc.collect()
    for number in range(rounds + 1):
        for name, block in ways.items():
            began = time.perf_counter()
            await block(count)
            if number:  # the first round warms everything up
                taken[name].append((time.perf_counter() - began) / count * 1e6)
    first, *_ = taken.values()
    for name, times in taken.items():
        ratio = statistics.median(one / floor for one, floor in zip(times, first, strict=True))
        sys.stdout.write(
            f"  {name:42} {statistics.median(times):8.2f} us  (least {min(times):.2f})  {ratio:6.2f} x the first\n"
        )


async def leases(rounds: int) -> None:
    """A board that is ready is leased and given back."""
    board, nothing = ScriptedBoard(), Nothing()
    async with AsyncExitStack() as stack:
        manager = await stack.enter_async_context(DeviceSessionManager())
        await manager.create_session("x", board.port, tags={"a"}, check_after=HOUR)

        async def floor(count: int) -> None:
            for _ in range(count):
                async with nothing:
                    pass

        async def by_name(count: int) -> None:
            for _ in range(count):
                async with manager.lease("x"):
                    pass

        async def by_tag(count: int) -> None:
            tags = {"a"}
            for _ in range(count):
                async with manager.lease(tags=tags):
                    pass

        async def watched(count: int) -> None:
            end = manager.subscribe(lambda event: None)
            await by_name(count)
            end()

        ways: dict[str, Block] = {
            "async with, nothing in it": floor,
            "lease, by name": by_name,
            "lease, by tag": by_tag,
            "lease, by name, with a listener": watched,
        }
        if importlib.util.find_spec("psycopg_pool") and importlib.util.find_spec("psycopg"):
            pool = await stack.enter_async_context(idle_pool())

            async def psycopg(count: int) -> None:
                for _ in range(count):
                    async with pool.connection():
                        pass

            ways["psycopg_pool, a connection that is ready"] = psycopg
        else:
            sys.stdout.write("  psycopg_pool is not installed, and not compared\n")
        await compare(ways, rounds, 2000)


def idle_pool() -> Any:
    """psycopg_pool with one connection, which does nothing."""
    import psycopg
    import psycopg_pool

    class Server:
        transaction_status = psycopg.pq.TransactionStatus.IDLE

    class Connection:
        closed = False
        _pool: Any = None
        pgconn = Server()

        @classmethod
        async def connect(cls, *_: object, **__: object) -> Self:
            return cls()

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *ending: object) -> None:
            pass

        async def close(self) -> None:
            self.closed = True

    kind: Any = Connection
    return psycopg_pool.AsyncConnectionPool("", connection_class=kind, min_size=1, max_size=1, open=False)


async def calls(rounds: int) -> None:
    """The same execution: on a session of its own, on a manager's outside of leases, and in a lease."""
    boards = [ScriptedBoard() for _ in range(2)]
    async with DeviceSession(boards[0].port) as alone, DeviceSessionManager() as manager:
        managed = await manager.create_session("x", boards[1].port, check_after=HOUR)

        async def execute(session: DeviceSession, count: int) -> None:
            for _ in range(count):
                await session.execute("pass")
            for board in boards:  # what a board has received is kept, and would grow
                board._wire.received.clear()

        async def leased(count: int) -> None:
            async with manager.lease("x") as session:
                await execute(session, count)

        await compare(
            {
                "a session of its own": lambda count: execute(alone, count),
                "a manager's session, outside of leases": lambda count: execute(managed, count),
                "in a lease": leased,
            },
            rounds,
            300,
        )


async def queues() -> None:
    """Those who wait are served in their order; a hand-over costs the same however many wait."""
    board = ScriptedBoard()
    for what in ("name", "tag"):
        costs = {}
        for waiting in (10, 100, 1000, 10, 100, 1000):
            async with DeviceSessionManager(max_waiting=waiting) as manager:
                await manager.create_session("x", board.port, tags={"a"}, check_after=HOUR)
                order: list[int] = []

                async def wait(number: int, manager: DeviceSessionManager, order: list[int]) -> None:
                    async with manager.lease("x") if what == "name" else manager.lease(tags={"a"}):  # noqa: B023  it is awaited in this turn
                        order.append(number)

                async with manager.lease("x"):
                    tasks = [asyncio.create_task(wait(number, manager, order)) for number in range(waiting)]
                    while len(manager._pool.plan.waiting) < waiting:
                        await asyncio.sleep(0)
                    began = time.perf_counter()
                await asyncio.gather(*tasks)
                costs[waiting] = (time.perf_counter() - began) / waiting * 1e6
                if order != list(range(waiting)):
                    sys.exit(f"{waiting} were not served in the order in which they came")
        told = ", ".join(f"{cost:.1f} us with {waiting} waiting" for waiting, cost in costs.items())
        sys.stdout.write(f"  by {what:4} in order; a hand-over costs {told}: {costs[1000] / costs[10]:.2f} x\n")


async def memory() -> None:
    """What a session adds to the memory of this process."""
    count = 200
    async with DeviceSessionManager(max_sessions=2 * count) as manager:
        boards = [ScriptedBoard() for _ in range(count + 1)]
        await manager.create_session("first", boards[-1].port)
        for connect in (False, True):
            gc.collect()
            tracemalloc.start()
            for number, board in enumerate(boards[:-1]):
                await manager.create_session(f"{connect} {number}", board.port, connect=connect)
            gc.collect()
            used, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            kind = "connected, its scripted board's end of the wire included" if connect else "not connected"
            sys.stdout.write(f"  {used / count / 1024:.1f} KiB for each session that is {kind}\n")


async def idle(seconds: float) -> None:
    """What a connected session costs that nobody uses, with its board, a virtual one, in a process of its own."""
    costs = {}
    watching: dict[str, dict[str, Any]] = {
        "heartbeats": {"heartbeat_interval": 0.01, "enable_health_checks": False},
        "health checks": {"health_check_interval": 0.01, "enable_heartbeat": False, "check_after": 0.0},
        "nothing": {"enable_heartbeat": False, "enable_health_checks": False},
    }
    for what, options in watching.items():
        async with DeviceSessionManager() as manager:
            await manager.create_session("x", "virtual:", idle_timeout=HOUR, **options)
            began = time.process_time()
            await asyncio.sleep(seconds)
            used = time.process_time() - began
            counted = manager.statistics()
        count = counted.heartbeats + counted.health_checks
        costs[what] = used / count if count else used / seconds * HOUR
        told = (
            f"{count} of them, {costs[what] * 1e6:.0f} us each" if count else f"{costs[what] * 1e3:.0f} ms in an hour"
        )
        sys.stdout.write(f"  {what}: {told}, of this process\n")
    defaults = DeviceSessionOptions(port="virtual:")
    beats, checks = HOUR / defaults.heartbeat_interval, HOUR / defaults.health_check_interval
    hour = beats * costs["heartbeats"] + checks * costs["health checks"]
    sys.stdout.write(
        f"  {beats:.0f} heartbeats and {checks:.0f} health checks, an hour's at most: {hour * 1e3:.0f} ms, "
        f"{hour / HOUR:.1e} of a processor\n"
    )


async def main_of(rounds: int) -> None:
    sys.stdout.write("a warm lease\n")
    await leases(rounds)
    sys.stdout.write("an execution of pass\n")
    await calls(rounds)
    sys.stdout.write("those who wait\n")
    await queues()
    sys.stdout.write("a session that nobody uses\n")
    await idle(3.0)
    await memory()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="rounds of interleaved blocks (default 15)")
    options = parser.parse_args()
    if hasattr(os, "getloadavg"):
        sys.stdout.write(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.2f}, {options.rounds} rounds\n")
    asyncio.run(main_of(options.rounds))


if __name__ == "__main__":
    main()
