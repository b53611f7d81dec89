"""Heartbeats and health checks: when they come, what they ask, and what becomes of a board that fails one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from belay_py.testing import Pause, Raise, ScriptedBoard, VirtualClock

from .watching import codes, manager_with, until

ON_A_VIRTUAL_CLOCK = True

ONLY_BEATS: dict[str, Any] = {"enable_health_checks": False, "idle_timeout": float("inf")}
ONLY_CHECKS: dict[str, Any] = {"enable_heartbeat": False, "idle_timeout": float("inf")}


async def test_a_board_that_nobody_uses_is_asked_for_a_sign_of_life() -> None:
    board = ScriptedBoard("beats")
    manager, diary = manager_with()
    async with manager:
        await manager.create_session("a", board.port, **ONLY_BEATS)
        await asyncio.sleep(29.9)
        assert board.executions == []
        await asyncio.sleep(60.2)
        assert codes(board.executions) == ["", "", ""]
        assert manager.statistics().heartbeats == 3
        assert manager.statistics().operations == 0
        assert len(diary.entries) == 2


async def test_a_heartbeat_is_put_off_by_traffic() -> None:
    board = ScriptedBoard("traffic")
    manager, _ = manager_with()
    async with manager:
        session = await manager.create_session("a", board.port, **ONLY_BEATS)
        for _ in range(10):
            await asyncio.sleep(20)
            await session.execute("1")
        assert manager.statistics().heartbeats == 0
        await asyncio.sleep(29)
        assert manager.statistics().heartbeats == 0
        await asyncio.sleep(1.1)
        assert manager.statistics().heartbeats == 1


async def test_a_lease_is_never_in_the_way_of_a_heartbeat_or_a_check() -> None:
    board = ScriptedBoard("leased")
    manager, _ = manager_with()
    async with manager:
        await manager.create_session("a", board.port, idle_timeout=float("inf"))
        async with manager.lease("a") as session:
            await asyncio.sleep(300)
            assert board.executions == []
            await session.execute("mine")
        assert codes(board.executions) == ["mine"]
        await asyncio.sleep(60)
        assert manager.statistics().heartbeats + manager.statistics().health_checks >= 2


async def test_a_lease_waits_for_a_heartbeat_that_is_under_way() -> None:
    board = ScriptedBoard("slow", on_code=lambda code: Pause(1.0) if not code else None)
    manager, _ = manager_with()
    async with manager:
        await manager.create_session("a", board.port, **ONLY_BEATS)
        await asyncio.sleep(30.5)
        assert board.running
        async with manager.lease("a"):
            assert not board.running
            assert asyncio.get_running_loop().time() == pytest.approx(31.0)


async def test_heartbeats_are_no_use_of_a_session() -> None:
    board = ScriptedBoard("no-use")
    manager, _ = manager_with()
    async with manager:
        session = await manager.create_session("a", board.port, **ONLY_BEATS)
        used = session.last_used
        await asyncio.sleep(40)
        assert manager.statistics().heartbeats == 1
        assert session.last_used == used
        assert manager.idle_sessions(older_than=40) == [session]


async def test_what_is_off_does_not_happen() -> None:
    board = ScriptedBoard("off")
    manager, _ = manager_with()
    async with manager:
        await manager.create_session(
            "a", board.port, enable_heartbeat=False, enable_health_checks=False, idle_timeout=float("inf")
        )
        await asyncio.sleep(10_000)
        assert board.executions == []
        assert (await manager.health()).findings == {}


async def test_a_check_asks_for_heap_and_room() -> None:
    board = ScriptedBoard("check")
    manager, _ = manager_with()
    async with manager:
        await manager.create_session("a", board.port, **ONLY_CHECKS)
        await asyncio.sleep(60.1)
        finding = (await manager.health()).findings["a"]
        assert finding.ok
        assert (finding.heap_allocated, finding.heap_free) == (40_000, 190_000)
        assert (finding.storage_size, finding.storage_free) == (1_048_576, 524_288)
        assert finding.link_errors == 0


async def test_a_check_is_put_off_while_the_board_is_in_use() -> None:
    board = ScriptedBoard("busy")
    manager, _ = manager_with()
    async with manager:
        session = await manager.create_session("a", board.port, **ONLY_CHECKS)
        for _ in range(100):
            await asyncio.sleep(1)
            await session.execute("1")
        assert manager.statistics().health_checks == 0
        await asyncio.sleep(4.9)
        assert manager.statistics().health_checks == 0
        await asyncio.sleep(0.2)
        assert manager.statistics().health_checks == 1


async def test_link_errors_are_counted_from_check_to_check() -> None:
    board = ScriptedBoard("errors")
    manager, _ = manager_with()
    async with manager:
        await manager.create_session("a", board.port, **ONLY_CHECKS)
        board.lose()
        await asyncio.sleep(70)
        assert (await manager.health()).findings["a"].link_errors == 1
        await asyncio.sleep(60)
        assert (await manager.health()).findings["a"].link_errors == 0


async def test_a_board_that_does_not_answer_is_connected_again() -> None:
    board = ScriptedBoard("silent")
    manager, diary = manager_with()
    async with manager:
        await manager.create_session("a", board.port, recovery_timeout=1, connection_timeout=2, **ONLY_BEATS)
        diary.take()
        await asyncio.sleep(29)
        board.silent = True
        await until(lambda: manager.statistics().failed_checks == 1)
        health = await manager.health()
        assert health.status == "unhealthy"
        assert "a heartbeat failed" in health.findings["a"].trouble
        board.silent = False
        await until(lambda: manager.statistics().connected == 1)
        # 2 s for the answer, 1 s for stopping it, and the first attempt's whole delay
        assert diary.take() == [
            (33.0, "a", "SessionError"),
            (33.0, "a", "Reconnecting 1 1"),
            (34.0, "a", "SessionConnected"),
        ]
        assert (await manager.health()).status == "healthy"
        assert manager.statistics().closed == {"error": 1}


async def test_a_board_that_answered_late_is_connected_again() -> None:
    board = ScriptedBoard("late", on_code=lambda code: Pause(3.0) if not code else None)
    manager, diary = manager_with()
    async with manager:
        await manager.create_session("a", board.port, **ONLY_BEATS)
        diary.take()
        await asyncio.sleep(32.5)
        board.on_code = lambda code: None
        await asyncio.sleep(1)
        assert diary.take() == [
            (32.0, "a", "SessionDisconnected unexpected"),
            (32.0, "a", "Reconnecting 1 1"),
            (33.0, "a", "SessionConnected"),
        ]


async def test_a_check_that_the_board_answers_with_an_error_is_a_finding_and_no_lost_link() -> None:
    board = ScriptedBoard("full")
    manager, diary = manager_with()
    async with manager:
        await manager.create_session("a", board.port, **ONLY_CHECKS)
        diary.take()
        board._housekeeping.answer = lambda code: (Raise("MemoryError", "no room"),)  # type: ignore[method-assign]
        await asyncio.sleep(61)
        health = await manager.health()
        assert "no room" in health.findings["a"].trouble
        assert health.status == "unhealthy"
        assert diary.take() == []


async def test_a_user_who_disconnects_during_a_heartbeat_has_his_way() -> None:
    board = ScriptedBoard("mine", on_code=lambda code: Pause(1.0))
    manager, diary = manager_with()
    async with manager:
        session = await manager.create_session("a", board.port, **ONLY_BEATS)
        diary.take()
        await asyncio.sleep(30.5)
        assert board.running
        await session.disconnect()
        await asyncio.sleep(1000)
        assert diary.take() == [(30.5, "a", "SessionDisconnected requested")]
        assert manager.statistics().failed_checks == 0


async def test_a_session_that_is_closed_for_good_during_a_heartbeat_leaves_nothing() -> None:
    board = ScriptedBoard("gone", on_code=lambda code: Pause(1.0))
    manager, _ = manager_with()
    async with manager:
        session = await manager.create_session("a", board.port, **ONLY_BEATS)
        await asyncio.sleep(30.5)
        await session.close()
        await until(lambda: manager.devices() == ())
        assert manager._pool.plan.slots == 0
        assert manager._watch.rounds._boards == {}


async def test_closing_ends_all_timers() -> None:
    board = ScriptedBoard("end")
    manager, _ = manager_with()
    await manager.create_session("a", board.port)
    await manager.close()
    assert not manager._pool.tasks
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualClock)
    assert [timer for timer in loop._scheduled if not timer.cancelled()] == []  # type: ignore[attr-defined]
