"""Groups of operations, and waiting for states, against real boards."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import (
    DeviceSession,
    DeviceSessionState,
    ExecutionError,
    SessionClosed,
    SessionTimeout,
    SettingsError,
)
from belay_py.sync import DeviceSession as BlockingSession

if TYPE_CHECKING:
    from collections.abc import Coroutine

State = DeviceSessionState


def append(word: str) -> str:
    return f"log.append({word!r})"


class Outsider:
    """Starts tasks that belong to no group, whatever the starter belongs to."""

    def __init__(self) -> None:
        self._context = copy_context()

    def start(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        return asyncio.get_running_loop().create_task(work, context=self._context.copy())


async def test_nobody_gets_in_between_the_operations_of_a_group(port: str) -> None:
    outsider = Outsider()
    async with DeviceSession(port) as session:
        await session.execute("log = []")
        async with session.exclusive() as mine:
            assert mine is session
            await session.execute(append("first"))
            stranger = outsider.start(session.execute(append("stranger")))
            await session.execute(append("second"))
            async with asyncio.TaskGroup() as members:
                members.create_task(session.execute(append("a member")))
            async with session.exclusive():
                await session.execute(append("nested"))
            assert not stranger.done()
        await stranger
        assert await session.evaluate("log") == ["first", "second", "a member", "nested", "stranger"]


async def test_a_group_that_ends_while_its_operation_runs_keeps_the_board_until_that_has_ended(port: str) -> None:
    outsider = Outsider()
    async with DeviceSession(port) as session:
        await session.execute("log = []")
        async with session.exclusive():
            member = asyncio.create_task(session.execute(append("member")))
            await session.wait_for_state(State.ACTIVE)
            stranger = outsider.start(session.execute(append("stranger")))
        await asyncio.gather(member, stranger)
        assert await session.evaluate("log") == ["member", "stranger"]
        async with session.exclusive():
            await session.execute("pass")


async def test_a_group_is_given_up_by_errors_cancellation_and_a_lost_wait(port: str) -> None:
    outsider = Outsider()
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError):
            async with session.exclusive():
                await session.execute("1/0")
        async with session.exclusive():

            async def waits() -> None:
                async with session.exclusive(timeout=0):
                    pass

            with pytest.raises(SessionTimeout, match="busy with another operation"):
                await outsider.start(waits())
            cancelled = outsider.start(waits())
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.wait([cancelled])

        async def runs_for_ever() -> None:
            async with session.exclusive():
                await session.execute("while True: pass")

        running = outsider.start(runs_for_ever())
        await session.wait_for_state(State.ACTIVE)
        running.cancel()
        await asyncio.wait([running])
        assert (await session.execute("print(1)")).output == "1\n"


async def test_a_member_that_outlives_its_group_queues_like_anybody(port: str) -> None:
    async with DeviceSession(port) as session:
        gate = asyncio.Event()

        async def late() -> str:
            await gate.wait()
            return (await session.execute("print(1)")).output

        async with session.exclusive():
            member = asyncio.create_task(late())
        gate.set()
        assert await member == "1\n"


def test_a_blocking_group_keeps_other_threads_out(port: str) -> None:
    with BlockingSession(port) as session:
        session.execute("log = []")
        started = threading.Event()

        def other() -> None:
            started.set()
            session.execute(append("other"))

        thread = threading.Thread(target=other)
        with session.exclusive():
            thread.start()
            started.wait()
            for word in ("first", "second"):
                session.execute(append(word))
        thread.join()
        assert session.evaluate("log") == ["first", "second", "other"]
        with pytest.raises(ExecutionError), session.exclusive():
            session.execute("1/0")
        session.execute("pass")


async def test_waiting_for_a_state(port: str) -> None:
    session = DeviceSession(port)
    assert await session.wait_for_state(State.CREATED) is State.CREATED
    waiting = asyncio.create_task(session.wait_for_state(State.ERROR, State.CONNECTED))
    await session.connect()
    assert await waiting is State.CONNECTED
    passing = asyncio.create_task(session.wait_for_state(State.ACTIVE))
    await asyncio.sleep(0)
    await session.execute("pass")
    assert await passing is State.ACTIVE  # it was, though it is IDLE by now
    with pytest.raises(SessionTimeout, match="did not become ERROR before the deadline; it is IDLE"):
        await session.wait_for_state(State.ERROR, timeout=0)
    never = asyncio.create_task(session.wait_for_state(State.ERROR))
    await asyncio.sleep(0)
    await session.close()
    with pytest.raises(SessionClosed, match="cannot be ERROR any more"):
        await never
    assert await session.wait_for_state(State.DISPOSED) is State.DISPOSED
    with pytest.raises(SessionClosed):
        await session.wait_for_state(State.IDLE)
    for wrong in ((), ("IDLE",)):
        with pytest.raises(SettingsError, match="name one or more"):
            await session.wait_for_state(*wrong)


def test_waiting_for_a_state_from_another_thread(port: str) -> None:
    with BlockingSession(port) as session:
        seen: list[State] = []
        thread = threading.Thread(target=lambda: seen.append(session.wait_for_state(State.DISPOSED)))
        thread.start()
    thread.join()
    assert seen == [State.DISPOSED]


async def test_groups_of_two_sessions_may_end_in_any_order(port: str) -> None:
    async with DeviceSession(port) as one, DeviceSession("virtual:") as other:
        first, second = one.exclusive(), other.exclusive()
        await first.__aenter__()
        await second.__aenter__()
        await first.__aexit__(None, None, None)
        assert (await other.execute("print(2)", timeout=5)).output == "2\n"
        assert (await one.execute("print(1)", timeout=5)).output == "1\n"
        await second.__aexit__(None, None, None)


async def test_a_group_may_end_in_another_task_than_it_began_in(port: str) -> None:
    async with DeviceSession(port) as session:
        group = session.exclusive()
        await asyncio.create_task(group.__aenter__())
        await asyncio.create_task(group.__aexit__(None, None, None))
        assert (await session.execute("print(1)", timeout=5)).output == "1\n"


async def test_members_that_go_on_asking_do_not_keep_a_group_going(port: str) -> None:
    outsider = Outsider()
    async with DeviceSession(port) as session:

        async def poll() -> None:
            while True:
                await session.execute("pass")

        async with session.exclusive():
            pollers = [asyncio.create_task(poll()) for _ in range(3)]
            await session.wait_for_state(State.ACTIVE)
        await outsider.start(session.execute("pass", timeout=5))
        for poller in pollers:
            poller.cancel()
        await asyncio.wait(pollers)
        await session.settled()


async def test_a_listener_is_no_member_of_the_group_that_caused_its_event(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("log = []")
        heard = asyncio.Event()

        async def listener(_: object) -> None:
            if not heard.is_set():
                heard.set()
                await session.execute(append("listener"))

        async with session.exclusive():
            end = session.subscribe(listener)
            await session.execute(append("first"))
            await heard.wait()
            await session.execute(append("second"))
        end()
        await session.wait_for_state(State.ACTIVE)
        assert await session.evaluate("log") == ["first", "second", "listener"]


def test_ctrl_c_at_the_end_of_a_blocking_group_ends_it(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with BlockingSession(port) as session:
        run = session._run_if_alive
        interrupted: list[bool] = []

        def interrupt_once(coroutine: Coroutine[Any, Any, None]) -> None:
            if not interrupted:
                interrupted.append(True)
                coroutine.close()
                raise KeyboardInterrupt
            run(coroutine)

        monkeypatch.setattr(session, "_run_if_alive", interrupt_once)
        with pytest.raises(KeyboardInterrupt), session.exclusive():
            pass
        assert session.execute("print(1)", timeout=5).output == "1\n"
