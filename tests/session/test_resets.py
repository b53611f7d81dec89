"""Resets and reconnections by hand, on real boards."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from belay_py import (
    BoardWasReset,
    Boot,
    CommunicationOptions,
    ConnectionFailed,
    DeviceNotFound,
    DeviceSession,
    DeviceSessionState,
    Disconnected,
    SessionTimeout,
    events,
)
from belay_py.sync import DeviceSession as BlockingSession
from belay_py.transports import open_transport, register
from belay_py.virtual import VirtualBoard
from tests.transports.links import Rfc2217Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from belay_py.transports import LinkOptions, Receiver, Transport
    from tests.conftest import PtyBoard

State = DeviceSessionState
# What asks for the name of the board's life prints it.
RESTARTS_WHEN_ASKED = """\
really = print
def print(*values):
    if values == (_belay_life,): raise SystemExit
    really(*values)
"""


async def test_each_reset_begins_a_new_epoch(port: str) -> None:
    async with DeviceSession(port) as session:
        first = session.boot_epoch
        for number, reset in enumerate((session.soft_reset, session.hard_reset), first + 1):
            await session.execute("variable = 1")
            boot = await reset()
            assert (boot.epoch, boot.restarted, session.boot_epoch) == (number, True, number)
            assert await session.evaluate("'variable' in globals()") is False
            assert session.state is State.IDLE


async def test_with_plain_framing_resets_are_told_too(port: str) -> None:
    async with DeviceSession(port, communication=CommunicationOptions(framing="plain")) as session:
        assert (await session.soft_reset()).epoch == 2
        assert (await session.hard_reset()).epoch == 3


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


@pytest.mark.parametrize("integrity", [False, True])
async def test_a_restart_at_the_question_which_life_it_is_leaves_the_session_in_step(
    port: str, integrity: bool
) -> None:
    async with DeviceSession(port, communication={"integrity": integrity}) as session:
        epoch = session.boot_epoch
        await session.execute(RESTARTS_WHEN_ASKED)
        await session.execute(
            "import time\ntime.sleep(0.1)", stdin="never read: so the prompt is proved, and the question asked"
        )
        assert session.boot_epoch == epoch + 1
        assert (await session.execute("print('in step')")).output == "in step\n"


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


# Code that only catches KeyboardInterrupt is outside its `try` for a moment, and a second Ctrl-C can end it there.
STUBBORN = "import micropython\nmicropython.kbd_intr(-1)\nwhile True: pass"


@pytest.fixture
def lined_board(make_pty_board: Callable[..., PtyBoard]) -> Iterator[str]:
    """The port of a board whose reset hangs on the lines of its port, as with most ESP boards."""
    board = make_pty_board()
    server = Rfc2217Server(board.port, on_reset=board.process.reset)
    yield f"rfc2217://127.0.0.1:{server.port}"
    server.close()


ESP = CommunicationOptions(profile="esp-bridge")


async def test_a_hard_reset_by_lines(lined_board: str) -> None:
    async with DeviceSession(lined_board, communication=ESP) as session:
        await session.execute("variable = 1")
        assert await session.hard_reset(by_lines=True) == Boot(epoch=2)
        assert await session.evaluate("'variable' in globals()") is False
        assert session.state is State.IDLE


async def test_a_board_that_is_stuck_is_reset_by_its_lines_when_the_caller_allows_it(lined_board: str) -> None:
    async with DeviceSession(lined_board, communication=ESP, reset_when_stuck=True, recovery_timeout=1) as session:
        with pytest.raises(BoardWasReset, match="did not end before its deadline, and the board restarted"):
            await session.execute(STUBBORN, timeout=0.1)
        assert session.boot_epoch == 2
        assert (await session.execute("print(1)")).output == "1\n"


async def test_a_stuck_board_without_lines_stays_stuck_and_the_log_says_why(
    make_pty_board: Callable[..., PtyBoard], caplog: pytest.LogCaptureFixture
) -> None:
    session = DeviceSession(make_pty_board().port, reset_when_stuck=True, recovery_timeout=0.2)
    await session.connect()
    with pytest.raises(SessionTimeout, match="catches Ctrl-C") as caught:
        await session.execute(STUBBORN, timeout=0.1)
    assert not caught.value.recovered
    assert "cannot be reset by its lines" in caplog.text
    with pytest.raises(ConnectionFailed, match="no line resets|has no DTR and RTS"):
        await session.hard_reset(by_lines=True)
    assert session.state is State.ERROR
    await session.close()


async def test_a_hard_reset_by_lines_of_a_port_without_them_leaves_the_session_as_it_was(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(ConnectionFailed, match="no line resets|has no DTR and RTS"):
            await session.hard_reset(by_lines=True)
        assert (await session.execute("print(1)")).output == "1\n"
        assert session.boot_epoch == 1


async def test_a_hard_reset_by_lines_frees_a_session_in_error(
    make_pty_board: Callable[..., PtyBoard],
) -> None:
    board = make_pty_board()
    lines: list[tuple[bool | None, bool | None]] = []

    async def open_with_lines(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
        transport = await open_transport(board.port, receiver, options)

        def set_lines(*, dtr: bool | None = None, rts: bool | None = None) -> None:
            lines.append((dtr, rts))
            if lines[-2:] == [(False, True), (False, False)]:
                threading.Thread(target=board.process.reset).start()

        transport.set_lines = set_lines  # type: ignore[attr-defined]  # a pseudo-terminal has none
        return transport

    register("lined", open_with_lines)
    session = DeviceSession("lined:board", communication=ESP, recovery_timeout=0.2)
    await session.connect()
    with pytest.raises(SessionTimeout):
        await session.execute(STUBBORN, timeout=0.1)
    assert session.state is State.ERROR
    assert (await session.hard_reset(by_lines=True)).epoch == 2
    assert session.state is State.CONNECTED
    assert (await session.execute("print(1)")).output == "1\n"
    await session.disconnect()
    assert (await session.hard_reset(by_lines=True)).epoch == 3
    await session.close()
