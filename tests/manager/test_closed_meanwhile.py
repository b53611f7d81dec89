"""Whatever is asked of a session while somebody closes it is told so, and nothing is an illegal move.

Each use of a session begins at every tick of each of its endings, and each ending at every tick of each use.
"""

from __future__ import annotations

import asyncio
import re
from contextvars import Context
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import BelayError, DeviceSessionState, IllegalTransition
from belay_py.testing import ScriptedBoard

from .watching import manager_with

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from belay_py import DeviceSession, DeviceSessionManager

ON_A_VIRTUAL_CLOCK = True

MOST_TICKS = 40  # what waits for its time has no end by ticks


async def lease(manager: DeviceSessionManager, session: DeviceSession) -> None:
    async with manager.lease("a", timeout=5) as board:
        await board.execute("1")


async def lease_by_tags(manager: DeviceSessionManager, session: DeviceSession) -> None:
    async with manager.lease(tags={"bench"}, timeout=5) as board:
        await board.execute("1")


async def connect(manager: DeviceSessionManager, session: DeviceSession) -> None:
    if session.state is not DeviceSessionState.DISPOSED:  # afterwards it is the caller's fault, and documented so
        await session.connect()


async def monitor(manager: DeviceSessionManager, session: DeviceSession) -> None:
    async for _ in session.monitor(timeout=1):
        pass


async def keep(manager: DeviceSessionManager, session: DeviceSession) -> None:
    async with session.exclusive():
        await session.execute("1")


USES: dict[str, Callable[[DeviceSessionManager, DeviceSession], Awaitable[object]]] = {
    "lease": lease,
    "lease by tags": lease_by_tags,
    "warm up": lambda manager, session: manager.warm_up("a"),
    "ensure": lambda manager, session: manager.ensure("a", session.options.port),
    "create anew": lambda manager, session: manager.create_session("a", session.options.port, replace=True),
    "execute": lambda manager, session: session.execute("1"),
    "exclusive": keep,
    "connect": connect,
    "reconnect": lambda manager, session: session.reconnect(),
    "interrupt": lambda manager, session: session.interrupt(),
    "soft_reset": lambda manager, session: session.soft_reset(),
    "hard_reset": lambda manager, session: session.hard_reset(),
    "monitor": monitor,
}
ENDINGS: dict[str, Callable[[DeviceSessionManager, DeviceSession], Awaitable[object]]] = {
    "close the session": lambda manager, session: session.close(),
    "remove": lambda manager, session: manager.remove("a", grace=0),
    "close": lambda manager, session: manager.close(grace=0),
    "replace": lambda manager, session: manager.create_session("a", session.options.port, replace=True, connect=False),
}


def stranger(work: Awaitable[object]) -> asyncio.Task[object]:
    return asyncio.get_running_loop().create_task(_of(work), context=Context())


async def _of(work: Awaitable[object]) -> object:
    return await work


@pytest.mark.parametrize("is_connected", [True, False], ids=["connected", "not connected"])
@pytest.mark.parametrize("ending_first", [True, False], ids=["use comes later", "ending comes later"])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("use", USES)
async def test_no_use_of_a_session_that_ends_is_an_illegal_move(
    use: str, ending: str, *, ending_first: bool, is_connected: bool
) -> None:
    ticks, goes_on = 0, True
    while goes_on and ticks < MOST_TICKS:
        board = ScriptedBoard()
        manager, _ = manager_with(close_grace=0)
        async with manager:
            session = await manager.create_session(
                "a", board.port, connect=is_connected, tags={"bench"}, connection_timeout=3
            )
            works = [ENDINGS[ending](manager, session), USES[use](manager, session)]
            if not ending_first:
                works.reverse()
            first = stranger(works[0])
            for _ in range(ticks):
                await asyncio.sleep(0)
            goes_on, ticks = not first.done(), ticks + 1
            second = stranger(works[1])
            await asyncio.wait([first, second])
            for task in (first, second):
                check(task, may_be_connected=use == "monitor" and is_connected)
            assert not manager._pool.leases
        assert not board.connected


def check(task: asyncio.Task[Any], *, may_be_connected: bool) -> None:
    error = task.exception()
    assert error is None or isinstance(error, BelayError), error
    if not (may_be_connected and re.search("(CONNECTED|IDLE): connecting has stopped", str(error))):
        assert not isinstance(error, IllegalTransition), error
