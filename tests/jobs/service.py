"""A FastAPI service under many clients, with virtual boards that are unplugged, and clients that vanish.

Run by hand: ``python -m tests.jobs.service [--boards N] [--clients N] [--seconds N] [--seed N]``. The server and the
boards' manager are one process, the clients another. A board's process takes about 40 MB. The exit status is 1 when an
answer was neither right nor a problem that an unplugged board may cause, or when anything was left at the end.
"""

# FastAPI reads the annotations of endpoints while the program runs: no postponed ones.
import argparse
import asyncio
import contextlib
import json
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, FastAPI

from belay_py import BelayError, DeviceSession, DeviceSessionManager, DeviceSessionManagerOptions, DeviceSessionOptions
from belay_py.integrations.fastapi import Manager, handle_errors, leased, lifespan, router
from belay_py.virtual import VirtualBoard
from tests.integrations.serving import serving, until

Named = Annotated[DeviceSession, Depends(leased(path="board"))]
AnyBoard = Annotated[DeviceSession, Depends(leased(tags={"bench"}))]


@dataclass(frozen=True)
class Size:
    """How much of it."""

    boards: int = 8
    clients: int = 200
    seconds: float = 60.0
    seed: int = 1
    measured: float = 2.0
    """Seconds for each of the measurements beside it."""


@dataclass
class Rate:
    """How many a second, and how long one took: the median and the 99th percentile, in seconds."""

    per_second: float
    median: float
    late: float

    def __str__(self) -> str:
        return f"{self.per_second:.0f} a second, median {self.median * 1e3:.2f} ms, 99 % {self.late * 1e3:.1f} ms"


@dataclass
class Report:
    """What came of it."""

    session: Rate
    manager: Rate
    http: Rate
    service: Rate
    seen: dict[str, Any]
    unplugged: int = 0
    leases: int = 0
    wrong: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def application(options: DeviceSessionManagerOptions, kept: list[DeviceSessionManager]) -> FastAPI:
    async def prepare(manager: DeviceSessionManager) -> None:
        kept.append(manager)
        await manager.warm_up(*manager.devices())

    app = FastAPI(lifespan=lifespan(options, prepare=prepare))
    handle_errors(app)
    app.include_router(router)

    async def square(session: DeviceSession, number: int) -> dict[str, Any]:
        return {"device": session.device_id, "value": await session.evaluate(f"{number} * {number}")}

    @app.get("/boards/{board}/square/{number}")
    async def named(session: Named, number: int) -> dict[str, Any]:
        return await square(session, number)

    @app.get("/any/square/{number}")
    async def of_any(session: AnyBoard, number: int) -> dict[str, Any]:
        return await square(session, number)

    @app.get("/boards/{board}/slow")
    async def slow(session: Named) -> None:
        await session.execute("import time\ntime.sleep_ms(100)")

    @app.get("/held")
    async def held(manager: Manager) -> int:
        return manager.statistics().leases_held

    return app


async def measure(ask: Callable[[], Awaitable[object]], tasks: int, seconds: float) -> Rate:
    """Do the same in several tasks for a while."""
    latencies: list[float] = []
    began = time.monotonic()

    async def work() -> None:
        while (start := time.monotonic()) < began + seconds:
            await ask()
            latencies.append(time.monotonic() - start)

    await asyncio.gather(*(work() for _ in range(tasks)))
    cuts = statistics.quantiles(latencies, n=100)
    return Rate(len(latencies) / (time.monotonic() - began), cuts[49], cuts[98])


async def unplugging(boards: list[VirtualBoard], chance: random.Random, report: Callable[[], None]) -> None:
    """Pull plugs, one at a time, until cancelled; each is put back."""
    while True:
        await asyncio.sleep(chance.random())
        board = chance.choice(boards)
        try:
            await board.unplug()
            report()
            await asyncio.sleep(chance.random() * 0.5)
        finally:
            await board.replug()


async def ask_over_http(port: int, boards: int, size: Size, seconds: float) -> dict[str, Any]:
    """Let the clients ask, and return what they have seen."""
    arguments = map(str, (port, boards, size.clients, seconds, size.seed))
    command = (sys.executable, "-m", "tests.jobs.service_clients", *arguments)
    clients = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await clients.communicate()
    seen: dict[str, Any] = json.loads(output)
    return seen


def rate_of(seen: dict[str, Any], seconds: float) -> Rate:
    return Rate(seen["right"] / seconds, *seen["latencies"])


@contextlib.asynccontextmanager
async def going_on(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def load(size: Size) -> Report:
    """Serve, ask, unplug and vanish; then look at what is left."""
    async with contextlib.AsyncExitStack() as stack:
        boards = [await stack.enter_async_context(VirtualBoard(f"served-{n}")) for n in range(size.boards)]
        devices = {
            f"board-{number}": DeviceSessionOptions(
                port=board.port, tags=frozenset({"bench"}), max_reconnect_attempts=0
            )
            for number, board in enumerate(boards)
        }
        async with DeviceSession(boards[0].port) as session:
            alone = await measure(lambda: session.evaluate("123 * 123"), 1, size.measured)
        options = DeviceSessionManagerOptions(devices=devices, lease_timeout=30.0, quarantine_after=1_000_000)
        kept: list[DeviceSessionManager] = []
        async with serving(application(options, kept)) as service:
            [manager] = kept

            async def ask() -> None:
                async with manager.lease(tags={"bench"}) as leased_session:
                    await leased_session.evaluate("123 * 123")

            managed = await measure(ask, size.clients, size.measured)
            alive = await ask_over_http(service.port, 0, size, size.measured)
            report = Report(alone, managed, rate_of(alive, size.measured), Rate(0, 0, 0), {})

            def count() -> None:
                report.unplugged += 1

            async with going_on(unplugging(boards, random.Random(size.seed), count)):
                report.seen = await ask_over_http(service.port, size.boards, size, size.seconds)
            report.wrong = [*alive["wrong"], *report.seen["wrong"]]
            report.service = rate_of(report.seen, size.seconds)
            await look_at_what_is_left(manager, report)
        if manager.state != "closed":
            report.left.append(f"the manager is {manager.state}")
    return report


async def look_at_what_is_left(manager: DeviceSessionManager, report: Report, patience: float = 60) -> None:
    """All leases are back, nobody waits, and every board works; ``patience`` is seconds for each of these."""
    try:
        await until(lambda: manager.statistics().leases_held == 0 == manager.statistics().waiting, limit=patience)
    except TimeoutError:
        report.left.append(f"{manager.statistics().leases_held} leases, {manager.statistics().waiting} in the queue")
    numbers = manager.statistics()
    report.leases = numbers.leases_granted
    if numbers.leases_granted != numbers.leases_released:
        report.left.append(f"{numbers.leases_granted} leases were granted, {numbers.leases_released} came back")
    for device_id in manager.devices():
        try:
            async with manager.lease(device_id, timeout=patience) as session:
                if await session.evaluate("6 * 7") != 42:
                    report.wrong.append(f"{device_id} cannot count")
        except BelayError as error:
            report.wrong.append(f"{device_id}: {error}")
    tasks = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("belay_py: is the client")]
    report.left += tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=8)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the clients ask (default 60)")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    report = asyncio.run(load(Size(chosen.boards, chosen.clients, chosen.seconds, chosen.seed)))
    seen = report.seen
    out = sys.stdout.write
    out(f"{chosen.boards} boards, {chosen.clients} clients, {chosen.seconds:g} s\n")
    out(f"answers    {seen['right']} right, {seen['problems']}; {seen['vanished']} clients vanished\n")
    out(f"unplugged  {report.unplugged} times\n")
    out(f"one session alone      {report.session}\n")
    out(f"leases without HTTP    {report.manager}\n")
    out(f"HTTP without boards    {report.http}\n")
    out(f"the service            {report.service}\n")
    out(f"leases     {report.leases} granted\n")
    out(f"wrong      {report.wrong[:20] or 'nothing'}\n")
    out(f"left       {report.left or 'nothing'}\n")
    sys.exit(1 if report.wrong or report.left else 0)


if __name__ == "__main__":
    main()
