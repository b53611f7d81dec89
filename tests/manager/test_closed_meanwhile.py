"""Whatever is asked of a session while somebody closes it is told so, and nothing is an illegal move.

Each use of a session begins at every tick of each of its endings, and each ending at every tick of each use.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from contextvars import Context
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import (
    BelayError,
    ConnectionFailed,
    DeviceSession,
    DeviceSessionState,
    IllegalTransition,
    SessionClosed,
)
from belay_py.testing import ScriptedBoard

from .watching import manager_with

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from belay_py import DeviceSessionManager

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


@pytest.mark.parametrize("ending", ["close the session", "remove", "replace"])
@pytest.mark.parametrize("use", ["lease", "warm up", "connect"])
async def test_a_port_that_was_opened_too_late_is_closed_before_its_slot_is_free(use: str, ending: str) -> None:
    ticks, goes_on = 0, True
    while goes_on and ticks < MOST_TICKS:
        board = ScriptedBoard()
        manager, _ = manager_with(close_grace=0, max_sessions=1)
        async with manager:
            session = await manager.create_session("a", board.port, connect=False)
            works = [stranger(USES[use](manager, session))]
            for _ in range(ticks):
                await asyncio.sleep(0)
            goes_on, ticks = not works[0].done(), ticks + 1
            works.append(stranger(ENDINGS[ending](manager, session)))
            while not all(work.done() for work in works):
                assert not board.connected or manager._pool.plan.slots == 1
                await asyncio.sleep(0)
            for work in works:
                assert work.exception() is None or isinstance(work.exception(), BelayError)
        assert not board.connected


async def test_no_session_is_made_for_a_device_that_is_forgotten_while_a_lease_of_several_begins() -> None:
    async def fail(session: DeviceSession) -> None:
        await asyncio.sleep(1)
        raise ValueError("no sensor")

    boards = {"a": ScriptedBoard(), "b": ScriptedBoard()}
    manager, _ = manager_with(close_grace=0)
    async with manager:
        await manager.create_session("b", boards["b"].port, connect=False)
        creating = stranger(manager.create_session("a", boards["a"].port, on_connect=fail))
        await asyncio.sleep(0.5)
        # It gets the board when the creation fails, and the device goes in the turn in which the lease begins.
        leasing = stranger(manager.lease("a", "b", timeout=5).acquire())
        with pytest.raises(ConnectionFailed, match="no sensor"):
            await creating
        with pytest.raises(SessionClosed, match="removed"):
            await leasing
        assert manager.ids() == ("b",)
        assert not boards["a"].connected
    assert not any(board.connected for board in boards.values())


async def test_a_connect_that_begins_as_the_connection_before_ends_is_ended_like_any_other() -> None:
    for ticks in itertools.product(range(8), range(8)):
        board = ScriptedBoard()
        session = DeviceSession(board.port)
        await session.connect()
        others = []
        for work, wait in zip((session.disconnect(), session.connect()), ticks, strict=True):
            others.append(stranger(work))
            for _ in range(wait):
                await asyncio.sleep(0)
        await session.close()
        assert session.state is DeviceSessionState.DISPOSED, ticks
        await asyncio.wait(others)
        assert all(other.exception() is None or isinstance(other.exception(), BelayError) for other in others)
        assert not board.connected


@pytest.mark.parametrize("is_connected", [True, False], ids=["connected before", "connected for the lease"])
async def test_a_lease_of_several_of_which_one_is_closed_as_it_begins_is_none(*, is_connected: bool) -> None:
    async def take_long(session: DeviceSession) -> None:
        await asyncio.sleep(2)

    boards = {"a": ScriptedBoard(), "b": ScriptedBoard()}
    manager, _ = manager_with(close_grace=0)
    async with manager:
        session = await manager.create_session("a", boards["a"].port, connect=is_connected)
        await manager.create_session("b", boards["b"].port, connect=False, on_connect=take_long)
        leasing = stranger(manager.lease("a", "b", timeout=5).acquire())
        await asyncio.sleep(1)
        assert boards["a"].connected
        await session.close()
        with pytest.raises(SessionClosed, match="a was closed while its lease began"):
            await leasing
        assert not manager._pool.leases
        async with manager.lease("b") as other:
            await other.execute("1")
