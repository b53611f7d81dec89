"""Many boards behind faulty wires in one manager, one fault after the other, and jobs that must not notice more of it
than an error that fits. ``python -m tests.jobs.reliability`` does it for an hour."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import traceback
from collections import Counter
from contextvars import Context
from typing import TYPE_CHECKING, Final

from belay_py import BelayError, CommunicationOptions, DeviceSession, DeviceSessionManager, ExecutionError
from tests.jobs.benches import EXCUSED, NOISE, Bench
from tests.jobs.soak import memory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Work = Callable[[Bench, DeviceSession, float], Awaitable[None]]

UNTROUBLED: Final = "none"
"""In the place of a fault: there was none."""
_CANCELLED = 0.05


class Mix:
    """All of it, and what was seen."""

    def __init__(
        self, boards: int, *, every: float, pause: float, seed: int, most: int | None = None, longest: float = 6.0
    ) -> None:
        self.benches = {
            bench.name: bench for bench in (Bench(number, integrity=number % 4 == 0) for number in range(boards))
        }
        self.every = every
        self.pause = pause
        self.most = most
        self.longest = longest
        self.random = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.ways: Counter[str] = Counter()
        self.ends: dict[str, Counter[str]] = {kind: Counter() for kind in (UNTROUBLED, *EXCUSED)}
        self.wrong: list[str] = []
        self.left: list[str] = []
        self.memory: dict[str, list[float]] = {"the manager": [], "a board": [], "a wire": []}
        self.stopped = asyncio.Event()
        """No more faults."""
        self.mended = asyncio.Event()
        """No more jobs: those go on until each fault is over, since some wait for bytes."""
        self.seconds = 0.0
        self.manager = DeviceSessionManager(lease_timeout=90.0, quarantine_after=0)

    # -- jobs ---------------------------------------------------------------------------------------------------

    async def prints(self, bench: Bench, session: DeviceSession, seconds: float) -> None:
        """The output is what was sent, and all of it."""
        times, text = self.random.choice((1, 3, 40)), self.random.randbytes(self.random.randint(1, 40)).hex()
        with bench.counted() as (token, note):
            code = f"{note}for i in range({times}): print({token!r}, i, {text!r})"
            output = (await session.execute(code, timeout=seconds)).output
            self.expect(bench, output, "".join(f"{token} {i} {text}\n" for i in range(times)))

    async def evaluates(self, bench: Bench, session: DeviceSession, seconds: float) -> None:
        """A value comes back as it went there."""
        with bench.counted() as (token, note):
            value = [token, self.random.getrandbits(70), {"x": self.random.random()}, None]
            self.expect(bench, await session.evaluate(f"{note}{value!r}", timeout=seconds), value)

    async def streams(self, bench: Bench, session: DeviceSession, seconds: float) -> None:
        """The pieces make the whole."""
        with bench.counted() as (token, note):
            code = f"{note}for i in range(9): print({token!r}, i)"
            pieces = [piece async for piece in session.stream(code, timeout=seconds)]
            self.expect(bench, "".join(pieces), "".join(f"{token} {i}\n" for i in range(9)))

    async def remembers(self, bench: Bench, session: DeviceSession, seconds: float) -> None:
        """Nobody comes in between two operations of a lease, and who loses variables is told."""
        with bench.counted() as (token, note):
            await session.execute(f"{note}kept = {token!r}", timeout=seconds)
            epoch = session.boot_epoch
        with bench.counted() as (_, note):
            try:
                found = (await session.execute(f"{note}print(globals().get('kept'))", timeout=seconds)).output
            finally:
                restarted = session.boot_epoch != epoch
            self.expect(bench, found, "None\n" if restarted else f"{token}\n")

    async def hangs(self, bench: Bench, session: DeviceSession, seconds: float) -> None:
        """A program that never ends is stopped at its deadline, or when who waits is cancelled."""
        with bench.counted() as (_, note):
            await session.execute(f"{note}while True: pass", timeout=seconds)
        self.wrong.append(f"{bench.name}: an endless program has ended")

    def expect(self, bench: Bench, found: object, expected: object) -> None:
        if found != expected:
            self.wrong.append(f"{bench.name}: {found!r} in place of {expected!r}")

    async def job(self) -> None:
        """Take a board in one of the ways there are, and do something with it."""
        bench = self.random.choice(list(self.benches.values()))
        way = self.random.choice(("lease by name", "lease by tag", "call"))
        work = self.random.choice((self.prints, self.evaluates, self.streams))
        if way == "lease by tag":
            tag = self.random.choice(("even", "odd"))
            await self.judged(self.leased_by_tag(tag), self.tagged(tag))
        elif way == "lease by name":
            await self.judged(self.leased(bench, self.random.choice((work, self.remembers))), [bench])
        else:
            await self.judged(work(bench, self.manager[bench.name], self.seconds_allowed()), [bench])
        self.ways[way] += 1

    def seconds_allowed(self) -> float:
        return self.random.uniform(3, 10)

    def tagged(self, tag: str) -> list[Bench]:
        return list(self.benches.values())[tag == "odd" :: 2]

    async def leased(self, bench: Bench, work: Work, seconds: float | None = None) -> None:
        """Do something with a board that is leased by its name."""
        async with self.manager.lease(bench.name) as session:
            await work(bench, session, seconds or self.seconds_allowed())

    async def leased_by_tag(self, tag: str) -> None:
        """Do something with any board that has a tag."""
        async with self.manager.lease(tags={tag}) as session:
            work = self.random.choice((self.prints, self.evaluates, self.streams, self.remembers))
            bench = self.benches[session.device_id]
            await self.judged(work(bench, session, self.seconds_allowed()), [bench])

    async def checked(self, bench: Bench) -> None:
        """Compare what ran on a board with what must have."""
        async with self.manager.lease(bench.name) as session:
            await bench.check(session)

    async def judged(self, act: Awaitable[None], benches: list[Bench]) -> bool:
        """Do something with a board, or one of several, and return whether it came to its right end.

        Nothing but a cancellation is raised. An error is excused by a fault that may cause it, if all boards that it
        is about have met one.
        """
        began = asyncio.get_running_loop().time()
        names = ", ".join(bench.name for bench in benches)
        try:
            await act
        except asyncio.CancelledError:
            self.count(benches, began, "cancelled")
            raise
        except ExecutionError as error:
            self.wrong.append(f"{names}: the program failed: {error!r}")
        except BelayError as error:
            self.count(benches, began, type(error).__name__)
            if not all(bench.met(began) for bench in benches) or not any(
                bench.excuses(began, error) for bench in benches
            ):
                self.wrong.append(f"{names}: {error!r} after {[bench.met(began) for bench in benches]}")
            elif "\n" in str(error) or not str(error):
                self.wrong.append(f"{names}: not one line: {error!r}")
        except Exception as error:  # noqa: BLE001  what must not be is told
            self.wrong.append(f"{names}: a foreign exception: {''.join(traceback.format_exception(error))}")
        else:
            if len(benches) == 1:
                self.count(benches, began, "right")
                benches[0].succeeded(began)
            return True
        return False

    def count(self, benches: list[Bench], began: float, end: str) -> None:
        for kind in {kind for bench in benches for kind in bench.met(began)} or {UNTROUBLED}:
            self.ends[kind][end] += 1

    # -- what goes on -------------------------------------------------------------------------------------------

    async def works(self) -> None:
        """Do one job after the other, with pauses."""
        loop = asyncio.get_running_loop()
        while not self.mended.is_set():
            job = loop.create_task(self.job(), context=Context())
            if self.random.random() < _CANCELLED:
                loop.call_later(self.random.random() * 0.3, job.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await job
            await _pause(self.mended, self.random.random() * 2 * self.pause)

    async def checks(self) -> None:
        """Look at one board after the other."""
        while not self.mended.is_set():
            for bench in self.benches.values():
                await self.judged(self.checked(bench), [bench])
                await _pause(self.mended, 10 / len(self.benches))

    async def faults_happen(self) -> None:
        """Let one begin after the other, each on a board that has none; return when all are over."""
        loop = asyncio.get_running_loop()
        at = loop.time()
        async with asyncio.TaskGroup() as tasks:
            while not self.stopped.is_set():
                at += self.every
                await _pause(self.stopped, at - loop.time())
                if whole := [bench for bench in self.benches.values() if bench.is_whole]:
                    bench = self.random.choice(whole)
                    kind = self.random.choice([kind for kind in EXCUSED if bench.integrity or kind not in NOISE])
                    self.faults[kind] += 1
                    tasks.create_task(self.strikes(bench, kind), context=Context())
                if self.faults.total() == self.most:
                    self.stopped.set()

    async def strikes(self, bench: Bench, kind: str) -> None:
        try:
            if kind != "hung":
                await bench.strike(kind, random.Random(self.random.random()), self.longest)
                return
            with bench.trouble(kind):
                hanging = asyncio.create_task(
                    self.judged(self.leased(bench, self.hangs, self.random.random() + 0.2), [bench])
                )
                if self.random.random() < 0.5:
                    await asyncio.wait([hanging], timeout=self.random.random())
                    hanging.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await hanging
        except Exception as error:  # noqa: BLE001  what must not be is told
            self.wrong.append(f"{bench.name}: the fault {kind!r} itself failed: {error!r}")

    async def samples(self) -> None:
        """Look at the memory of three processes every ten seconds, and say every minute how it goes."""
        bench = next(iter(self.benches.values()))
        began, count = time.monotonic(), 0
        while not self.mended.is_set():
            await _pause(self.mended, 10)
            count += 1
            for what, pid in (
                ("the manager", None),
                ("a board", bench.board.process.pid),
                ("a wire", bench.wire.pid),
            ):
                self.memory[what].append(memory(pid))
            if count % 6 == 0 or self.all_wrong():
                logging.info(
                    "%.0f s: %d faults, %d jobs, %d counted, %s MB, wrong: %s",
                    time.monotonic() - began,
                    self.faults.total(),
                    self.ways.total(),
                    sum(bench.checked for bench in self.benches.values()),
                    ", ".join(f"{values[-1]:.1f}" for values in self.memory.values()),
                    self.all_wrong()[:20] or "nothing",
                )

    def all_wrong(self) -> list[str]:
        return self.wrong + [wrong for bench in self.benches.values() for wrong in bench.wrong]

    # -- all of it ----------------------------------------------------------------------------------------------

    async def run(self, workers: int) -> None:
        """Start the boards, let everything happen until `stopped` is set, and see that all boards work."""
        async with contextlib.AsyncExitStack() as stack:
            for bench in self.benches.values():
                await stack.enter_async_context(bench.board)
                await stack.enter_async_context(bench.wire)
            await stack.enter_async_context(self.manager)
            for number, bench in enumerate(self.benches.values()):
                await self.manager.create_session(
                    bench.name,
                    bench.wire.port,
                    connect=False,
                    tags={"odd" if number % 2 else "even"},
                    communication=CommunicationOptions(integrity=bench.integrity),
                    connection_timeout=10.0,
                    recovery_timeout=3.0,
                    reconnect_delay=0.2,
                    max_reconnect_delay=2.0,
                    heartbeat_interval=5.0,
                    health_check_interval=15.0,
                    idle_timeout=20.0,
                )
            began = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                for work in (*[self.works] * workers, self.checks, self.samples):
                    tasks.create_task(work())
                await self.faults_happen()
                self.seconds = time.monotonic() - began
                self.mended.set()
            await asyncio.gather(*(self.ends_well(bench) for bench in self.benches.values()))
        tasks_left = asyncio.all_tasks() - {asyncio.current_task()}
        self.left += [f"task {task.get_name()}" for task in tasks_left]

    async def ends_well(self, bench: Bench) -> None:
        """What a fault has left may be told once; then the board works, and has run what it must have."""
        if not (await self.judged(self.checked(bench), [bench]) or await self.judged(self.checked(bench), [bench])):
            self.wrong.append(f"{bench.name} does not work at the end")


async def _pause(event: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until the event."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
