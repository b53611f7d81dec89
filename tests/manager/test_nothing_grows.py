"""What comes and goes leaves nothing behind: found by a soak."""

from __future__ import annotations

import asyncio
import re

import pytest

from belay_py import DeviceSession, ExecutionError
from belay_py.manager.admission import Admission
from belay_py.manager.plan import Plan
from belay_py.testing import ScriptedBoard


async def test_a_connect_adds_nothing_to_the_cache_of_patterns() -> None:
    board = ScriptedBoard()
    async with DeviceSession(board.port) as session:
        known = len(re._cache)  # type: ignore[attr-defined]  # it has no other way to be asked
        for _ in range(3):
            await session.reconnect()
        assert len(re._cache) == known  # type: ignore[attr-defined]


async def test_exceptions_of_the_board_add_nothing_to_the_cache_of_patterns(port: str) -> None:
    async with DeviceSession(port) as session:
        sizes = []
        for _ in range(4):
            with pytest.raises(ExecutionError):
                await session.execute("1 / 0")
            sizes.append(len(re._cache))  # type: ignore[attr-defined]  # as above
    assert sizes[1:] == sizes[:1] * 3


async def test_who_gives_up_waiting_for_a_release_is_forgotten() -> None:
    admission = Admission(Plan(max_open=1, max_waiting=1), lambda key, claim: None, asyncio.get_running_loop().time)
    waiters = [asyncio.create_task(admission.next_release()) for _ in range(2)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    await asyncio.wait(waiters[:1])
    assert len(admission._bystanders) == 1
    waiters[1].cancel()
    await asyncio.wait(waiters)
    assert not admission._bystanders
