"""Leases that are held for too long, and what they cost when they are not."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any

import pytest

from belay_py import DeviceSessionManager
from belay_py.events import LeaseLeaked, LeaseReleased
from belay_py.testing import ScriptedBoard

from .watching import Diary, manager_with

ON_A_VIRTUAL_CLOCK = True

QUIET: dict[str, Any] = {"enable_heartbeat": False, "enable_health_checks": False}


async def test_a_lease_that_is_not_given_back_is_told_once_and_its_return_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    board = ScriptedBoard("leak")
    manager, diary = manager_with(leak_after=600)
    caplog.set_level(logging.INFO)
    async with manager:
        await manager.create_session("a", board.port, **QUIET)
        await asyncio.sleep(123)
        lease = manager.lease("a")
        here = f"{__file__}:{inspect.currentframe().f_lineno - 1}"  # type: ignore[union-attr]  # CPython has frames
        await lease.acquire()
        diary.take()
        await asyncio.sleep(5000)
        assert diary.take() == [(723.0, "a", "LeaseLeaked 600")]
        leaked = diary.events[-1]
        assert isinstance(leaked, LeaseLeaked)
        assert (leaked.holder, leaked.stack, leaked.lease_id) == (here, "", 1)
        [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert warning.message.startswith(f"a: leased for 600 s at {here} and not given back")
        assert manager.statistics().leases_leaked == 1
        lease.release()
        released = diary.events[-1]
        assert isinstance(released, LeaseReleased)
        assert (released.held, released.leaked) == (5000, True)
        assert f"a: the lease taken at {here} came back after 5000 s" in caplog.text


async def test_the_whole_stack_is_kept_when_it_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    board = ScriptedBoard("stack")
    manager, diary = manager_with(leak_after=10, leak_stacks=True)
    async with manager:
        await manager.create_session("a", board.port, **QUIET)

        async def take_by_a_detour() -> None:
            await manager.lease("a").acquire()

        await take_by_a_detour()
        await asyncio.sleep(11)
        leaked = diary.events[-1]
        assert isinstance(leaked, LeaseLeaked)
        assert "take_by_a_detour" in leaked.stack
        assert "test_the_whole_stack_is_kept" in leaked.stack
        assert "it was taken here:\n" in caplog.text
        assert "take_by_a_detour" in caplog.text


async def test_each_one_is_told_at_its_time() -> None:
    boards = {name: ScriptedBoard(f"times-{name}") for name in ("a", "b", "c", "d")}
    manager, diary = manager_with(leak_after=100)
    async with manager:
        for name, board in boards.items():
            await manager.create_session(name, board.port, **QUIET)
        await asyncio.sleep(30)
        await manager.lease("a").acquire()
        await asyncio.sleep(40)
        lease = manager.lease("b")
        await lease.acquire()
        await asyncio.sleep(99)
        lease.release()
        both = manager.lease("c", "d")
        await both.acquire()
        diary.take()
        await asyncio.sleep(1000)
        assert [entry for entry in diary.take() if "Leaked" in entry[2]] == [
            (269.0, "c", "LeaseLeaked 100"),
            (269.0, "d", "LeaseLeaked 100"),
        ]
        assert manager.statistics().leases_leaked == 2  # two leases, on three boards


async def test_short_leases_are_no_leaks() -> None:
    board = ScriptedBoard("short")
    manager, _ = manager_with(leak_after=10)
    async with manager:
        await manager.create_session("a", board.port, **QUIET)
        for _ in range(100):
            async with manager.lease("a"):
                await asyncio.sleep(9.9)
        assert manager.statistics().leases_leaked == 0


async def test_none_are_told_when_it_is_off() -> None:
    board = ScriptedBoard("off")
    manager, _ = manager_with(leak_after=None)
    async with manager:
        await manager.create_session("a", board.port, **QUIET)
        await manager.lease("a").acquire()
        await asyncio.sleep(100_000)
        assert manager.statistics().leases_leaked == 0


async def test_a_lease_that_waits_is_none() -> None:
    board = ScriptedBoard("waits")
    manager, _ = manager_with(leak_after=10)
    async with manager:
        await manager.create_session("a", board.port, **QUIET)
        lease = manager.lease("a")
        await lease.acquire()
        second = asyncio.ensure_future(manager.lease("a", timeout=100).acquire())
        await asyncio.sleep(50)
        assert manager.statistics().leases_leaked == 1
        lease.release()
        await second
        await asyncio.sleep(9)
        assert manager.statistics().leases_leaked == 1
        await asyncio.sleep(2)
        assert manager.statistics().leases_leaked == 2


async def test_a_lease_that_came_to_nothing_is_no_event() -> None:
    board = ScriptedBoard("nothing")
    manager = DeviceSessionManager()
    diary = Diary(manager)
    async with manager:
        await manager.create_session("a", board.port, connect=False, **QUIET)
        board.unplug()
        with pytest.raises(Exception, match="memory:nothing"):
            await manager.lease("a").acquire()
        assert [entry[2] for entry in diary.take()] == ["SessionCreated", "SessionError"]
        assert manager.statistics().leases_granted == manager.statistics().leases_released == 1
