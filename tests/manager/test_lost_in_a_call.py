"""A link that is lost between two operations that belong together."""

from __future__ import annotations

import pytest

from belay_py import BoardWasReset, DeviceSessionManager, DeviceSessionState
from belay_py.virtual import VirtualBoard


async def test_a_block_of_operations_outside_of_leases_hears_that_the_board_has_restarted() -> None:
    async with VirtualBoard() as board, DeviceSessionManager() as manager:
        session = await manager.create_session("x", board.port)
        async with session.exclusive():
            await session.execute("kept = 1")
            await board.unplug()
            await session.wait_for_state(DeviceSessionState.DISCONNECTED)
            await board.replug()
            with pytest.raises(BoardWasReset) as caught:
                await session.execute("print(kept)")
            assert caught.value.outcome == "not_started"
        assert (await session.execute("print('kept' in globals())")).output == "False\n"


async def test_a_call_of_its_own_is_sent_to_the_board_that_came_back() -> None:
    async with VirtualBoard() as board, DeviceSessionManager() as manager:
        session = await manager.create_session("x", board.port)
        await board.unplug()
        await session.wait_for_state(DeviceSessionState.DISCONNECTED)
        await board.replug()
        assert (await session.execute("print(1)")).output == "1\n"
