"""Calls that are cancelled at each of their executions, and at awaits right after those, leave nothing behind."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from belay_py import DeviceSession, DeviceSessionState

from .boards import executions, fresh
from .test_generators import numbers
from .test_setups import look, prepare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from belay_py.virtual import BoardProcess


async def cut(
    direct_board: BoardProcess, work: Callable[[DeviceSession], Coroutine[Any, Any, Any]]
) -> AsyncIterator[DeviceSession]:
    """Yield a session for each moment in which work on it was cancelled, with what was left."""
    for stage in range(1, 100):
        async with fresh(direct_board.port) as session:
            session.setup(prepare)
            sent = executions(session)
            task = asyncio.create_task(work(session))
            while len(sent) < stage and not task.done():
                await asyncio.sleep(0)
            for _ in range(stage % 3):
                await asyncio.sleep(0)
            ended = not task.cancel()
            result: object = (await asyncio.gather(task, return_exceptions=True))[0]
            if ended:
                assert not isinstance(result, BaseException)
                assert stage > 1
                return
            assert isinstance(result, asyncio.CancelledError)
            await session.settled()
            assert session.state in (DeviceSessionState.IDLE, DeviceSessionState.DISCONNECTED)
            yield session
    raise AssertionError("it comes to no end")


async def test_a_call(direct_board: BoardProcess) -> None:
    async for session in cut(direct_board, lambda session: session.task(look)()):
        [prepared, seen] = await session.task(look)()
        assert prepared == len(seen)
        assert seen in (["first"], ["first", "again"])  # whether it had ended cannot be known


async def test_a_generator(direct_board: BoardProcess) -> None:
    async def consume(session: DeviceSession) -> None:
        async with aclosing(session.task(numbers)(3)) as stream:
            async for _ in stream:
                pass

    async for session in cut(direct_board, consume):
        log = await session.evaluate("globals().get('log', ['closed'])")
        assert log[-1] == "closed"
        assert [number async for number in session.task(numbers)(2)] == [0, 1]


async def test_reconnecting(direct_board: BoardProcess) -> None:
    async for session in cut(direct_board, lambda session: session.reconnect()):
        if session.state is DeviceSessionState.DISCONNECTED:
            await session.connect()
        [prepared, seen] = await session.task(look)()
        assert prepared == len(seen)


async def test_a_soft_reset(direct_board: BoardProcess) -> None:
    async for session in cut(direct_board, lambda session: session.soft_reset()):
        [prepared, seen] = await session.task(look)()
        assert prepared == len(seen)
