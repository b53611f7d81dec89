"""Resets and reconnections by hand, on real boards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from belay_py import Boot, DeviceNotFound, DeviceSession, DeviceSessionState, Disconnected, SessionTimeout, events
from belay_py.sync import DeviceSession as BlockingSession
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import PtyBoard

State = DeviceSessionState


async def test_each_reset_begins_a_new_epoch(port: str) -> None:
    async with DeviceSession(port) as session:
        first = session.boot_epoch
        for number, reset in enumerate((session.soft_reset, session.hard_reset), first + 1):
            await session.execute("variable = 1")
            boot = await reset()
            assert (boot.epoch, boot.restarted, session.boot_epoch) == (number, True, number)
            assert await session.evaluate("'variable' in globals()") is False
            assert session.state is State.IDLE


async def test_a_hard_reset_tells_what_the_boot_printed(
    tmp_path: Path, make_pty_board: Callable[..., PtyBoard]
) -> None:
    (tmp_path / "boot.py").write_text("print('hello from boot')\n")
    (tmp_path / "main.py").write_text("print('and from main')\n")
    async with DeviceSession(make_pty_board(folder=str(tmp_path)).port) as session:
        boot = await session.hard_reset()
        assert "hello from boot" in boot.output
        assert "and from main" in boot.output


async def test_a_hard_reset_into_a_main_that_never_ends(
    tmp_path: Path, make_pty_board: Callable[..., PtyBoard]
) -> None:
    (tmp_path / "main.py").write_text("import time\nwhile True:\n print('x')\n time.sleep_ms(10)\n")
    async with DeviceSession(make_pty_board(folder=str(tmp_path)).port) as session:
        boot = await session.hard_reset()
        assert boot.epoch == 2
        assert (await session.execute("print(1)")).output == "1\n"


async def test_a_hard_reset_that_takes_the_link_along_is_waited_for() -> None:
    async with VirtualBoard() as board, DeviceSession(board.port) as session:
        told: list[events.SessionEvent] = []
        session.subscribe(told.append)
        resetting = asyncio.create_task(session.hard_reset())
        await session.wait_for_state(State.ACTIVE)
        # As a board on native USB does it: gone, and back a moment later.
        await board.unplug()
        await session.wait_for_state(State.CONNECTING)
        await board.replug()
        boot = await resetting
        assert boot == Boot(epoch=2)
        assert session.state is State.CONNECTED
        lost = [event for event in told if isinstance(event, events.SessionDisconnected)]
        assert [event.reason for event in lost] == ["requested"]


async def test_a_board_that_stays_away_after_a_hard_reset() -> None:
    async with VirtualBoard() as board:
        session = DeviceSession(board.port)
        await session.connect()
        resetting = asyncio.create_task(session.hard_reset(timeout=1))
        await session.wait_for_state(State.ACTIVE)
        await board.unplug()
        with pytest.raises(DeviceNotFound, match="unplugged"):
            await resetting
        assert session.state is State.ERROR
        await board.replug()
        await session.connect()
        await session.execute("pass")
        await session.close()


async def test_reconnecting_keeps_the_boards_variables_and_lets_others_wait(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("variable = 5")
        running = asyncio.create_task(session.execute("import time\ntime.sleep(0.1)\nprint('slept')"))
        await session.wait_for_state(State.ACTIVE)
        reconnecting = asyncio.create_task(session.reconnect())
        await asyncio.sleep(0)
        waiting = asyncio.create_task(session.evaluate("variable"))
        assert (await running).output == "slept\n"
        assert await reconnecting == Boot(epoch=1, restarted=False)
        assert await waiting == 5
        assert session.generation == 2
        never = asyncio.create_task(session.execute("while True: pass"))
        await session.wait_for_state(State.ACTIVE)
        with pytest.raises(SessionTimeout, match="busy"):
            await session.reconnect(timeout=0)
        await session.interrupt()
        await asyncio.wait([never])


async def test_reconnecting_from_every_state() -> None:
    async with VirtualBoard(keeps_power=True) as board:
        session = DeviceSession(board.port)
        assert await session.reconnect() == Boot(epoch=1)
        await session.disconnect()
        assert (await session.reconnect()).epoch == 1
        await board.unplug()
        await session.wait_for_state(State.DISCONNECTED)
        with pytest.raises(Disconnected):
            await session.execute("pass")
        await board.replug()
        assert not (await session.reconnect()).restarted
        await board.reset()
        assert (await session.reconnect()).restarted
        await session.close()


@pytest.mark.parametrize("operation", ["soft_reset", "hard_reset", "reconnect"])
async def test_cancelled_half_way_the_session_is_usable_or_says_why(port: str, operation: str) -> None:
    async with DeviceSession(port) as session:
        for tick in (0, 1, 2, 3, 5, 8, 13, 21, 34):
            task = asyncio.create_task(getattr(session, operation)())
            for _ in range(tick):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await session.connect()
            assert (await session.execute("print(1)")).output == "1\n"


def test_the_blocking_face(port: str) -> None:
    with BlockingSession(port) as session:
        assert session.soft_reset().epoch == 2
        assert session.hard_reset().epoch == 3
        assert session.reconnect() == Boot(epoch=3, restarted=False)
