"""A clock that jumps: an event loop in which waiting takes no time, and a wait that can never end is an error.

When nothing is ready to run, the loop's time moves to the next timer at once. So a deadline of an hour passes in
microseconds, always at the same instant of the same test, however busy the machine is.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from belay_py.errors import BelayError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor
    from contextvars import Context

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Deadlock(BelayError):
    """Nothing can happen any more: no timer is set, and every task waits. The message says where each of them does."""


class RealTimeNeeded(BelayError):
    """A port, socket or pipe was opened on a virtual clock, which does not wait for the outside. Use ``memory:``."""


class VirtualClock(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, which begins at 0 seconds.

        asyncio.Runner(loop_factory=VirtualClock)     or     VirtualClock.run(main())

    It is for tasks, timers and ``memory:`` ports. Jobs of ``asyncio.to_thread`` and ``run_in_executor`` are waited for
    in real time, while the clock stands still. Files, sockets, pipes and this package's own threads, which open all
    ports but ``memory:``, are refused with `RealTimeNeeded`. Threads of other kinds are not seen: the clock jumps past
    them.

    When nothing is ready, no timer is set and no job runs, ``run_until_complete`` raises `Deadlock`. A timer at
    infinity is none.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._jobs = 0
        super().__init__(_Jumper(self))

    @staticmethod
    def run(main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end on a new virtual clock, as ``asyncio.run`` does, and return its result."""
        with asyncio.Runner(loop_factory=VirtualClock) as runner:
            return runner.run(main)

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._now

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As in every loop, but that a timer at infinity, which never fires, keeps nothing waiting."""
        if when == math.inf:  # asyncio would ask for events a day at a time, without end
            return asyncio.TimerHandle(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)

    def refuse_real_time(self) -> None:
        """Raise `RealTimeNeeded`. Whoever needs real time calls it, if the loop has it, where the clock cannot see."""
        raise RealTimeNeeded(
            "a virtual clock does not wait for ports, sockets, pipes or threads: use a memory: port (ScriptedBoard), "
            "or run this on a real loop"
        )

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As in every loop; the clock stands still until the job has ended."""
        job = super().run_in_executor(executor, func, *args)
        self._jobs += 1
        job.add_done_callback(self._job_ended)
        return job

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        """As in every loop; it waits for a thread of its own, so the clock stands still."""
        self._jobs += 1
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._jobs -= 1

    def _job_ended(self, job: asyncio.Future[Any]) -> None:
        self._jobs -= 1

    def _jump(self, seconds: float) -> None:
        self._now += seconds

    @property
    def _waits_for_real(self) -> bool:
        return self._jobs > 0


class _Jumper(selectors.DefaultSelector):
    """The loop's selector, which is asked for events with the time to the next timer: the place to jump."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if self.get_map():  # the first one is the loop's own pipe, by which threads wake it
            self._clock.refuse_real_time()
        return super().register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        clock = self._clock
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if clock._waits_for_real:  # noqa: SLF001  the two halves of one loop
            return super().select(None)
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise Deadlock(_describe(clock))
        clock._jump(timeout)  # noqa: SLF001  the two halves of one loop
        return []


def _describe(loop: asyncio.AbstractEventLoop) -> str:
    places = sorted(f"{task.get_name()} in {_place(task)}" for task in asyncio.all_tasks(loop))
    waiting = "; ".join(places) or "there is no task"
    return (
        "nothing can happen any more, since no timer is set and every task waits for another: "
        f"{waiting}. Give the wait a deadline, or let the scripted board answer"
    )


def _place(task: asyncio.Task[Any]) -> str:
    """Where a task waits: the innermost frame of its coroutines."""
    coroutine: Any = task.get_coro()
    place = repr(coroutine)
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        if frame is not None:
            place = f"{frame.f_code.co_qualname}, line {frame.f_lineno} of {frame.f_code.co_filename}"
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return place
