"""Leases on real boards: one owner each, whoever asks."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import (
    DeviceBusy,
    DeviceNotFound,
    DeviceSession,
    DeviceSessionManager,
    DeviceSessionState,
    Interrupted,
    SessionClosed,
    TooManyWaiters,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

State = DeviceSessionState


@pytest.fixture
async def manager() -> AsyncIterator[DeviceSessionManager]:
    async with DeviceSessionManager() as manager:
        yield manager


def stranger(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task that belongs to no lease, whoever starts it."""
    return asyncio.get_running_loop().create_task(work, context=Context())


async def until_waiting(manager: DeviceSessionManager, count: int = 1) -> None:
    while len(manager._pool.plan.waiting) < count:
        await asyncio.sleep(0)


async def test_a_lease_keeps_everybody_else_out(port: str, manager: DeviceSessionManager) -> None:
    session = await manager.create_session("sensor", port)
    async with manager.lease("sensor") as mine:
        assert isinstance(mine, DeviceSession)
        assert "leased" in repr(mine)
        await mine.execute("log = []")
        call = stranger(session.execute("log.append('a call')"))

        async def lease() -> None:
            async with manager.lease("sensor") as theirs:
                await theirs.execute("log.append('a lease')")

        other = stranger(lease())
        await until_waiting(manager, 2)
        for number in range(3):
            await mine.execute(f"log.append({number})")
        assert not call.done()
        assert not other.done()
    await asyncio.gather(call, other)
    assert await session.evaluate("log") == [0, 1, 2, "a call", "a lease"]


async def test_inside_of_a_lease_the_managers_session_is_the_leased_one(
    port: str, manager: DeviceSessionManager
) -> None:
    session = await manager.create_session("sensor", port)
    async with manager.lease("sensor"):
        assert (await session.execute("print(1)")).output == "1\n"
        async with asyncio.TaskGroup() as tasks:
            assert await tasks.create_task(session.evaluate("2")) == 2


async def test_the_handle_works_in_a_task_that_does_not_belong_to_the_lease(
    port: str, manager: DeviceSessionManager
) -> None:
    await manager.create_session("sensor", port)
    async with manager.lease("sensor") as session:
        assert await stranger(session.evaluate("6 * 7")) == 42

        async def read() -> list[str]:
            return [line async for line in session.stream("for i in range(3): print(i)", mode="lines")]

        assert await stranger(read()) == ["0", "1", "2"]

        async def alone() -> object:
            async with session.exclusive() as mine:
                return await mine.evaluate("1 + 1")

        assert await stranger(alone()) == 2


async def test_use_after_release_is_refused_and_ending_twice_is_nothing(
    port: str, manager: DeviceSessionManager
) -> None:
    session = await manager.create_session("sensor", port)
    lease = manager.lease("sensor")
    mine = await lease.acquire()
    lease.release()
    lease.release()
    for use in (mine.execute("1"), mine.evaluate("1"), mine.soft_reset(), mine.connect(), mine.interrupt()):
        with pytest.raises(SessionClosed, match="the lease of 'sensor' is over; take another one"):
            await use
    with pytest.raises(SessionClosed, match="is over"):
        mine.stream("1")
    await mine.disconnect()
    await mine.close()
    assert session.state is not State.DISPOSED
    with pytest.raises(Exception, match="this lease was taken already"):
        await lease.acquire()
    assert (await session.execute("print(1)")).output == "1\n"


async def test_a_board_that_does_not_become_free_names_its_holder(port: str, manager: DeviceSessionManager) -> None:
    session = await manager.create_session("sensor", port)
    async with manager.lease("sensor"):
        for wait in (manager.lease("sensor", timeout=0.01).acquire(), session.execute("1", timeout=0.01)):
            with pytest.raises(DeviceBusy, match=r"sensor is used by .*test_leases\.py:\d+; allow more time") as caught:
                await stranger(wait)
            assert caught.value.outcome == "not_started"
            assert "test_leases.py" in str(caught.value.holder)
    assert (await session.execute("print(1)")).output == "1\n"


async def test_any_board_with_the_tags(manager: DeviceSessionManager) -> None:
    for name, tags in (("a", {"pico", "left"}), ("b", {"pico"}), ("c", {"esp"})):
        await manager.create_session(name, "virtual:", tags=tags)
    async with manager.lease(tags={"pico"}) as first, manager.lease(tags={"pico"}) as second:
        assert {first.device_id, second.device_id} == {"a", "b"}
        with pytest.raises(DeviceBusy, match="a board with the tags pico did not become free"):
            await manager.lease(tags=["pico"], timeout=0).acquire()
    async with manager.lease(tags={"pico"}, count=2) as both:
        assert {session.device_id for session in both} == {"a", "b"}
    with pytest.raises(
        DeviceNotFound, match=r"there is no board with the tags nrf; the tags there are: esp, left, pico"
    ):
        await manager.lease(tags={"nrf"}).acquire()


async def test_several_are_had_all_or_none(manager: DeviceSessionManager) -> None:
    for name in ("a", "b"):
        await manager.create_session(name, "virtual:")
    async with manager.lease("b"):
        both = stranger(manager.lease("b", "a").acquire())
        await until_waiting(manager)
        with pytest.raises(DeviceBusy):  # it came later, and does not pass
            await manager.lease("a", timeout=0).acquire()
        both.cancel()
        await asyncio.wait([both])
        async with manager.lease("a", timeout=0):
            pass
    async with manager.lease("b", "a") as (b, a):
        assert (b.device_id, a.device_id) == ("b", "a")


async def test_waiting_is_bounded_in_number(port: str) -> None:
    async with DeviceSessionManager(max_waiting=1, max_sessions=1) as manager:
        await manager.create_session("sensor", port)
        async with manager.lease("sensor"):
            taken = manager.lease("sensor")
            waiting = stranger(taken.acquire())
            await until_waiting(manager)
            with pytest.raises(TooManyWaiters, match=r"1 others wait for boards already \(max_waiting is 1\)"):
                await stranger(manager.lease("sensor").acquire())
        await waiting
        taken.release()
        await manager.create_session("other", "virtual:", connect=False)
        with pytest.raises(TooManyWaiters, match="can never be open together: max_sessions is 1"):
            await manager.lease("sensor", "other").acquire()


@pytest.mark.parametrize("checkin", ["interrupt", "leave", "soft_reset"])
async def test_what_runs_at_the_end_of_a_lease(checkin: str, port: str, manager: DeviceSessionManager) -> None:
    await manager.create_session("sensor", port, checkin=checkin)
    async with manager.lease("sensor") as session:
        await session.execute("mine = 1")
        long = asyncio.create_task(session.execute("import time\nfor i in range(30): time.sleep_ms(10)"))
        queued = asyncio.create_task(session.execute("print('too late')"))
        while session.state is not State.ACTIVE:
            await asyncio.sleep(0)
    async with manager.lease("sensor") as session:
        kept = await session.evaluate("'mine' in globals()")
    assert kept == (checkin != "soft_reset")
    if checkin == "leave":
        assert (await long).output == ""
    else:
        with pytest.raises(Interrupted):
            await long
    with pytest.raises(
        SessionClosed, match="the lease of this session is over, and what it had not begun was not sent"
    ):
        await queued


async def test_an_operation_that_was_cancelled_is_over_before_the_next_owner_begins(
    port: str, manager: DeviceSessionManager
) -> None:
    await manager.create_session("sensor", port)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), manager.lease("sensor") as session:
            await session.execute("while True: pass", timeout=60)
    async with manager.lease("sensor") as session:
        assert (await session.execute("print('mine')")).output == "mine\n"


async def test_closing_a_leased_session_frees_its_name(port: str, manager: DeviceSessionManager) -> None:
    await manager.create_session("sensor", port, checkin="soft_reset")
    async with manager.lease("sensor") as session:
        await session.close()
        assert session.state is State.DISPOSED
        with pytest.raises(SessionClosed, match="closed for good"):
            await session.execute("1")


async def test_without_pooling_a_board_is_closed_after_its_lease(port: str) -> None:
    async with DeviceSessionManager(enable_session_pooling=False) as manager:
        session = await manager.create_session("sensor", port)
        for generation in (1, 2):
            async with manager.lease("sensor") as mine:
                assert (await mine.execute("print(1)")).output == "1\n"
                assert mine.generation == generation
            async with manager.lease("sensor"):
                pass
            assert session.generation == generation + 1
            break


async def test_eviction_closes_the_board_that_was_unused_for_longest() -> None:
    async with DeviceSessionManager(max_sessions=2) as manager:
        pinned = await manager.create_session("pinned", "virtual:", pinned=True)
        old = await manager.create_session("old", "virtual:")
        new = await manager.create_session("new", "virtual:")
        assert [session.state for session in (pinned, old, new)] == [
            State.CONNECTED,
            State.DISCONNECTED,
            State.CONNECTED,
        ]
        async with manager.lease("new"):
            with pytest.raises(DeviceBusy, match="all 2 sessions that may be open"):
                await manager.lease("old", timeout=0.01).acquire()
        async with manager.lease("old") as session:
            assert (await session.execute("print('again')")).output == "again\n"
        assert new.state is State.DISCONNECTED


async def test_a_board_is_set_up_before_anybody_gets_it(port: str, manager: DeviceSessionManager) -> None:
    async def set_up(session: DeviceSession) -> None:
        await session.execute("ready = 'yes'")

    session = await manager.create_session("sensor", port, on_connect=set_up)
    assert await session.evaluate("ready") == "yes"
    await session.execute("ready = 'no'")
    await session.disconnect()
    async with manager.lease("sensor") as mine:
        assert await mine.evaluate("ready") == "yes"


async def test_a_set_up_that_fails_closes_the_board_and_says_so(port: str, manager: DeviceSessionManager) -> None:
    async def set_up(session: DeviceSession) -> None:
        raise KeyError("no such pin")

    with pytest.raises(Exception, match="on_connect failed for 'sensor': KeyError: 'no such pin'"):
        await manager.create_session("sensor", port, on_connect=set_up)
    assert manager.ids() == ()
    async with DeviceSession(port) as session:
        assert (await session.execute("print(1)")).output == "1\n"
