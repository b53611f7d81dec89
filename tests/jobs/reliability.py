"""A manager with many boards behind faulty wires, one fault after the other, and jobs that must not notice more of it
than an error that fits.

Run by hand: ``python -m tests.jobs.reliability [--seconds N] [--boards N] [--every N]``; see docs/reliability.md. Every
result is compared with what was sent, and the boards count what ran. The exit status is 1 when anything was wrong, when
anything was left at the end, or when memory grew: its median in the last third against that in the middle third.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import random
import resource
import shlex
import signal
import statistics
import sys
import time
from collections import Counter
from contextvars import Context
from pathlib import Path
from typing import TYPE_CHECKING

from belay_py import BelayError, CommunicationOptions, DeviceSession, DeviceSessionManager, ExecutionError
from tests.faults.report import write
from tests.jobs.benches import EXCUSED, NOISE, Bench
from tests.jobs.soak import memory
from tests.manager.fleet import there_is

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Work = Callable[[Bench, DeviceSession, float], Awaitable[None]]

_PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_ROOM_FOR_CHANCE = 0.02
_CANCELLED = 0.05
_UNTROUBLED = "none"


class Reliability:
    """All of it, and what was seen."""

    def __init__(self, boards: int, every: float, pause: float, seed: int) -> None:
        self.benches = {
            bench.name: bench for bench in (Bench(number, integrity=number % 4 == 0) for number in range(boards))
        }
        self.every = every
        self.pause = pause
        self.random = random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.ways: Counter[str] = Counter()
        self.ends: dict[str, Counter[str]] = {kind: Counter() for kind in (_UNTROUBLED, *EXCUSED)}
        self.wrong: list[str] = []
        self.left: list[str] = []
        self.memory: dict[str, list[float]] = {"the manager": [], "a board": [], "a wire": []}
        self.stopped = asyncio.Event()
        self.seconds = 0.0
        self._strikes: set[asyncio.Task[None]] = set()
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
        bench: Bench | None = self.random.choice(list(self.benches.values()))
        way = self.random.choice(("lease by name", "lease by tag", "call"))
        work: Work = self.random.choice((self.prints, self.evaluates, self.streams))
        seconds = self.random.uniform(3, 10)
        if way == "lease by tag":
            await self.judged(self.by_tag, None, seconds)
        elif way == "lease by name":
            await self.judged(self.random.choice((self.leases(work), self.leases(self.remembers))), bench, seconds)
        else:
            await self.judged(lambda on, limit: work(on, self.manager[on.name], limit), bench, seconds)
        self.ways[way] += 1

    def leases(self, work: Work) -> Callable[[Bench, float], Awaitable[None]]:
        """Return what does something with a board that it leases."""

        async def leased(bench: Bench, seconds: float) -> None:
            async with self.manager.lease(bench.name) as session:
                await work(bench, session, seconds)

        return leased

    async def by_tag(self, bench: Bench | None, seconds: float) -> None:
        """Do something with any board that has a tag."""
        del bench
        async with self.manager.lease(tags={self.random.choice(("even", "odd"))}) as session:
            work = self.random.choice((self.prints, self.evaluates, self.streams, self.remembers))
            await self.judged(lambda on, limit: work(on, session, limit), self.benches[session.device_id], seconds)

    async def check(self, bench: Bench, seconds: float) -> None:
        """Compare what ran on a board with what must have."""
        del seconds
        async with self.manager.lease(bench.name) as session:
            await bench.check(session)

    async def judged(self, act: Callable[[Bench, float], Awaitable[None]], bench: Bench | None, seconds: float) -> bool:
        """Do something, and say whether it came to its right end. Nothing but a cancellation comes through."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await act(bench, seconds)  # type: ignore[arg-type]  # `by_tag` alone has none, and wants none
        except asyncio.CancelledError:
            self.count(bench, began, "cancelled")
            raise
        except ExecutionError as error:
            self.wrong.append(f"{bench and bench.name}: the program failed: {error!r}")
        except BelayError as error:
            self.count(bench, began, type(error).__name__)
            if bench is None or not bench.excuses(began, error):
                met = bench.met(began) if bench is not None else []
                self.wrong.append(f"{bench and bench.name}: {error!r} after {met or 'no fault'}")
            elif "\n" in str(error) or not str(error):
                self.wrong.append(f"not one line: {error!r}")
        except Exception as error:  # noqa: BLE001  what must not be is told
            self.wrong.append(f"a foreign exception: {error!r}")
        else:
            if bench is not None:
                self.count(bench, began, "right")
                bench.succeeded(began)
            return True
        return False

    def count(self, bench: Bench | None, began: float, end: str) -> None:
        for kind in set(bench.met(began) if bench is not None else ()) or {_UNTROUBLED}:
            self.ends[kind][end] += 1

    # -- what goes on -------------------------------------------------------------------------------------------

    async def works(self) -> None:
        """Do one job after the other, with pauses."""
        loop = asyncio.get_running_loop()
        while not self.stopped.is_set():
            job = loop.create_task(self.job(), context=Context())
            if self.random.random() < _CANCELLED:
                loop.call_later(self.random.random() * 0.3, job.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await job
            await self.pauses(self.random.random() * 2 * self.pause)

    async def checks(self) -> None:
        """Look at one board after the other."""
        while not self.stopped.is_set():
            for bench in self.benches.values():
                await self.judged(self.check, bench, 0)
                await self.pauses(10 / len(self.benches))

    async def pauses(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopped.wait(), seconds)

    async def faults_happen(self) -> None:
        """Let one begin after the other, each on a board that has none."""
        loop = asyncio.get_running_loop()
        at = loop.time()
        while not self.stopped.is_set():
            at += self.every
            await self.pauses(at - loop.time())
            if whole := [bench for bench in self.benches.values() if bench.is_whole]:
                bench = self.random.choice(whole)
                kind = self.random.choice([kind for kind in EXCUSED if bench.integrity or kind not in NOISE])
                self.faults[kind] += 1
                task = loop.create_task(self.strikes(bench, kind), context=Context())
                self._strikes.add(task)
                task.add_done_callback(self._strikes.discard)

    async def strikes(self, bench: Bench, kind: str) -> None:
        try:
            if kind != "hung":
                await bench.strike(kind, random.Random(self.random.random()))
                return
            with bench.trouble(kind):
                hanging = asyncio.create_task(self.judged(self.leases(self.hangs), bench, self.random.random() + 0.2))
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
        while not self.stopped.is_set():
            await self.pauses(10)
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

    async def run(self, seconds: float, workers: int) -> None:
        """Start the boards, let everything happen for so long or until a signal, and end it."""
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
            loop, began = asyncio.get_running_loop(), time.monotonic()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.stopped.set)
            loop.call_later(seconds, self.stopped.set)
            async with asyncio.TaskGroup() as tasks:
                for work in (*[self.works] * workers, self.checks, self.faults_happen, self.samples):
                    tasks.create_task(work())
            self.seconds = time.monotonic() - began
            await asyncio.gather(*self._strikes)
            await asyncio.gather(*(self.ends_well(bench) for bench in self.benches.values()))
        tasks_left = asyncio.all_tasks() - {asyncio.current_task()}
        self.left += [f"task {task.get_name()}" for task in tasks_left]

    async def ends_well(self, bench: Bench) -> None:
        """What a fault has left may be told once; then the board works, and has run what it must have."""
        if not (await self.judged(self.check, bench, 0) or await self.judged(self.check, bench, 0)):
            self.wrong.append(f"{bench.name} does not work at the end")

    # -- what came of it ----------------------------------------------------------------------------------------

    def grown(self) -> dict[str, tuple[float, float]]:
        """The medians of the middle and the last third, by process, in MB."""
        found = {}
        for what, values in self.memory.items():
            third = len(values) // 3
            if third:
                found[what] = (statistics.median(values[third : 2 * third]), statistics.median(values[2 * third :]))
        return found

    def summary(self) -> str:
        """All of it, in Markdown."""
        benches = self.benches.values()
        noisy = sum(bench.integrity for bench in benches)
        counted = sum(bench.checked for bench in benches)
        wrong = len(self.all_wrong())
        ways = ", ".join(f"{count:,} by {way}" for way, count in self.ways.most_common())
        grown = "; ".join(
            f"{what} {middle:.1f} and {last:.1f} MB ({last / middle - 1:+.1%})"
            for what, (middle, last) in self.grown().items()
        )
        lines = [
            f"{len(benches)} boards, {noisy} of them in the integrity mode, {self.seconds:,.0f} s: "
            f"{self.faults.total():,} faults, {self.ways.total():,} jobs ({ways}), "
            f"{counted:,} pieces of code counted on the boards; {wrong or 'nothing'} wrong, "
            f"{len(self.left) or 'nothing'} left.",
            f"Memory, medians of the middle and the last third: {grown}.",
            "",
            "| fault | faults | how jobs that met it ended |",
            "|---|---:|---|",
        ]
        for kind, ends in self.ends.items():
            listed = ", ".join(f"{end} {count:,}" for end, count in ends.most_common())
            count = f"{self.faults[kind]:,}" if kind != _UNTROUBLED else ""
            lines.append(f"| {kind} | {count} | {listed} |")
        return "\n".join(lines)


def main() -> int:
    """Run it, print the summary, and write it into the page if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--boards", type=int, default=32)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two faults")
    parser.add_argument("--workers", type=int, default=48, help="how many do jobs, one after the other")
    parser.add_argument("--pause", type=float, default=0.7, help="seconds between two jobs of one, on average")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the summary into docs/reliability.md")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("belay_py").setLevel(logging.ERROR)
    before = there_is()
    with asyncio.Runner() as runner:
        soak = Reliability(asked.boards, asked.every, asked.pause, asked.seed)
        runner.run(soak.run(asked.seconds, asked.workers))
    gc.collect()
    soak.left += sorted(there_is() - before)
    command = shlex.join(
        ["python", "-m", "tests.jobs.reliability", *(each for each in sys.argv[1:] if each != "--write")]
    )
    text = f"`{command}`: {soak.summary()}"
    sys.stdout.write(f"{text}\n")
    for title, found in (("wrong", soak.all_wrong()), ("left", soak.left)):
        for each in found:
            sys.stderr.write(f"{title}: {each}\n")
    for who, what in (("this process", resource.RUSAGE_SELF), ("boards and wires", resource.RUSAGE_CHILDREN)):
        used = resource.getrusage(what)
        sys.stderr.write(f"{who}: {used.ru_utime + used.ru_stime:.1f} s of CPU\n")
    if asked.write:
        write(_PAGE, "soak", text)
    memory_grew = any(last > middle * (1 + _ROOM_FOR_CHANCE) for middle, last in soak.grown().values())
    return bool(soak.all_wrong() or soak.left or memory_grew)


if __name__ == "__main__":
    sys.exit(main())
