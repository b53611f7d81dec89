"""A board that does not work draws no leases by tags while others fit."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from belay_py import ConnectionFailed, DeviceNotFound, DeviceSession, DeviceSessionManager, SessionClosed
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from pathlib import Path


async def test_leases_by_tags_wait_for_boards_that_work(port: str, tmp_path: Path) -> None:
    async with DeviceSessionManager() as manager:
        await manager.create_session("broken", str(tmp_path / "none"), tags={"bench"}, connect=False)
        await manager.create_session("works", port, tags={"bench"})

        async def use() -> str:
            async with manager.lease(tags={"bench"}) as board:
                await board.execute("pass")
                return board.device_id

        assert await asyncio.gather(*(use() for _ in range(10))) == ["works"] * 10
        numbers = manager.statistics()
        assert numbers.leases_granted == numbers.leases_released
        with pytest.raises(DeviceNotFound):
            await manager["broken"].execute("pass")
        with pytest.raises(DeviceNotFound):
            async with manager.lease(tags={"bench"}, count=2):
                raise AssertionError("one of them does not work")


async def test_a_lost_board_is_leased_again_when_it_is_there_again(port: str) -> None:
    async with VirtualBoard("comes-and-goes") as board, DeviceSessionManager() as manager:
        lost = await manager.create_session("lost", board.port, tags={"bench"}, enable_auto_reconnect=False)
        await manager.create_session("works", port, tags={"bench"})
        await board.unplug()
        while lost.is_healthy:
            await asyncio.sleep(0)
        async with manager.lease(tags={"bench"}) as first:
            assert first.device_id == "works"
            await board.replug()
            await lost.connect()
            async with manager.lease(tags={"bench"}) as second:
                assert second.device_id == "lost"


async def test_it_is_tried_again_after_a_while(port: str) -> None:
    async with VirtualBoard("back-again") as board, DeviceSessionManager() as manager:
        lost = await manager.create_session(
            "lost", board.port, tags={"bench"}, enable_auto_reconnect=False, max_reconnect_delay=0.01
        )
        await manager.create_session("works", port, tags={"bench"})
        await board.unplug()
        while lost.is_healthy:
            await asyncio.sleep(0)
        await board.replug()
        while manager._pool.plan.places["lost"].shunned:
            await asyncio.sleep(0.001)
        async with manager.lease("works"), manager.lease(tags={"bench"}) as again:
            assert again.device_id == "lost"


async def test_a_board_that_cannot_be_prepared_is_passed_over(port: str, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(board: DeviceSession) -> None:
        raise ValueError("no sensor")

    async with VirtualBoard("unprepared") as board, DeviceSessionManager() as manager:
        await manager.create_session("works", port, tags={"bench"})
        await manager.create_session("bare", board.port, tags={"bench"}, connect=False, on_connect=fail)
        with caplog.at_level(logging.WARNING, "belay_py.manager"):
            async with manager.lease("works"):
                waits = asyncio.ensure_future(_leased(manager))
                while not manager._pool.plan.waiting:
                    await asyncio.sleep(0)
            assert await waits == "works"
        assert "bare: passed over" in caplog.text
        with pytest.raises(ConnectionFailed, match="no sensor"):
            async with manager.lease("bare"):
                raise AssertionError("it was not prepared")


async def test_those_who_wait_already_do_not_try_it_too(port: str) -> None:
    tried = 0

    async def fail(board: DeviceSession) -> None:
        nonlocal tried
        tried += 1
        raise ValueError("no sensor")

    async with VirtualBoard("tried-once") as board, DeviceSessionManager() as manager:
        await manager.create_session("works", port, tags={"bench"})
        await manager.create_session("bare", board.port, tags={"bench"}, connect=False, on_connect=fail)
        async with manager.lease("works"):
            five = [asyncio.ensure_future(_leased(manager)) for _ in range(5)]
            while not tried:
                await asyncio.sleep(0)
        assert await asyncio.gather(*five) == ["works"] * 5
        assert tried == 1
        async with manager.lease("works"):
            waits = asyncio.ensure_future(_leased(manager))
            while not manager._pool.plan.waiting:
                await asyncio.sleep(0)
            # Who wants it by name does not wait behind those who want any.
            with pytest.raises(ConnectionFailed):
                await manager["bare"].execute("pass")
        assert await waits == "works"


async def test_those_who_wait_get_a_lost_board_when_it_is_there_again(port: str) -> None:
    async with VirtualBoard("waited-for") as board, DeviceSessionManager() as manager:
        lost = await manager.create_session("lost", board.port, tags={"bench"}, enable_auto_reconnect=False)
        await manager.create_session("works", port, tags={"bench"})
        await board.unplug()
        while lost.is_healthy:
            await asyncio.sleep(0)
        async with manager.lease("works"):
            waits = asyncio.ensure_future(_leased(manager))
            while not manager._pool.plan.waiting:
                await asyncio.sleep(0)
            await board.replug()
            await lost.connect()
            assert await waits == "lost"


async def test_it_is_connected_again_while_others_wait(port: str) -> None:
    async with VirtualBoard("comes-back") as board, DeviceSessionManager() as manager:
        await manager.create_session("lost", board.port, tags={"bench"}, reconnect_delay=0.01)
        await manager.create_session("works", port, tags={"bench"})
        async with manager.lease("works"):
            async with manager.lease("lost"):
                waits = asyncio.ensure_future(_leased(manager))
                while not manager._pool.plan.waiting:
                    await asyncio.sleep(0)
                await board.unplug()
            await board.replug()
            assert await waits == "lost"


async def test_several_boards_at_once_are_others_too(port: str, tmp_path: Path) -> None:
    async with VirtualBoard("second") as board, DeviceSessionManager() as manager:
        await manager.create_session("broken", str(tmp_path / "none"), tags={"bench"}, connect=False)
        await manager.create_session("first", port, tags={"bench"}, connect=False)
        await manager.create_session("second", board.port, tags={"bench"}, connect=False)
        manager._pool.plan.touch("broken", manager._pool.time())
        manager._pool.plan.touch("second", manager._pool.time())
        async with manager.lease(tags={"bench"}, count=2) as boards:
            assert sorted(each.device_id for each in boards) == ["first", "second"]
        # What was only cancelled since another one failed did not fail.
        assert [place.key for place in manager._pool.plan.places.values() if place.shunned] == ["broken"]
        assert not manager._pool.leases


async def test_a_manager_that_closes_meanwhile_passes_nothing_over(port: str) -> None:
    reached = asyncio.Event()

    async def hang(board: DeviceSession) -> None:
        reached.set()
        await asyncio.Event().wait()

    async with VirtualBoard("hangs") as board:
        manager = DeviceSessionManager()
        await manager.create_session("hangs", board.port, tags={"bench"}, connect=False, on_connect=hang)
        await manager.create_session("works", port, tags={"bench"}, connect=False)
        async with manager.lease("works"):
            waits = asyncio.ensure_future(_leased(manager))
            await reached.wait()
            await manager.close(grace=0)
        with pytest.raises(SessionClosed):
            await waits


async def _leased(manager: DeviceSessionManager) -> str:
    async with manager.lease(tags={"bench"}) as board:
        return board.device_id
