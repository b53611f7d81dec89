"""Every operation is cancelled at every turn of the event loop that it takes, and nothing is left behind.

A turn of a virtual clock includes the jumps to timers, so the waits inside an operation are cut as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import re
import sys
import weakref
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import BelayError, CommunicationOptions, DeviceSession, DeviceSessionState, SessionClosed, SessionTimeout
from belay_py.testing import Forever, Read, ScriptedBoard, SwallowInterrupts, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from belay_py.testing import Answer

State = DeviceSessionState


class CuttingClock(VirtualClock):
    """A virtual clock that does something at one of its turns."""

    cut: Callable[[], object] | None = None
    turns_left = 0

    def _run_once(self) -> None:
        if self.cut is not None:
            if not self.turns_left:
                self.cut()
                self.cut = None
            self.turns_left -= 1
        super()._run_once()  # type: ignore[misc]  # asyncio's own, and the only place where a turn can be counted


def on_code(code: str) -> Answer:
    if code.startswith("loop"):
        return Forever()
    if code.startswith("stubborn"):
        return SwallowInterrupts(3), Forever(b"no\r\n", every=0.1)
    if code.startswith("read"):
        return Read(b"x\r" * 100), "done"
    if many := re.match(r"_belay_m\w{4}\(b'([\w-]+)',", code):
        return many[1] + f"x{many[1]}1;" * (code.count("\x1f") + 1)
    return "done"


async def leave_a_stream(session: DeviceSession) -> None:
    async with aclosing(session.stream("stubborn", mode="bytes")) as stream:
        async for _ in stream:
            break


async def read_a_stream(session: DeviceSession) -> None:
    async for _ in session.stream("x"):
        pass


async def beside(session: DeviceSession, operation: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Something that happens while another task's code runs."""
    running = asyncio.create_task(session.execute("loop", timeout=20))
    try:
        while session.state is not State.ACTIVE:
            await asyncio.sleep(0)
        await operation()
    finally:
        running.cancel()
        with contextlib.suppress(BelayError, asyncio.CancelledError):
            await running


async def run_exclusively(session: DeviceSession) -> None:
    async with session.exclusive():
        await session.execute("x")
        await session.execute("y")


async def run_many(session: DeviceSession) -> None:
    assert len(await session.execute_many(["a", "b"], timeout=20)) == 2


async def listen(session: DeviceSession) -> None:
    end = session.on_message(print)
    try:
        await session.execute("x")
        with contextlib.suppress(SessionTimeout):
            await anext(session.messages(timeout=1))
    finally:
        end()


async def settle_after_a_cancellation(session: DeviceSession) -> None:
    running = asyncio.create_task(session.execute("stubborn"))
    try:
        while session.state is not State.ACTIVE:
            await asyncio.sleep(0)
    finally:
        running.cancel()
        await asyncio.wait([running])
    await session.settled()


OPERATIONS: dict[str, Callable[[DeviceSession], Coroutine[Any, Any, object]]] = {
    "connect": lambda session: session.connect(),
    "disconnect": lambda session: session.disconnect(),
    "close": lambda session: session.close(),
    "execute": lambda session: session.execute("x"),
    "execute long code": lambda session: session.execute("x = 1\n" * 100),
    "a deadline": lambda session: session.execute("loop", timeout=3),
    "a deadline of code that resists": lambda session: session.execute("stubborn", timeout=0.5),
    "evaluate": lambda session: session.evaluate("1"),
    "a whole stream": read_a_stream,
    "a stream left half-way": leave_a_stream,
    "soft_reset": lambda session: session.soft_reset(),
    "hard_reset": lambda session: session.hard_reset(),
    "reconnect": lambda session: session.reconnect(),
    "exclusive": run_exclusively,
    "execute with stdin": lambda session: session.execute("read", stdin="x\n" * 200),
    "wait_for_state": lambda session: session.wait_for_state(State.ERROR, timeout=1),
    "execute_many": run_many,
    "messages": listen,
    "interrupt nothing": lambda session: session.interrupt(),
    "interrupt": lambda session: beside(session, session.interrupt),
    "wait for a turn": lambda session: beside(session, lambda: session.execute("x", timeout=1)),
    "disconnect a running one": lambda session: beside(session, session.disconnect),
    "close a running one": lambda session: beside(session, session.close),
    "settled": settle_after_a_cancellation,
}


async def cut(name: str, turn: int, board: ScriptedBoard) -> tuple[bool, weakref.ref[DeviceSession]]:
    """Start an operation, cancel it at a turn, use the session and dispose of it; return whether it was over before."""
    clock = asyncio.get_running_loop()
    assert isinstance(clock, CuttingClock)
    session = DeviceSession(board.port, recovery_timeout=2, communication=CommunicationOptions(pace=0.05))
    if name != "connect":
        await session.connect()
    task = asyncio.ensure_future(OPERATIONS[name](session))
    clock.turns_left, clock.cut = turn, task.cancel
    await asyncio.wait([task])
    was_over = clock.cut is not None
    clock.cut = None
    if not task.cancelled():
        error = task.exception()
        assert error is None or isinstance(error, BelayError)
    assert session.state is not State.ERROR
    codes = [execution.code for execution in board.executions]
    assert len(codes) == len(set(codes)), "something ran twice"
    if "close" in name:
        # Until a closing that was cancelled has begun, there may be a connection, and the next one ends it.
        await session.close()
        with pytest.raises(SessionClosed):
            await session.execute("last")
    else:
        await session.connect()
        assert (await session.execute("last", timeout=30)).output == "done"
        await session.close()
    assert session.state is State.DISPOSED
    assert not board.connected
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return was_over, weakref.ref(session)


@pytest.mark.parametrize("marks", [True, False], ids=["marked", "plain"])
@pytest.mark.parametrize("raw_paste", ["supported", "unknown"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_cancelled_at_every_turn_a_session_is_usable_or_disposed_and_nothing_is_left(
    name: str, raw_paste: Any, marks: bool
) -> None:
    descriptors = open_descriptors()
    for turn in itertools.count():
        board = ScriptedBoard(on_code=on_code, raw_paste=raw_paste, marks=marks)
        with asyncio.Runner(loop_factory=CuttingClock) as runner:
            was_over, session = runner.run(cut(name, turn, board))
        if session() is not None:
            gc.collect()
        assert session() is None
        if was_over:
            break
    assert turn >= (0 if name == "interrupt nothing" else 3)
    assert open_descriptors() == descriptors


async def meet(first: str, second: str, turn: int, board: ScriptedBoard) -> bool:
    """Start one operation and, at one of its turns, another; return whether the first was over before."""
    clock = asyncio.get_running_loop()
    assert isinstance(clock, CuttingClock)
    session = DeviceSession(board.port, recovery_timeout=2)
    if first != "connect":
        await session.connect()
    tasks = [asyncio.ensure_future(OPERATIONS[first](session))]
    clock.turns_left, clock.cut = turn, lambda: tasks.append(clock.create_task(OPERATIONS[second](session)))
    await asyncio.wait(tasks)
    was_over = clock.cut is not None
    clock.cut = None
    for task in tasks:
        with contextlib.suppress(BelayError):
            await task
    assert session.state not in (State.CONNECTING, State.ACTIVE, State.DISCONNECTING)
    if second == "close" and not was_over:
        assert session.state is State.DISPOSED
        assert not board.connected
    elif session.state is not State.DISPOSED:
        if second == "disconnect" and not was_over:
            assert not board.connected, "what was disconnected stays so"
        while not board._wire.plugged:
            await asyncio.sleep(0.1)
        await session.connect()
        assert (await session.execute("last", timeout=30)).output == "done"
    await session.close()
    assert session.state is State.DISPOSED
    assert not board.connected
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return was_over


@pytest.mark.parametrize("second", ["connect", "reconnect", "disconnect", "close", "hard_reset", "interrupt nothing"])
@pytest.mark.parametrize(
    "first", ["connect", "reconnect", "disconnect", "close", "hard_reset", "a deadline", "exclusive"]
)
@pytest.mark.parametrize("away", [None, 1.0], ids=["link kept", "link lost"])
def test_two_operations_that_meet_at_any_turn_leave_a_session_that_is_usable_or_disposed(
    first: str, second: str, away: float | None
) -> None:
    for turn in itertools.count():
        board = ScriptedBoard(on_code=on_code)
        board.away = away
        with asyncio.Runner(loop_factory=CuttingClock) as runner:
            if runner.run(meet(first, second, turn, board)):
                break


def open_descriptors() -> int:
    """How many descriptors this process has open, where that can be seen."""
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


def stubborn(code: str) -> Answer:
    return (SwallowInterrupts(), Forever(b"no\r\n", every=0.1)) if code == "stubborn" else on_code(code)


async def connect_from_error(board: ScriptedBoard, turn: int, ending: str) -> bool:
    """Bring a session into ERROR, begin to connect anew, and end that at a turn; return whether it was over before."""
    clock = asyncio.get_running_loop()
    assert isinstance(clock, CuttingClock)
    session = DeviceSession(board.port, recovery_timeout=0.2)
    await session.connect()
    with pytest.raises(BelayError):
        await session.execute("stubborn", timeout=0.1)
    assert session.state is State.ERROR
    board.restart()
    tasks = [asyncio.ensure_future(session.connect())]

    def end() -> None:
        if ending == "cancel":
            tasks[0].cancel()
        else:
            tasks.append(clock.create_task(session.disconnect() if ending == "disconnect" else session.close()))

    clock.turns_left, clock.cut = turn, end
    await asyncio.wait(tasks)
    was_over = clock.cut is not None
    clock.cut = None
    for task in tasks:
        with contextlib.suppress(BelayError, asyncio.CancelledError):
            await task
    if not was_over and (ending != "cancel" or tasks[0].cancelled()):
        assert not board.connected
        assert session.state in (State.DISPOSED, State.DISCONNECTED, State.ERROR)
    await session.close()
    assert not board.connected
    return was_over


@pytest.mark.parametrize("ending", ["cancel", "disconnect", "close"])
def test_connecting_anew_from_error_can_be_ended_at_any_turn(ending: str) -> None:
    for turn in itertools.count():
        with asyncio.Runner(loop_factory=CuttingClock) as runner:
            if runner.run(connect_from_error(ScriptedBoard(on_code=stubborn), turn, ending)):
                break
