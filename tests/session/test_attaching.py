"""Connecting to a board that was running before: what it holds stays, or is taken away on request, and that is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from belay_py import DeviceSession, SettingsError
from belay_py.events import BoardReset, SessionConnected, SessionEvent
from belay_py.sync import DeviceSession as BlockingSession
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ABSENT = "'kept' in globals()"


@pytest.fixture
async def board() -> AsyncIterator[VirtualBoard]:
    """A board that runs on when nobody is connected."""
    async with VirtualBoard(keeps_power=True) as board:
        yield board


async def leave_something(board: VirtualBoard) -> None:
    async with DeviceSession(board.port) as first:
        await first.execute("kept = 21")
        assert first.attached is None  # nothing was known of it


async def test_what_a_board_holds_survives_and_the_same_session_is_told(board: VirtualBoard) -> None:
    session = DeviceSession(board.port)
    await session.connect()
    await session.execute("kept = 21")
    await session.disconnect()
    await session.connect()
    assert session.attached is True
    assert await session.evaluate("kept") == 21
    assert (session.generation, session.boot_epoch) == (2, 1)
    await session.close()


async def test_another_session_finds_what_the_first_one_left(board: VirtualBoard) -> None:
    await leave_something(board)
    async with DeviceSession(board.port) as second:
        assert second.attached is None
        assert await second.evaluate("kept") == 21


async def test_a_life_that_another_session_began_is_a_new_one(board: VirtualBoard) -> None:
    """The board was reset, and then prepared by somebody else: that it is prepared says nothing of the life."""
    session = DeviceSession(board.port)
    await session.connect()
    await session.disconnect()
    async with DeviceSession(board.port) as other:
        await other.soft_reset()
        await other.execute("kept = 'by another'")
    await session.connect()
    assert session.attached is False
    assert session.boot_epoch == 2
    await session.close()


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("how", ["call", "option"])
async def test_a_restart_on_connect(board: VirtualBoard, reset: Any, how: str) -> None:
    await leave_something(board)
    events: list[SessionEvent] = []
    session = DeviceSession(board.port, reset=reset if how == "option" else "never")
    session.subscribe(events.append)
    await session.connect(reset=reset if how == "call" else None)
    assert session.attached is False
    assert await session.evaluate(ABSENT) is False
    assert session.boot_epoch == 1
    assert len([event for event in events if isinstance(event, SessionConnected)]) == 1
    await session.close()


async def test_never_is_stronger_than_the_option(board: VirtualBoard) -> None:
    await leave_something(board)
    session = DeviceSession(board.port, reset="soft")
    await session.connect(reset="never")
    assert await session.evaluate("kept") == 21
    await session.disconnect()
    await session.connect()
    assert await session.evaluate(ABSENT) is False
    assert session.boot_epoch == 2
    await session.close()


@pytest.mark.parametrize("reset", ["soft", "hard"])
async def test_a_restart_of_a_session_that_is_connected(board: VirtualBoard, reset: Any) -> None:
    async with DeviceSession(board.port) as session:
        await session.execute("kept = 21")
        await session.reconnect()
        await session.connect(reset="never")
        assert session.attached is True
        assert await session.evaluate("kept") == 21
        await session.connect(reset=reset)
        assert (session.boot_epoch, session.attached) == (2, False)
        assert await session.evaluate(ABSENT) is False


async def test_a_reset_that_is_none(port: str) -> None:
    with pytest.raises(SettingsError, match='reset is "hrd"|reset is \'hrd\'; it must be "never" or "soft" or "hard"'):
        DeviceSession(port, reset="hrd")
    with pytest.raises(SettingsError, match="reset is True"):
        await DeviceSession(port).connect(reset=True)  # type: ignore[arg-type]  # that is what is refused


async def test_a_restart_meanwhile_is_an_event(board: VirtualBoard) -> None:
    session = DeviceSession(board.port)
    resets: list[int] = []
    session.subscribe(lambda event: resets.append(event.boot_epoch) if isinstance(event, BoardReset) else None)
    await session.connect()
    await session.disconnect()
    await board.reset()
    await session.connect()
    assert session.attached is False
    assert resets == [2]
    await session.close()


def test_the_blocking_face() -> None:
    with BlockingSession("virtual:attached-to-by-the-blocking-face") as session:
        session.execute("kept = 21")
        session.disconnect()
        session.connect()
        assert session.attached is True
        session.connect(reset="soft")
        assert session.evaluate(ABSENT) is False
