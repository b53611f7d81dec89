"""What is still there when a session ends, a lease does, or `on_connect`: it keeps the board from nobody."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import (
    Disconnected,
    Interrupted,
    OutcomeUnknown,
    SessionClosed,
)
from belay_py.testing import Forever, ScriptedBoard, SwallowInterrupts

from .watching import manager_with, until

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from belay_py import DeviceSession, DeviceSessionManager

ON_A_VIRTUAL_CLOCK = True

UNWATCHED: dict[str, Any] = {
    "enable_heartbeat": False,
    "enable_health_checks": False,
    "enable_auto_reconnect": False,
    "idle_timeout": float("inf"),
}
STUBBORN = (SwallowInterrupts(), Forever())


def stranger(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task that belongs to no lease, whoever starts it."""
    return asyncio.get_running_loop().create_task(work, context=Context())


def now() -> float:
    return asyncio.get_running_loop().time()


async def end(manager: DeviceSessionManager, how: str) -> None:
    """End the session "a"."""
    await (manager.remove("a") if how == "remove" else manager.close())


# -- what a session leaves behind -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["remove", "close"])
async def test_a_session_that_is_monitored_ends_all_the_same(how: str) -> None:
    board = ScriptedBoard()
    manager, _ = manager_with(close_grace=2)
    async with manager:
        session = await manager.create_session("a", board.port, connect=False, **UNWATCHED)

        async def follow() -> None:
            async for _ in session.monitor():
                pass

        follower = stranger(follow())
        await until(lambda: board.connected)
        began = now()
        await end(manager, how)
        assert now() == began + 2
        assert not board.connected
        assert manager.devices() == ()
        with pytest.raises(Disconnected, match="disconnected the session while it was monitored"):
            await follower


@pytest.mark.parametrize("how", ["remove", "close"])
async def test_a_session_that_a_block_has_to_itself_ends_all_the_same(how: str) -> None:
    board = ScriptedBoard()
    manager, _ = manager_with(close_grace=2)
    async with manager:
        session = await manager.create_session("a", board.port, **UNWATCHED)
        inside = asyncio.Event()

        async def keep() -> None:
            async with session.exclusive(), session.exclusive():
                inside.set()
                await asyncio.sleep(1000)
                await session.execute("1")

        keeper = stranger(keep())
        await inside.wait()
        began = now()
        await end(manager, how)
        assert now() == began + 2
        assert manager.devices() == ()
        with pytest.raises(SessionClosed, match="closed for good"):
            await keeper


# -- what a lease leaves behind ---------------------------------------------------------------------------------------


async def test_a_block_inside_of_a_lease_ends_with_it() -> None:
    board = ScriptedBoard()
    manager, _ = manager_with()
    async with manager:
        await manager.create_session("a", board.port, **UNWATCHED)
        inside = asyncio.Event()

        async def keep(mine: DeviceSession) -> None:
            async with mine.exclusive():
                inside.set()
                await asyncio.sleep(1000)
                await mine.execute("1")

        async with manager.lease("a") as mine:
            keeper = asyncio.ensure_future(keep(mine))
            await inside.wait()
        async with manager.lease("a", timeout=0) as other:
            await other.execute("2")
        with pytest.raises(SessionClosed, match="the lease of 'a' is over"):
            await keeper


async def test_code_that_catches_the_interrupt_at_the_end_of_a_lease_does_not_keep_the_board() -> None:
    board = ScriptedBoard(on_code={"stubborn": STUBBORN}.get)
    manager, diary = manager_with()
    async with manager:
        await manager.create_session("a", board.port, recovery_timeout=2, **UNWATCHED)
        async with manager.lease("a") as mine:
            running = asyncio.ensure_future(mine.execute("stubborn", timeout=float("inf")))
            await until(lambda: board.running)
        diary.take()
        began = now()
        with pytest.raises(OutcomeUnknown):
            await running
        await until(lambda: diary.entries)
        assert diary.take() == [(round(began + 2, 3), "a", "SessionDisconnected unexpected")]
        board.restart()
        async with manager.lease("a", timeout=1) as other:
            await other.execute("2")


# -- what on_connect leaves behind ------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [Forever(), STUBBORN], ids=["stops", "catches the interrupt"])
async def test_what_on_connect_has_begun_ends_with_it(answer: Any) -> None:
    board = ScriptedBoard(on_code={"begun": answer}.get)
    manager, _ = manager_with()
    begun: list[asyncio.Task[Any]] = []

    async def prepare(session: DeviceSession) -> None:
        begun.append(asyncio.ensure_future(session.execute("begun", timeout=float("inf"))))
        await until(lambda: board.running)

    async with manager:
        await manager.create_session("a", board.port, on_connect=prepare, recovery_timeout=2, **UNWATCHED)
        assert now() < 3
        with pytest.raises((Interrupted, OutcomeUnknown)):
            await begun[0]


@pytest.mark.parametrize("how", ["disconnect", "close the session", "remove", "close"])
@pytest.mark.parametrize("who", ["somebody", "on_connect itself"])
async def test_on_connect_ends_with_the_connection_that_it_prepares(how: str, who: str) -> None:
    board = ScriptedBoard()
    manager, _ = manager_with(close_grace=2)
    preparing, ended = asyncio.Event(), asyncio.Event()

    async def end_it(session: DeviceSession) -> None:
        if how == "disconnect":
            await session.disconnect()
        elif how == "close the session":
            await session.close()
        else:
            await end(manager, how)

    async def prepare(session: DeviceSession) -> None:
        preparing.set()
        try:
            if who == "on_connect itself":
                await end_it(session)
            await asyncio.sleep(1000)
        finally:
            ended.set()

    async with manager:
        session = await manager.create_session(
            "a", board.port, connect=False, on_connect=prepare, connection_timeout=500, **UNWATCHED
        )
        connecting = stranger(session.connect())
        await preparing.wait()
        if who == "somebody":
            await end_it(session)
        await ended.wait()
        with pytest.raises(SessionClosed, match="disconnected while on_connect prepared it"):
            await connecting
        assert now() < 3
    assert now() < 3
    assert not board.connected


@pytest.mark.parametrize("how", ["remove", "close"])
@pytest.mark.parametrize("who", ["a call", "a lease", "the manager's first connect", "the warm-up"])
async def test_no_ending_returns_before_what_prepares_a_board_has_ended(how: str, who: str) -> None:
    board = ScriptedBoard()
    manager, _ = manager_with(close_grace=1)
    preparing, ended = asyncio.Event(), asyncio.Event()

    async def prepare(session: DeviceSession) -> None:
        preparing.set()
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0.5)  # it has something to clear away
            ended.set()

    async def lease() -> None:
        async with manager.lease("a"):
            raise AssertionError("its board was not prepared")

    async with manager:
        options: dict[str, Any] = {"on_connect": prepare, "connection_timeout": 500, **UNWATCHED}
        if who == "the manager's first connect":
            connecting = stranger(manager.create_session("a", board.port, **options))
        else:
            session = await manager.create_session("a", board.port, connect=False, **options)
            wanted = {"a call": lambda: session.execute("1"), "a lease": lease, "the warm-up": manager.warm_up}
            connecting = stranger(wanted[who]("a") if who == "the warm-up" else wanted[who]())  # type: ignore[operator]  # of its own shape each
        await preparing.wait()
        await end(manager, how)
        assert ended.is_set()
        assert now() < 3
        await asyncio.wait([connecting])
        if who == "the warm-up":
            assert isinstance(connecting.result()["a"], SessionClosed)
        else:
            with pytest.raises(SessionClosed):
                await connecting


@pytest.mark.parametrize("away", [None, 1.0], ids=["link stays", "link goes away"])
@pytest.mark.parametrize("how", ["hard_reset", "soft_reset", "reconnect"])
async def test_on_connect_may_restart_the_board_or_connect_anew_and_goes_on(how: str, away: float | None) -> None:
    board = ScriptedBoard()
    board.away = away
    manager, _ = manager_with()
    seen: list[str] = []

    async def prepare(session: DeviceSession) -> None:
        seen.append("begins")
        await getattr(session, how)()
        await session.execute("1")
        seen.append("ends")

    async with manager:
        session = await manager.create_session("a", board.port, on_connect=prepare, **UNWATCHED)
        assert seen == ["begins", "ends"]
        await session.execute("2")
        await session.reconnect()
        assert seen == ["begins", "ends"] * 2
