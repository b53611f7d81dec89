"""Sessions that nobody uses, or that were open for too long, and the cleanup."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from belay_py import DeviceSessionOptions
from belay_py.testing import Pause, ScriptedBoard

from .watching import manager_with

ON_A_VIRTUAL_CLOCK = True

QUIET: dict[str, Any] = {"enable_heartbeat": False, "enable_health_checks": False}


async def test_an_idle_session_is_closed_exactly_when_its_time_is_over() -> None:
    board = ScriptedBoard("idle")
    manager, diary = manager_with()
    async with manager:
        session = await manager.create_session("a", board.port)  # with heartbeats and checks, which are no use
        await asyncio.sleep(100)
        await session.execute("1")
        diary.take()
        await asyncio.sleep(1000)
        assert diary.take() == [(400.0, "a", "SessionDisconnected idle")]
        assert manager.statistics().closed == {"idle": 1}
        await session.execute("1")
        assert [entry[2] for entry in diary.take()] == ["SessionConnected"]


async def test_the_grace_comes_on_top() -> None:
    board = ScriptedBoard("grace")
    manager, diary = manager_with(cleanup_grace=50)
    async with manager:
        await manager.create_session("a", board.port, idle_timeout=100, **QUIET)
        diary.take()
        await asyncio.sleep(1000)
        assert diary.take() == [(150.0, "a", "SessionDisconnected idle")]


@pytest.mark.parametrize("held", [20.0, 99.9, 100.0, 250.0])
async def test_the_time_begins_at_the_end_of_a_lease(held: float) -> None:
    board = ScriptedBoard("after-lease")
    manager, diary = manager_with()
    async with manager:
        await manager.create_session("a", board.port, idle_timeout=100, **QUIET)
        async with manager.lease("a"):
            await asyncio.sleep(held)
        diary.take()
        await asyncio.sleep(1000)
        assert diary.take() == [(held + 100, "a", "SessionDisconnected idle")]


async def test_one_that_is_idle_during_a_heartbeat_is_closed_after_it() -> None:
    board = ScriptedBoard("beat", on_code=lambda code: Pause(1.5))
    manager, diary = manager_with()
    async with manager:
        await manager.create_session("a", board.port, idle_timeout=31, enable_health_checks=False)
        diary.take()
        await asyncio.sleep(100)
        assert diary.take() == [(31.5, "a", "SessionDisconnected idle")]


async def test_pinned_ones_stay_open() -> None:
    board = ScriptedBoard("pinned")
    manager, diary = manager_with()
    async with manager:
        await manager.create_session("a", board.port, pinned=True, **QUIET)
        diary.take()
        await asyncio.sleep(100_000)
        assert diary.take() == []


@pytest.mark.parametrize(("chance", "when"), [(0.0, 1000.0), (0.5, 950.0), (1.0, 900.0)])
async def test_a_lifetime_ends_with_up_to_a_tenth_less(chance: float, when: float) -> None:
    board = ScriptedBoard("life")
    manager, diary = manager_with(chance)
    async with manager:
        await manager.create_session("a", board.port, pinned=True, max_lifetime=1000, **QUIET)
        diary.take()
        await asyncio.sleep(5000)
        assert diary.take() == [(when, "a", "SessionDisconnected expired")]


async def test_a_lifetime_that_ends_during_a_lease_ends_with_it() -> None:
    board = ScriptedBoard("life-lease")
    manager, diary = manager_with(0.0, leak_after=None)
    async with manager:
        await manager.create_session("a", board.port, max_lifetime=1000, **QUIET)
        async with manager.lease("a") as session:
            await asyncio.sleep(1500)
            await session.execute("still mine")
            next_one = asyncio.ensure_future(manager.lease("a").acquire())
            await asyncio.sleep(1)
            diary.take()
        await next_one
        assert [entry[2] for entry in diary.take()] == [
            "LeaseReleased 1501 False",
            "SessionDisconnected expired",
            "SessionConnected",
            "LeaseGranted",
        ]


async def test_cleanup_drops_what_was_closed_for_good_and_keeps_what_the_settings_have() -> None:
    here, there = ScriptedBoard("ad-hoc"), ScriptedBoard("declared")
    manager, _ = manager_with(devices={"b": DeviceSessionOptions(port=there.port)})
    async with manager:
        first = await manager.create_session("a", here.port)
        second = manager["b"]
        await second.execute("1")
        assert manager.devices() == ("b", "a")
        await first.close()
        await second.close()
        assert (manager.ids(), manager.devices()) == ((), ("b",))
        async with manager.lease("b") as session:
            await session.execute("1")
        assert manager.ids() == ("b",)


async def test_a_session_that_is_closed_for_good_in_its_lease_is_dropped_at_the_end_of_that() -> None:
    board = ScriptedBoard("in-lease")
    manager, _ = manager_with()
    async with manager:
        await manager.create_session("a", board.port)
        async with manager.lease("a") as session:
            await session.close()
            assert manager.devices() == ("a",)
        assert manager.devices() == ()
        assert manager._pool.plan.slots == 0


async def test_the_cleanup_runs_every_so_often_and_counts() -> None:
    board = ScriptedBoard("often")
    manager, _ = manager_with(cleanup_interval=50)
    async with manager:
        await manager.create_session("a", board.port, **QUIET)
        await asyncio.sleep(499)
        assert manager.statistics().cleanup_runs == 9
        assert await manager.cleanup() == 0
        assert manager.statistics().cleanup_runs == 10


async def test_a_cleanup_by_hand_closes_what_is_due_in_this_moment() -> None:
    board, other = ScriptedBoard("due"), ScriptedBoard("due-not")
    manager, diary = manager_with()
    async with manager:
        await manager.create_session("a", board.port, idle_timeout=100, **QUIET)
        await manager.create_session("b", other.port, pinned=True, **QUIET)
        manager._pool.plan.places["a"].last_used -= 200  # as if the loop had been held up
        assert await manager.cleanup() == 1
        assert diary.entries[-1][1:] == ("a", "SessionDisconnected idle")
        assert manager.statistics().cleaned_up == 1
        assert not board.connected
