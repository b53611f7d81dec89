"""A program with four boards that gets signals, fails, forgets to close, or is killed: the next one finds its ports.

The programs are in tests/manager/programs. Nothing here waits for a time: each step waits for a line of their log.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from belay_py import BelayError, DeviceSession, DeviceSessionManager, SettingsError

from ..conftest import PtyBoard

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ptys, and signals that are sent to a process")

ROOT = Path(__file__).parents[2]
LIMIT = 60  # seconds for what hangs, not an expectation


@pytest.fixture(scope="module")
def boards() -> Iterator[list[PtyBoard]]:
    made = [PtyBoard() for _ in range(4)]
    yield made
    for board in made:
        board.close()


class Program:
    """A program on its way, and what it said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def until(self, text: str) -> None:
        """Wait for a line with a text in it."""
        assert self.process.stderr is not None
        async with asyncio.timeout(LIMIT):
            while line := (await self.process.stderr.readline()).decode():
                self.lines.append(line.rstrip())
                if text in line:
                    return
        pytest.fail(f"{text!r} never came:\n" + "\n".join(self.lines))

    async def end(self) -> int:
        """Wait for its end; return its status."""
        assert self.process.stderr is not None
        async with asyncio.timeout(LIMIT):
            self.lines += (await self.process.stderr.read()).decode().splitlines()
            return await self.process.wait()

    @property
    def log(self) -> str:
        return "\n".join(self.lines)


async def start(how: str, boards: list[PtyBoard], program: str = "service") -> Program:
    return Program(
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"tests.manager.programs.{program}",
            how,
            *(board.port for board in boards),
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
        )
    )


def friendly(board: PtyBoard) -> bool:
    """Whether a board answers Enter with its friendly prompt, and nothing runs on it."""
    fd = os.open(board.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        os.write(fd, b"\r")
        got = b""
        while b"\n>>> " not in got:
            if not select.select([fd], [], [], 10)[0]:
                return False
            got += os.read(fd, 1000)
        return True
    finally:
        os.close(fd)


async def check_ports(boards: list[PtyBoard]) -> None:
    """Open all of them, and use their boards."""

    async def use(board: PtyBoard, number: int) -> None:
        async with DeviceSession(board.port) as session:
            assert await session.evaluate(f"{number} * 7") == number * 7

    await asyncio.gather(*(use(board, number) for number, board in enumerate(boards)))


@pytest.mark.parametrize(
    ("number", "status", "last"),
    [(signal.SIGINT, -signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, 128 + signal.SIGTERM, "")],
)
@pytest.mark.parametrize("how", ["serve", "wait"])
async def test_the_first_signal_drains(
    boards: list[PtyBoard], how: str, number: signal.Signals, status: int, last: str
) -> None:
    program = await start(how, boards)
    await program.until("ready")
    program.process.send_signal(number)
    assert await program.end() == status
    assert f"INFO {number.name}: draining the manager of board0, board1, board2, board3" in program.log
    for key in range(4):
        assert f"INFO closing: session board{key}: done in" in program.log
    assert "the lamp is off" in program.log
    assert "INFO closed the manager of board0, board1, board2, board3" in program.log
    assert "still in use" not in program.log
    assert "SessionClosed" not in program.log
    assert "was not closed" not in program.log
    if how == "wait":
        assert "finally closed" in program.log
    if last:
        assert program.lines[-1] == last, program.log
    else:
        assert "Traceback" not in program.log
    assert all(friendly(board) for board in boards)
    await check_ports(boards)


async def test_the_second_signal_terminates(boards: list[PtyBoard]) -> None:
    program = await start("hang", boards)
    await program.until("ready")
    program.process.send_signal(signal.SIGTERM)
    await program.until("still draining")
    program.process.send_signal(signal.SIGTERM)
    assert await program.end() == -signal.SIGTERM
    assert "INFO SIGTERM: draining" in program.log
    assert "WARNING SIGTERM again: the manager of board0, board1, board2, board3 is closed at once" in program.log
    assert "WARNING board0: still in use after" in program.log
    assert "INFO closed the manager of" in program.log
    assert all(friendly(board) for board in boards)
    await check_ports(boards)


async def test_an_exception_in_the_program(boards: list[PtyBoard]) -> None:
    program = await start("fail", boards)
    await program.until("ready")
    assert await program.end() == 1
    assert "was not closed, and its event loop ends: it is closed now" in program.log
    assert "the lamp is off" in program.log
    assert program.lines[-1] == "RuntimeError: the program is broken"
    assert all(friendly(board) for board in boards)
    await check_ports(boards)


async def test_a_program_that_forgets_to_close(boards: list[PtyBoard]) -> None:
    program = await start("forget", boards)
    assert await program.end() == 0
    assert "WARNING the manager of board0, board1, board2, board3 was not closed, and its event loop" in program.log
    assert "the lamp is off" in program.log
    assert all(friendly(board) for board in boards)
    await check_ports(boards)


@pytest.mark.parametrize("how", ["open loop", "closed loop", "thread"])
async def test_a_program_that_forgets_to_close_a_manager_whose_loop_does_not_end(
    boards: list[PtyBoard], how: str
) -> None:
    program = await start(how, boards)
    assert await program.end() == 0
    assert "WARNING the manager of board0, board1, board2, board3 was" in program.log
    assert "Traceback" not in program.log
    assert "the lamp is off" in program.log
    assert all(friendly(board) for board in boards)
    await check_ports(boards)


async def test_a_program_that_is_killed(boards: list[PtyBoard]) -> None:
    program = await start("hang", boards)
    await program.until("ready")
    program.process.kill()
    assert await program.end() == -signal.SIGKILL
    await check_ports(boards)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
async def test_a_manager_whose_loop_is_another_threads(
    boards: list[PtyBoard], number: signal.Signals, status: int
) -> None:
    program = await start("block", boards)
    await program.until("ready")
    program.process.send_signal(number)
    assert await program.end() == status
    assert f"{number.name}: draining" in program.log
    assert "INFO closed the manager of" in program.log
    assert all(friendly(board) for board in boards)
    await check_ports(boards)


async def test_a_forked_child_leaves_its_parents_boards_alone(boards: list[PtyBoard]) -> None:
    program = await start("", boards, "forks")
    assert await program.end() == 0, program.log
    assert program.log == "all is well"  # nothing runs at a child's exit
    await check_ports(boards)


# ---- in this process ----


async def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    manager = DeviceSessionManager()
    handling = manager.handle_signals()
    assert repr(handling) == "<SignalHandling of SIGINT, SIGTERM>"
    assert signal.getsignal(signal.SIGTERM) != before[1]
    handling.restore()
    handling.restore()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    with pytest.raises(ZeroDivisionError):
        async with manager.handle_signals():
            raise ZeroDivisionError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    manager.handle_signals([signal.SIGTERM])
    await manager.close()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        async with DeviceSessionManager() as manager:
            manager.handle_signals([signal.SIGTERM])
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_handler_of_the_programs_own_is_called_when_the_manager_is_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []
    manager = DeviceSessionManager()
    before = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(manager.state))
    try:
        async with manager.handle_signals([signal.SIGUSR1]):
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGUSR1)  # its echo
            assert seen == []
        assert seen == ["closed"]
        assert "at once" not in caplog.text
        signal.raise_signal(signal.SIGUSR1)
        assert seen == ["closed", "closed"]
    finally:
        signal.signal(signal.SIGUSR1, before)


async def test_only_the_main_thread_handles_signals() -> None:
    async def elsewhere() -> None:
        DeviceSessionManager().handle_signals()

    with pytest.raises(BelayError, match="main thread only"):
        await asyncio.to_thread(asyncio.run, elsewhere())


@pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGKILL], [signal.SIGTERM, 12345], ["SIGTERM"], 15])
async def test_what_is_no_signal_is_refused(signals: list[int]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with DeviceSessionManager() as manager:
        with pytest.raises(SettingsError, match="one cannot be handled"):
            manager.handle_signals(signals)
        assert signal.getsignal(signal.SIGTERM) == before
