"""Watching real boards."""

from __future__ import annotations

import asyncio
from typing import Any

from belay_py import DeviceSessionManager
from belay_py.events import Reconnecting, SessionConnected, SessionDisconnected
from belay_py.virtual import VirtualBoard

from .watching import Diary, until

QUICK: dict[str, Any] = {
    "heartbeat_interval": 0.02,
    "health_check_interval": 0.05,
    "check_after": 0.01,
    "reconnect_delay": 0.05,
}


async def test_a_board_tells_how_it_is(port: str) -> None:
    async with DeviceSessionManager() as manager:
        await manager.create_session("a", port, **QUICK)
        await until(lambda: manager.statistics().health_checks >= 2 and manager.statistics().heartbeats >= 2)
        await until(lambda: manager._pool.members["a"].finding)
        health = await manager.health()
        finding = health.findings["a"]
        assert health.status == "healthy"
        assert finding.ok
        assert finding.heap_free is not None
        assert finding.heap_allocated is not None
        assert 1_000 < finding.heap_allocated < finding.heap_free
        assert finding.storage_free is None or finding.storage_size is not None
        assert (await manager["a"].evaluate("1 + 1")) == 2


async def test_a_check_leaves_the_names_of_the_board_alone(port: str) -> None:
    async with DeviceSessionManager() as manager:
        session = await manager.create_session("a", port, **QUICK)
        names = await session.evaluate("sorted(dir())")
        await until(lambda: manager.statistics().health_checks >= 2)
        assert await session.evaluate("sorted(dir())") == names


async def test_a_board_that_is_unplugged_is_back_when_it_is_plugged_in_again() -> None:
    async with VirtualBoard() as board, DeviceSessionManager() as manager:
        diary = Diary(manager)
        session = await manager.create_session("a", board.port, max_reconnect_attempts=1000, **QUICK)
        epoch = session.boot_epoch
        await board.unplug()
        await until(lambda: sum(isinstance(event, Reconnecting) for event in diary.events) >= 2)
        assert (await manager.health()).status == "unhealthy"
        await board.replug()
        await until(lambda: sum(isinstance(event, SessionConnected) for event in diary.events) == 2)
        assert (session.generation, session.boot_epoch) == (2, epoch + 1)
        assert (await session.execute("print('back')")).output == "back\n"
        losses = [event for event in diary.events if isinstance(event, SessionDisconnected)]
        assert [event.reason for event in losses] == ["unexpected"]
        assert manager.statistics().reconnects == 1


async def test_a_call_that_comes_while_the_board_is_lost_connects_by_itself() -> None:
    async with VirtualBoard(keeps_power=True) as board, DeviceSessionManager() as manager:
        diary = Diary(manager)
        session = await manager.create_session("a", board.port, reconnect_delay=30, max_reconnect_delay=30)
        manager._pool.random = type("", (), {"random": staticmethod(lambda: 1.0)})()
        await session.execute("x = 42")
        await board.unplug()
        await until(lambda: any(isinstance(event, Reconnecting) for event in diary.events))
        await board.replug()
        async with asyncio.timeout(20):
            assert await session.evaluate("x") == 42
        await until(lambda: not manager._watch.reconnection._series)
        assert manager.statistics().reconnects == 0
