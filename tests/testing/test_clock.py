"""The virtual clock: jumps, waits that cannot end, and what it has to wait for in real time."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import threading

import pytest

from belay_py import DeviceSession
from belay_py.testing import Deadlock, RealTimeNeeded, VirtualClock


def test_days_pass_at_once_and_timers_fire_in_order() -> None:
    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        fired: list[tuple[str, float]] = []

        async def note(name: str, after: float) -> None:
            await asyncio.sleep(after)
            fired.append((name, loop.time()))

        await asyncio.gather(note("week", 7 * 86400), note("hour", 3600), note("tick", 0.25))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 60)
        fired.append(("minute", loop.time()))
        return fired

    expected = [("tick", 0.25), ("hour", 3600), ("week", 604800), ("minute", 604860)]
    assert VirtualClock.run(main()) == expected


def test_a_wait_that_cannot_end_is_an_error_that_says_where() -> None:
    async def wait_for_godot() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.sleep(10)
        await wait_for_godot()

    with pytest.raises(Deadlock, match=r"Task-\d+ in Event.wait, line \d+ of .*Give the wait a deadline"):
        VirtualClock.run(main())


def test_a_timer_at_infinity_is_none() -> None:
    async def by_timeout() -> None:
        async with asyncio.timeout(math.inf):
            await asyncio.Event().wait()

    async def by_timer() -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_at(math.inf, print, "never")
        assert timer.when() == math.inf
        timer.cancel()
        loop.call_later(math.inf, print, "never")
        await asyncio.sleep(5)
        assert loop.time() == 5
        await loop.create_future()

    for main in (by_timeout(), by_timer(), asyncio.sleep(math.inf)):
        with pytest.raises(Deadlock):
            VirtualClock.run(main)


def test_the_clock_stands_still_while_a_job_runs_in_a_thread() -> None:
    async def main() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        go = threading.Event()
        loop.call_later(5, go.set)  # it would let the job end, if the clock went on
        job = asyncio.create_task(asyncio.to_thread(go.wait, 0.05))
        ended = await asyncio.wait_for(job, 3)
        return f"was set: {ended}", loop.time()

    assert VirtualClock.run(main()) == ("was set: False", 0.0)


def test_ports_sockets_and_pipes_are_refused() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(RealTimeNeeded, match="use a memory: port"):
            loop.add_reader(ours, print)

    VirtualClock.run(main())


@pytest.mark.parametrize("port", ["pty", "virtual:", "loop://", "process:cat", "socket://127.0.0.1:9"])
def test_ports_that_need_real_time_are_refused(port: str) -> None:
    async def main(port: str) -> None:
        await DeviceSession(port).connect()

    ours, theirs = os.openpty()
    try:
        with pytest.raises(RealTimeNeeded, match="use a memory: port"):
            VirtualClock.run(main(os.ttyname(theirs) if port == "pty" else port))
    finally:
        os.close(ours)
        os.close(theirs)


async def test_it_is_a_loop_for_pytest_asyncio() -> None:
    assert isinstance(asyncio.get_running_loop(), VirtualClock)
    await asyncio.sleep(1e6)
