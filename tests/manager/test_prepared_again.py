"""A board that has restarted is prepared again by `on_connect` before anybody else gets it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from belay_py import BoardWasReset, DeviceSessionManager
from belay_py.events import BoardReset, SessionDisconnected
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from belay_py import DeviceSession


class Setup:
    """What prepares a board, and how often it did."""

    def __init__(self) -> None:
        self.runs = 0

    async def __call__(self, board: DeviceSession) -> None:
        self.runs += 1
        await board.execute(f"prepared = {self.runs}")


async def test_after_a_reset_at_checkin(port: str) -> None:
    setup = Setup()
    async with DeviceSessionManager() as manager:
        await manager.create_session("a", port, on_connect=setup, checkin="soft_reset")
        for run in (1, 2, 3):
            async with manager.lease("a") as board:
                assert await board.evaluate("prepared") == run


async def test_after_a_reset_in_a_lease_once_it_is_over(port: str) -> None:
    setup = Setup()
    async with DeviceSessionManager() as manager:
        await manager.create_session("a", port, on_connect=setup)
        async with manager.lease("a") as board:
            await board.soft_reset()
            assert await board.evaluate("'prepared' in globals()") is False
        assert await manager["a"].evaluate("prepared") == 2


async def test_after_a_call_that_restarts_it(port: str) -> None:
    setup = Setup()
    async with DeviceSessionManager() as manager:
        session = await manager.create_session("a", port, on_connect=setup)
        with pytest.raises(BoardWasReset):
            await session.execute("raise SystemExit")
        assert await session.evaluate("prepared") == 2
        assert setup.runs == 2


async def test_after_a_reset_that_somebody_else_did() -> None:
    setup = Setup()
    async with VirtualBoard(keeps_power=True) as board, DeviceSessionManager() as manager:
        session = await manager.create_session("a", board.port, on_connect=setup, check_after=0)
        await board.reset()
        async with manager.lease("a") as leased:
            assert await leased.evaluate("prepared") == 2
        await board.reset()
        with pytest.raises(BoardWasReset):
            await session.execute("pass")
        assert await session.evaluate("prepared") == 3


async def test_what_on_connect_itself_restarts_is_prepared_once(port: str) -> None:
    runs = 0

    async def setup(board: DeviceSession) -> None:
        nonlocal runs
        runs += 1
        await board.soft_reset()
        await board.execute("prepared = 1")

    async with DeviceSessionManager() as manager:
        session = await manager.create_session("a", port, on_connect=setup)
        assert await session.evaluate("prepared") == 1
        assert runs == 1


async def test_a_board_that_cannot_be_prepared_again_is_disconnected(port: str) -> None:
    setup = Setup()

    async def prepare(board: DeviceSession) -> None:
        await setup(board)
        if setup.runs == 2:
            raise ValueError("no sensor")

    ended = asyncio.Event()
    async with DeviceSessionManager() as manager:
        session = await manager.create_session("a", port, on_connect=prepare)
        session.subscribe(lambda event: ended.set() if isinstance(event, SessionDisconnected) else None)
        resets: list[BoardReset] = []
        session.subscribe(lambda event: resets.append(event) if isinstance(event, BoardReset) else None)
        await session.soft_reset()
        assert resets[0].requested
        assert "what on_connect prepared" in resets[0].lost
        await ended.wait()
        assert await session.evaluate("prepared") == 3
