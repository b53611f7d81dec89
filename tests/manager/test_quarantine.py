"""Boards whose links are lost again and again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from belay_py import CircuitOpen, DeviceNotFound
from belay_py.testing import ScriptedBoard

from .watching import manager_with

ON_A_VIRTUAL_CLOCK = True

UNWATCHED: dict[str, Any] = {
    "enable_heartbeat": False,
    "enable_health_checks": False,
    "idle_timeout": float("inf"),
    "reconnect_delay": 1,
    "max_reconnect_delay": 1,
}


async def lose(board: ScriptedBoard, times: int, every: float) -> None:
    """Lose the link so often; the manager makes it again after one second."""
    for _ in range(times):
        await asyncio.sleep(every)
        board.lose()


async def test_a_board_that_flaps_is_left_alone_and_tried_again_later(caplog: pytest.LogCaptureFixture) -> None:
    board = ScriptedBoard("flap")
    manager, diary = manager_with(quarantine_time=300)
    async with manager:
        session = await manager.create_session("a", board.port, **UNWATCHED)
        await lose(board, 4, 2)
        diary.take()
        await lose(board, 1, 2)
        await asyncio.sleep(1)
        assert diary.take() == [
            (8.0, "a", "SessionDisconnected unexpected"),
            (8.0, "a", "Reconnecting 1 1"),
            (9.0, "a", "SessionConnected"),
            (10.0, "a", "SessionDisconnected unexpected"),
            (10.0, "a", "Quarantined 5 300"),
        ]
        assert "a: its link was lost 5 times within 60 s; it is left alone for 300 s" in caplog.text
        with pytest.raises(
            CircuitOpen, match=r"a is in quarantine for 299 s more: .* release_quarantine\('a'\)"
        ) as refused:
            await session.execute("1")
        assert refused.value.retry_after == 299.0
        with pytest.raises(CircuitOpen):
            async with manager.lease("a"):
                pass
        health = await manager.health()
        assert (health.status, health.quarantined) == ("unhealthy", ("a",))
        await asyncio.sleep(400)
        assert diary.take() == [(310.0, "a", "Reconnecting 1 1"), (311.0, "a", "SessionConnected")]
        assert (await manager.health()).status == "healthy"
        assert manager.statistics().quarantines == 1
        assert manager.statistics().quarantined == 0
        await session.execute("1")


async def test_losses_far_apart_are_none_of_its_business() -> None:
    board = ScriptedBoard("apart")
    manager, _ = manager_with()
    async with manager:
        await manager.create_session("a", board.port, **UNWATCHED)
        await lose(board, 20, 16)
        assert manager.statistics().quarantines == 0


async def test_it_can_be_ended_by_hand() -> None:
    board = ScriptedBoard("hand")
    manager, _ = manager_with(quarantine_after=1)
    async with manager:
        session = await manager.create_session("a", board.port, **UNWATCHED)
        assert not manager.release_quarantine("a")
        board.lose()
        await asyncio.sleep(5)
        assert manager.release_quarantine("a")
        assert not manager.release_quarantine("a")
        await session.execute("1")
        await asyncio.sleep(1000)
        assert manager._watch.reconnection._series == {}
        with pytest.raises(DeviceNotFound):
            manager.release_quarantine("b")


async def test_those_who_wait_are_told_and_those_who_want_any_board_get_another() -> None:
    board, other = ScriptedBoard("wait"), ScriptedBoard("wait-other")
    manager, _ = manager_with(quarantine_after=1)
    async with manager:
        await manager.create_session("a", board.port, tags={"pico"}, **UNWATCHED)
        async with manager.lease("a"):
            by_name = asyncio.ensure_future(manager.lease("a").acquire())
            await asyncio.sleep(1)
            board.lose()
            with pytest.raises(CircuitOpen):
                await by_name
        await manager.create_session("b", other.port, tags={"pico"}, **UNWATCHED)
        async with manager.lease(tags={"pico"}) as session:
            assert session.device_id == "b"


async def test_who_has_the_board_leased_is_told_too() -> None:
    board = ScriptedBoard("holder-told")
    manager, _ = manager_with(quarantine_after=1)
    async with manager:
        await manager.create_session("a", board.port, **UNWATCHED)
        async with manager.lease("a") as session:
            board.lose()
            await asyncio.sleep(1)
            with pytest.raises(CircuitOpen):
                await session.execute("1")
            assert board.connections == 1


async def test_none_when_it_is_off() -> None:
    board = ScriptedBoard("never")
    manager, _ = manager_with(quarantine_after=0)
    async with manager:
        await manager.create_session("a", board.port, **UNWATCHED)
        await lose(board, 50, 1.1)
        assert manager.statistics().quarantines == 0


@pytest.mark.parametrize("closes", [False, True])
async def test_a_device_that_is_removed_takes_its_quarantine_along(*, closes: bool) -> None:
    board = ScriptedBoard("anew")
    manager, diary = manager_with(quarantine_after=1)
    async with manager:
        await manager.create_session("a", board.port, **UNWATCHED)
        board.lose()
        await asyncio.sleep(1)
        await (manager["a"].close() if closes else manager.remove("a"))
        session = await manager.create_session("a", board.port, **UNWATCHED)
        await session.execute("1")
        diary.take()
        await asyncio.sleep(1000)
        assert diary.take() == []


async def test_a_disconnect_during_quarantine_is_respected_afterwards() -> None:
    board = ScriptedBoard("respect")
    manager, diary = manager_with(quarantine_after=1)
    async with manager:
        session = await manager.create_session("a", board.port, **UNWATCHED)
        board.lose()
        await asyncio.sleep(1)
        await session.disconnect()
        diary.take()
        await asyncio.sleep(1000)
        assert diary.take() == []
