"""A manager with a journal, on real boards: what it enters, what the next one finds, and how a board changes hands."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from belay_py import (
    DeviceBusy,
    DeviceNotFound,
    DeviceSession,
    DeviceSessionManager,
    IdentityChanged,
    Interrupted,
    JournalError,
    SettingsError,
)
from belay_py.journal import JournalContents, read_journal
from belay_py.sync import DeviceSessionManager as BlockingManager
from belay_py.virtual import VirtualBoard

from . import takeover
from .takeover import Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from ..conftest import PtyBoard

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="ptys, and SIGKILL")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bench.journal"


@pytest.fixture
async def board() -> AsyncIterator[VirtualBoard]:
    """A board that runs on when nobody is connected."""
    async with VirtualBoard(keeps_power=True) as board:
        yield board


@pytest.fixture
def pty(make_pty_board: Callable[..., PtyBoard]) -> str:
    """The port of such a board, for several processes."""
    return make_pty_board(keeps_power=True).port


async def until(path: Path, what: Callable[[JournalContents], object]) -> JournalContents:
    """Wait until a journal says something."""
    async with asyncio.timeout(takeover.LIMIT):
        while not what(contents := read_journal(path)):
            await asyncio.sleep(0.001)
    return contents


# ---- What is entered ----


async def test_whoever_has_a_board_is_in_the_journal_before(path: Path, board: VirtualBoard) -> None:
    seen: list[JournalContents] = []

    async def prepare(_: DeviceSession) -> None:
        seen.append(read_journal(path))

    async with DeviceSessionManager(journal=path) as manager:
        session = await manager.create_session("left", board.port, on_connect=prepare)
        [entry] = seen[0].sessions
        assert (entry.session_id, entry.connected, entry.generation) == (session.session_id, True, 1)
        [known] = seen[0].boards
        assert known.unique_id == session.info.unique_id
        assert known.life == session._standing.life


async def test_generations_epochs_and_ends(path: Path, board: VirtualBoard) -> None:
    async with DeviceSessionManager(journal=path) as manager:
        session = await manager.create_session("left", board.port)
        await session.disconnect()
        [entry] = (await until(path, lambda it: it.sessions[0].how)).sessions
        assert (entry.connected, entry.how) == (False, "requested")
        await session.connect()
        await session.soft_reset()
        [entry] = (await until(path, lambda it: it.sessions[0].boot_epoch == 2)).sessions
        assert (entry.connected, entry.how, entry.generation) == (True, None, 2)
        assert read_journal(path).boards[0].boot_epoch == 2
        await board.unplug()
        [entry] = (await until(path, lambda it: it.sessions[0].how)).sessions
        assert (entry.connected, entry.how) == (False, "unexpected")
        await board.replug()
        await session.connect()
    contents = read_journal(path)
    assert [entry.how for entry in contents.sessions] == ["shutdown"]
    assert [process.how for process in contents.processes] == ["closed"]


@POSIX
async def test_another_board_in_its_place_is_not_entered(
    path: Path, make_pty_board: Callable[..., PtyBoard], tmp_path: Path
) -> None:
    one, other = make_pty_board(unique_id=b"the one!"), make_pty_board(unique_id=b"another!")
    place = tmp_path / "port"
    place.symlink_to(one.port)
    async with DeviceSessionManager(journal=path) as manager:
        session = await manager.create_session("left", str(place))
        known = read_journal(path).boards
        await session.disconnect()
        place.unlink()
        place.symlink_to(other.port)
        with pytest.raises(IdentityChanged):
            await session.connect()
    contents = read_journal(path)
    assert contents.boards == known
    assert [entry.how for entry in contents.sessions] == ["requested"]


async def test_leases_of_one_board_and_of_several(path: Path, board: VirtualBoard) -> None:
    async with DeviceSessionManager(journal=path) as manager:
        await manager.create_session("left", board.port)
        await manager.create_session("right", "virtual:")
        async with manager.lease("left", "right"):
            contents = await until(path, lambda it: it.leases)
            assert sorted((lease.device_id, lease.lease_id, lease.how) for lease in contents.leases) == [
                ("left", 1, None),
                ("right", 1, None),
            ]
            assert all(f"{__file__}:" in lease.holder for lease in contents.leases)
        await until(path, lambda it: {lease.how for lease in it.leases} == {"released"})
    assert not [thread for thread in threading.enumerate() if thread.name == "belay journal"]


async def test_without_the_option_there_is_none(board: VirtualBoard) -> None:
    async with DeviceSessionManager() as manager:
        await manager.create_session("left", board.port)
        assert manager.found == ()
        assert manager._pool.journaling is None


async def test_a_journal_that_cannot_be_opened_is_told_at_each_use(tmp_path: Path) -> None:
    manager = DeviceSessionManager(journal=tmp_path / "none" / "journal")
    for _ in range(2):
        with pytest.raises(JournalError, match="name a file that can be written"):
            await manager.start()
    with pytest.raises(JournalError):
        await manager.create_session("left", "virtual:")
    await manager.close()
    with pytest.raises(SettingsError, match="journal is 1; it must be the path of a file"):
        DeviceSessionManager(journal=1)


@POSIX
async def test_a_journal_that_cannot_be_written_takes_nothing_along(
    path: Path, board: VirtualBoard, caplog: pytest.LogCaptureFixture
) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with DeviceSessionManager(journal=path) as manager:
        await manager.start()
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))  # as on a full disk
        try:
            with caplog.at_level(logging.WARNING, "belay_py.journal"):
                await manager.create_session("left", board.port)
                for _ in range(20):
                    async with manager.lease("left") as session:
                        assert await session.evaluate("6 * 7") == 42
                await manager.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert manager.state == "closed"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "cannot be written" in caplog.records[0].message


# ---- From one manager to the next ----


async def test_a_board_is_handed_over_as_it_is(path: Path, board: VirtualBoard) -> None:
    first = DeviceSessionManager(journal=path)
    session = await first.create_session("left", board.port)
    assert session.attached is None
    await session.execute("kept = 21")
    await session.soft_reset()
    await session.execute("kept = 42")
    await first.hand_over()
    assert first.state == "closed"
    contents = read_journal(path)
    assert [process.how for process in contents.processes] == ["handed over"]
    assert [entry.how for entry in contents.sessions] == ["handed over"]

    met: list[bool | None] = []

    async def prepare(session: DeviceSession) -> None:
        met.append(session.attached)

    async with DeviceSessionManager(journal=path) as second:
        assert second.found == ()
        session = await second.create_session("left", board.port, on_connect=prepare)
        assert session.attached is True
        assert met == [True]  # told to who prepares boards, and run all the same
        assert await session.evaluate("kept") == 42


async def test_a_board_that_restarted_in_between_is_not_taken_for_the_same(path: Path, board: VirtualBoard) -> None:
    first = DeviceSessionManager(journal=path)
    await first.create_session("left", board.port)
    await first.hand_over()
    await board.reset()
    async with DeviceSessionManager(journal=path) as second:
        session = await second.create_session("left", board.port)
        assert session.attached is False
    assert read_journal(path).boards[0].boot_epoch == 2


async def test_a_hand_over_that_is_refused_hands_nothing_over(path: Path, board: VirtualBoard) -> None:
    manager = DeviceSessionManager(journal=path)
    await manager.create_session("left", board.port)
    with pytest.raises(SettingsError, match="grace is -1"):
        await manager.hand_over(grace=-1)
    await manager.close()
    assert [entry.how for entry in read_journal(path).sessions] == ["shutdown"]


async def test_an_application_that_keeps_all_threads_of_its_loop_busy_holds_nothing_up(
    path: Path, board: VirtualBoard
) -> None:
    loop, over = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    manager = DeviceSessionManager(journal=path)
    busy = loop.run_in_executor(None, over.wait)
    try:
        async with asyncio.timeout(takeover.LIMIT):
            session = await manager.create_session("left", board.port)
            await session.disconnect()
            await manager.take_over("left")
            await manager.close()
        assert [process.how for process in read_journal(path).processes] == ["closed"]
    finally:
        over.set()
        await busy


async def test_a_hand_over_stops_what_runs_whatever_on_close_says(path: Path, board: VirtualBoard) -> None:
    first = DeviceSessionManager(journal=path, on_close="leave")
    session = await first.create_session("left", board.port)
    await session.execute("ticks = 0")
    running = asyncio.create_task(session.execute("print(1)\nwhile True:\n    ticks += 1", timeout=60))
    while session.state.name != "ACTIVE":
        await asyncio.sleep(0)
    await first.hand_over(grace=0)
    with pytest.raises(Interrupted):
        await running
    async with DeviceSessionManager(journal=path) as second:
        session = await second.create_session("left", board.port)
        assert session.attached is True
        assert await session.evaluate("ticks") == await session.evaluate("ticks")


async def test_taking_over_what_nobody_has_and_what_there_is_not(path: Path, board: VirtualBoard) -> None:
    async with DeviceSessionManager(journal=path) as manager:
        await manager.take_over()
        session = await manager.create_session("left", board.port, connect=False)
        await manager.take_over("left", timeout=60)
        assert session.state.name == "CONNECTED"
        generation = session.generation
        await manager.take_over()
        assert session.generation == generation
        with pytest.raises(DeviceNotFound):
            await manager.take_over("lift")
        with pytest.raises(SettingsError, match="timeout is -1"):
            await manager.take_over(timeout=-1)
        with pytest.raises(SettingsError, match=r"\['left'\]; it must be text, the name of the device"):
            await manager.take_over(["left"])  # type: ignore[arg-type]  # what people write
        await manager.create_session("gone", "/dev/not-there", connect=False)
        with pytest.raises(DeviceNotFound):
            await manager.take_over("gone", timeout=60)


async def test_taking_over_what_has_no_lock_file(path: Path, board: VirtualBoard) -> None:
    owner = DeviceSession(board.port)
    await owner.connect()
    async with DeviceSessionManager(journal=path) as manager:
        session = await manager.create_session("left", board.port, connect=False)
        taking_over = asyncio.create_task(manager.take_over("left", timeout=60))
        while session.state.name != "ERROR":
            await asyncio.sleep(0)
        await owner.close()
        await taking_over
        assert session.attached is None


def test_the_blocking_face(path: Path) -> None:
    from belay_py.virtual import open_board

    board = open_board("virtual:of-the-journal?keeps_power=true")
    try:
        first = BlockingManager(journal=path)
        first.create_session("left", board.port).execute("kept = 42")
        first.hand_over()
        assert first.state == "closed"
        with BlockingManager(journal=path) as second:
            session = second.create_session("left", board.port, connect=False)
            second.take_over("left", timeout=60)
            assert second.found == ()
            assert session.attached is True
            assert session.evaluate("kept") == 42
    finally:
        board.close()


# ---- From one process to the next ----


@POSIX
async def test_what_a_killed_process_held_is_reported(path: Path, pty: str, caplog: pytest.LogCaptureFixture) -> None:
    owner = await Program.start("hold", str(path), pty)
    assert await owner.line() == "ready"
    with pytest.raises(DeviceBusy) as busy:
        await DeviceSession(pty).connect()
    assert f"pid {owner.process.pid} " in (busy.value.holder or "")
    [lease] = (await until(path, lambda it: it.leases)).leases
    await owner.kill()
    with caplog.at_level(logging.WARNING, "belay_py.manager"):
        manager = DeviceSessionManager(journal=path)
        await manager.start()
    [left] = manager.found
    assert left.process.pid == owner.process.pid
    assert [each.device_id for each in left.sessions] == ["left"]
    assert left.leases == (lease,)
    [record] = [record for record in caplog.records if record.name == "belay_py.manager.journaling"]
    assert (record.__dict__["device"], record.__dict__["session"]) == ("left", left.sessions[0].session_id)
    told = record.message
    assert told == str(left)
    assert f"left by process {owner.process.pid} (" in told
    assert f"which died: session of 'left' on {pty}, lease of 'left' since " in told
    assert told.endswith(f"held by {lease.holder}")
    assert "owner.py:" in lease.holder
    session = await manager.create_session("left", pty)  # at once: a lock dies with its process
    assert session.attached is True
    assert await session.evaluate("ticks") == await session.evaluate("ticks")
    with pytest.raises(DeviceBusy) as busy:
        await DeviceSession(pty).connect()
    assert str(owner.process.pid) not in (busy.value.holder or "")
    await manager.close()
    assert [entry.how for entry in read_journal(path).sessions] == ["died", "shutdown"]


@POSIX
async def test_a_rolling_restart(path: Path, pty: str) -> None:
    """The new process begins while the old one has the board, and goes on where that has stopped."""
    first = await Program.start("serve", str(path), pty)
    assert await first.line() == "ready"
    second = await Program.start("follow", str(path), pty)
    assert (await second.line()).startswith(f"busy pid {first.process.pid} ")
    first.go_on()
    assert await first.line() == "draining"
    first.go_on()
    assert await first.line() == "handed over"
    attached, met, kept, found = json.loads(await second.line())
    assert (attached, met, kept, found) == (True, [True], "by the first, at the end", 0)
    await first.end()
    await second.end()
    contents = read_journal(path)
    assert [process.how for process in contents.processes] == ["handed over", "closed"]
    assert contents.boards[0].boot_epoch == 1


@POSIX
async def test_kills_at_random_moments(path: Path, pty: str) -> None:
    chance = random.Random(5)
    for _ in range(3):
        result = await takeover.kill_and_take_over(str(path), pty, chance)
        assert result.wrong() == []
    contents = read_journal(path)
    assert [contents.state_of(process) for process in contents.processes] == ["died", "closed"] * 3


@POSIX
async def test_two_processes_that_fight_for_a_board_never_have_it_both(pty: str) -> None:
    result = await takeover.fight(pty, turns=25, seconds=takeover.LIMIT)
    assert result.wrong == []
    assert result.turns == [25, 25]
    assert (result.counter, result.owner) == (50, None)
