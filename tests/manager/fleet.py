"""Many tasks on many real boards in one manager, and what they did: boards are lost, tasks are cancelled, and every
result is compared with what was sent."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
import threading
import time
from collections import Counter
from contextvars import Context
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belay_py import BelayError, DeviceSession, DeviceSessionManager, ExecutionError
from belay_py.virtual import open_board

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from belay_py.virtual import BoardProcess


@dataclass(frozen=True)
class Size:
    """How much of it there is."""

    boards: int = 8
    tasks: int = 60
    jobs: int | None = 4
    """How many each task does; None: as many as it can in `seconds`."""
    seconds: float = 20.0
    cancelled: float = 0.15
    """The share of jobs that are cancelled at a random moment."""
    killing: float = 0.1
    """The share of jobs that kill the board that they have."""
    seed: int = 1


@dataclass
class Report:
    """What came of it."""

    done: Counter[str] = field(default_factory=Counter)
    """Jobs that came to their end, by name."""
    errors: Counter[str] = field(default_factory=Counter)
    """Errors of ours that others' deeds caused, by class."""
    killed: Counter[str] = field(default_factory=Counter)
    cancelled: int = 0
    wrong: list[str] = field(default_factory=list)
    """What must never be: a result that is not what was sent, a foreign exception, a count that does not agree."""
    seconds: float = 0.0
    left: list[str] = field(default_factory=list)
    """Tasks, descriptors, threads and children that are there at the end and were not at the beginning."""


class Fleet:
    """The tasks and their boards."""

    def __init__(self, size: Size, **options: Any) -> None:
        self.size = size
        self.report = Report()
        self.boards: dict[str, BoardProcess] = {}
        self.random = random.Random(size.seed)
        self.options = {"operation_timeout": 20.0, "reconnect_delay": 0.05, **options}
        self.manager = DeviceSessionManager(lease_timeout=120.0, max_waiting=10 * size.tasks, quarantine_after=0)
        self._number = 0
        self._sure: list[asyncio.Task[None]] = []

    # -- what the tasks do --------------------------------------------------------------------------------------

    def token(self) -> str:
        """Text that was never sent before."""
        self._number += 1
        return f"{self._number}-{self.random.randbytes(self.random.randint(1, 40)).hex()}"

    async def prints(self, session: DeviceSession) -> None:
        """The output is what was sent, and all of it."""
        token, times = self.token(), self.random.choice((1, 3, 60))
        result = await session.execute(f"for i in range({times}): print({token!r}, i)")
        self.expect(result.output, "".join(f"{token} {i}\n" for i in range(times)), session)

    async def evaluates(self, session: DeviceSession) -> None:
        """A value comes back as it went there."""
        value = [self.token(), self.random.getrandbits(70), {"x": self.random.random()}, None]
        self.expect(await session.evaluate(repr(value)), value, session)

    async def remembers(self, session: DeviceSession) -> None:
        """Nobody comes in between two operations of a lease."""
        token, epoch = self.token(), session.boot_epoch
        await session.execute(f"kept = {token!r}")
        result = await session.execute("print(kept)")
        self.expect((result.output, session.boot_epoch), (f"{token}\n", epoch), session)

    async def streams(self, session: DeviceSession) -> None:
        """The pieces make the whole."""
        token = self.token()
        pieces = [piece async for piece in session.stream(f"for i in range(9): print({token!r})")]
        self.expect("".join(pieces), f"{token}\n" * 9, session)

    async def exits(self, session: DeviceSession) -> None:
        """The interpreter ends under its owner."""
        self.report.killed["SystemExit"] += 1
        await session.execute("raise SystemExit")

    async def resets(self, session: DeviceSession) -> None:
        """The chip restarts under its owner."""
        self.report.killed["chip reset"] += 1
        await session.execute("import machine; machine.reset()")

    async def unplugs(self, session: DeviceSession) -> None:
        """The board goes away under its owner, and comes back."""
        self.report.killed["unplugged"] += 1
        board = self.boards[session.device_id]
        gone = self.surely(asyncio.to_thread(board.unplug))
        try:
            await asyncio.shield(gone)
            await session.execute("print('unplugged')")
            self.report.wrong.append(f"{session.device_id} answered while it was unplugged")
        finally:
            await asyncio.shield(self.surely(self._replug(board, gone)))

    async def dies(self, session: DeviceSession) -> None:
        """The board's process is killed, and another board takes its place."""
        self.report.killed["process killed"] += 1
        await asyncio.shield(self.surely(self._replace(session.device_id)))
        await session.execute("pass")

    async def _replug(self, board: BoardProcess, gone: asyncio.Task[None]) -> None:
        await gone
        await asyncio.to_thread(board.replug)

    def surely(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something to the end, also when who wants it is cancelled."""
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._sure.append(task)
        return task

    async def _replace(self, name: str) -> None:
        board = self.boards[name]
        assert board.pid is not None
        os.kill(board.pid, signal.SIGKILL)
        await asyncio.to_thread(board.close)
        self.boards[name] = await asyncio.to_thread(open_board, f"virtual:{name}")

    def expect(self, found: object, expected: object, session: DeviceSession) -> None:
        if found != expected:
            self.report.wrong.append(f"{session.device_id}: {found!r} in place of {expected!r}")

    # -- one task -----------------------------------------------------------------------------------------------

    async def job(self) -> str:
        """Take a board in one of the ways there are, and do something with it; return what it was."""
        kills = self.random.random() < self.size.killing
        work: Callable[[DeviceSession], Awaitable[None]] = self.random.choice(
            (self.exits, self.resets, self.unplugs, self.dies)
            if kills
            else (self.prints, self.evaluates, self.remembers, self.streams)
        )
        way = self.random.choice(("name", "name", "tag", "pair", "pair by tags", "call"))
        names = self.random.sample(sorted(self.boards), 2)
        tag = self.random.choice(("even", "odd", "all"))
        if way == "call" and work in (self.prints, self.evaluates, self.streams):
            await work(self.manager[names[0]])
        elif way == "pair":
            async with self.manager.lease(*names) as pair:
                await _all(work(session) for session in pair)
        elif way == "pair by tags":
            async with self.manager.lease(tags={tag}, count=2) as pair:
                await _all(work(session) for session in pair)
        elif way == "tag":
            async with self.manager.lease(tags={tag}) as session:
                await work(session)
        else:
            async with self.manager.lease(names[0]) as session:
                await work(session)
        return f"{work.__name__}, {way}"

    async def task(self, until: float) -> None:
        """Do one job after the other."""
        loop, jobs = asyncio.get_running_loop(), 0
        while (jobs < self.size.jobs) if self.size.jobs is not None else (loop.time() < until):
            jobs += 1
            job = loop.create_task(self.job(), context=Context())
            if self.random.random() < self.size.cancelled:
                loop.call_later(self.random.random() * 0.2, job.cancel)
            try:
                self.report.done[await job] += 1
            except asyncio.CancelledError:
                self.report.cancelled += 1
            except ExecutionError as error:
                self.report.wrong.append(f"the program failed: {error}")
            except BelayError as error:
                self.report.errors[type(error).__name__] += 1
            except Exception as error:  # noqa: BLE001  what must not be is told
                self.report.wrong.append(f"a foreign exception: {error!r}")

    # -- all of it ----------------------------------------------------------------------------------------------

    async def run(self) -> Report:
        """Start the boards, let the tasks work, end everything."""
        names = [f"fleet-{number}" for number in range(self.size.boards)]
        found = await asyncio.gather(*(asyncio.to_thread(open_board, f"virtual:{name}") for name in names))
        self.boards.update(zip(names, found, strict=True))
        try:
            async with self.manager:
                for number, name in enumerate(names):
                    tags = {"all", "odd" if number % 2 else "even"}
                    await self.manager.create_session(name, f"virtual:{name}", connect=False, tags=tags, **self.options)
                began = time.monotonic()
                until = asyncio.get_running_loop().time() + self.size.seconds
                await asyncio.gather(*(self.task(until) for _ in range(self.size.tasks)))
                self.report.seconds = time.monotonic() - began
                await self.settle()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            self.report.left += [f"task {task.get_name()}" for task in tasks]
        finally:
            for board in self.boards.values():
                await asyncio.to_thread(board.close)
        return self.report

    async def settle(self) -> None:
        """Wait until nobody has a board, and compare the counts."""
        pool = self.manager._pool
        await asyncio.gather(*self._sure)
        async with asyncio.timeout(30):
            while any(place.holder is not None for place in pool.plan.places.values()):
                await pool.admission.next_release()
        plan = pool.plan
        counts = plan.granted == plan.released and not plan.waiting and not pool.leases
        if not counts or plan.slots != sum(place.open for place in plan.places.values()):
            self.report.wrong.append(
                f"{plan.granted} granted, {plan.released} released, {plan.slots} slots, {plan.waiting}"
            )


async def _all(work: Iterable[Awaitable[None]]) -> None:
    """Wait for all of it, and raise what one of them raised: a lease that ends under another one stops its board."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def run(size: Size, **options: Any) -> Report:
    """Do it in an event loop of its own; nothing may be left at the end."""
    before = there_is()
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        fleet = Fleet(size, **options)
        report = loop.run_until_complete(fleet.run())
        loop.run_until_complete(loop.shutdown_default_executor())
    del fleet
    gc.collect()
    report.left += sorted(there_is() - before)
    return report


def there_is() -> set[str]:
    """The descriptors, threads and children of this process."""
    here = Path("/proc/self")
    children = {f"child {pid}" for task in here.glob("task/*/children") for pid in task.read_text().split()}
    descriptors = set()
    for link in here.glob("fd/*"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            descriptors.add(f"descriptor {link.name}, {link.readlink()}")
    return children | descriptors | {f"thread {thread.name}" for thread in threading.enumerate()}
