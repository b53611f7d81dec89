"""Setups and teardowns: when they run, what they make, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import (
    DeviceSession,
    DeviceSessionState,
    Disconnected,
    ExecutionError,
    IdentityChanged,
    InvalidCode,
    SessionTimeout,
    SettingsError,
    setup,
    task,
    teardown,
)

from ..test_evaluating import reset_unseen
from .boards import executions, fresh

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ...conftest import Board, PtyBoard

prepared: int  # on the board
never_made: int  # on no board
seen: list[Any]  # on the board


@setup(imports="sys")
def prepare() -> None:
    global prepared, seen  # noqa: PLW0603  they are the board's
    try:
        seen.append("again")
    except NameError:
        seen = ["first"]
    prepared = len(seen)


@task
def look() -> list[Any]:
    return [prepared, seen]


async def test_they_run_at_connect_before_anything_else(port: str) -> None:
    session = DeviceSession(port)
    session.setup(prepare)
    await session.connect(reset="soft")
    async with session:
        assert await session.evaluate("seen") == ["first"]
        sent = executions(session)
        assert await session.task(look)() == [1, ["first"]]
        assert not any(b"prepared = " in code for code in sent)
        assert await session.evaluate("sys.platform") == "webassembly"


async def test_on_a_session_that_is_connected_they_run_before_the_next_task(port: str) -> None:
    async with fresh(port) as session:
        session.setup(prepare)
        assert await session.evaluate("'seen' in globals()") is False
        assert await session.task(look)() == [1, ["first"]]
        session.setup(prepare)
        assert await session.task(look)() == [1, ["first"]]

        @session.setup
        def another() -> None:
            seen.append("another")

        assert await session.task(look)() == [1, ["first", "another"]]


@pytest.mark.parametrize("how", ["soft_reset", "hard_reset", "reconnect", "disconnect", "connect"])
async def test_they_run_again_before_anybody_gets_the_board(port: str, how: str) -> None:
    async with fresh(port) as session:
        session.setup(prepare)
        assert await session.task(look)() == [1, ["first"]]
        match how:
            case "disconnect":
                await session.disconnect()
                await session.connect()
            case "connect":
                await session.connect(reset="soft")
            case _:
                await getattr(session, how)()
        kept = how in ("reconnect", "disconnect")
        assert await session.evaluate("seen") == (["first", "again"] if kept else ["first"])
        assert await session.task(look)() == ([2, ["first", "again"]] if kept else [1, ["first"]])


@pytest.mark.parametrize("how", ["unseen", "hard unseen", "SystemExit"])
async def test_after_a_reset_of_the_boards_own_they_run_before_the_next_task(board: Board, how: str) -> None:
    async with fresh(board.port) as session:
        session.setup(prepare)
        remote = session.task(look)
        await session.execute("seen = ['mine']")
        assert await remote() == [2, ["mine", "again"]]
        match how:
            case "unseen":
                await reset_unseen(session)
            case "hard unseen":
                board.process.reset()
            case _:
                with pytest.raises(Exception, match="restarted while the code ran"):
                    await session.execute("raise SystemExit")
        assert await remote() == [1, ["first"]]
        assert await remote() == [1, ["first"]]


async def test_in_the_order_in_which_they_were_registered(port: str) -> None:
    session = DeviceSession(port)

    @session.setup
    def first() -> None:
        global seen  # noqa: PLW0603  it is the board's
        seen = [1]

    @session.setup
    def second() -> None:
        seen.append(2)

    @session.teardown
    def third() -> None:
        seen.append(3)

    await session.connect(reset="soft")
    async with session:
        assert await session.evaluate("seen") == [1, 2]
        await first()
        assert await session.evaluate("seen") == [1]


async def test_one_that_fails_fails_connecting_with_the_hosts_place(port: str) -> None:
    session = DeviceSession(port)

    @session.setup
    def fail() -> None:
        global seen  # noqa: PLW0603  it is the board's
        seen = list(range(never_made))  # noqa: F821  declared, and never made

    with pytest.raises(ExecutionError, match="NameError") as caught:
        await session.connect()
    assert (caught.value.frames[-1].function, caught.value.frames[-1].host_file) == ("fail", __file__)
    assert "never made" in caught.value.host_traceback
    assert session.state is DeviceSessionState.DISCONNECTED
    with pytest.raises(Disconnected, match="NameError"):
        await session.execute("1")
    await session.close()


async def test_a_task_can_be_a_setup_or_a_teardown_too(port: str) -> None:
    @task
    def note() -> None:
        global seen  # noqa: PLW0603  it is the board's
        try:
            seen.append("noted")
        except NameError:
            seen = ["noted"]

    async with fresh(port) as session:
        remote = session.task(note)
        session.setup(remote)
        session.setup(note)
        assert await session.task(double)(1) == 2
        assert await session.evaluate("seen") == ["noted"]
        session.teardown(note)
        await session.disconnect()
        await session.connect()
        assert await session.evaluate("seen") == ["noted"] * 3
        assert note.role == "task"
        with pytest.raises(InvalidCode, match="double is a setup, which is called without arguments"):
            session.setup(double)  # type: ignore[arg-type]  # that is the point


async def test_options_of_what_is_a_task_already_are_refused(port: str) -> None:
    session = DeviceSession(port)
    with pytest.raises(SettingsError, match="double is a task already; give timeout, name where it is made one"):
        session.task(timeout=5, name="twice")(double)


async def test_which_setup_it_was_is_told(port: str) -> None:
    session = DeviceSession(port, connection_timeout=1.5)

    @session.setup
    def hang() -> None:
        while True:
            pass

    with pytest.raises(SessionTimeout) as caught:
        await session.connect()
    assert caught.value.__notes__ == ["this is of the setup hang"]
    await session.close()


async def test_one_that_fails_after_a_reset_is_tried_again_before_the_next_task(port: str) -> None:
    async with fresh(port) as session:
        await session.execute("fine = True")

        @session.setup
        def need_it() -> None:
            assert fine  # type: ignore[name-defined]  # noqa: F821  it is the board's

        remote = session.task(double)
        assert await remote(1) == 2
        with pytest.raises(ExecutionError, match="NameError"):
            await session.soft_reset()
        assert session.state is DeviceSessionState.IDLE
        with pytest.raises(ExecutionError, match="NameError"):
            await remote(1)
        await session.execute("fine = True")
        assert await remote(2) == 4


@task
def double(value: int) -> int:
    return value * 2


async def test_a_setup_that_takes_arguments_or_yields_is_refused(port: str) -> None:
    session = DeviceSession(port)

    def needs(pin: int) -> None: ...

    def yields() -> Any:
        yield 1

    functions: list[Any] = [needs, yields]
    for wrong in functions:
        for decorate in (session.setup, session.teardown, setup, teardown):
            with pytest.raises(InvalidCode, match="called without arguments and is no generator"):
                decorate(wrong)


@pytest.mark.parametrize("how", ["disconnect", "close"])
async def test_teardowns_run_before_the_port_is_closed_the_latest_first(board: Board, how: str) -> None:
    async with fresh(board.port) as session:

        @session.teardown
        def last() -> None:
            seen.append("last")

        @session.teardown
        def fail() -> None:
            raise ValueError

        @session.teardown
        def first() -> None:
            seen.append("first")

        await session.execute("seen = []")
        await getattr(session, how)()
    async with DeviceSession(board.port) as session:
        assert await session.evaluate("seen") == ["first", "last"]


async def test_what_fails_in_a_teardown_is_logged(port: str, caplog: pytest.LogCaptureFixture) -> None:
    async with fresh(port) as session:

        @session.teardown
        def fail() -> None:
            raise ValueError("no")

        with caplog.at_level(logging.WARNING):
            await session.disconnect()
    assert [record.message for record in caplog.records if "teardown fail failed: ValueError: no" in record.message]


async def test_a_teardown_comes_after_what_runs_is_stopped(port: str) -> None:
    async with fresh(port) as session:

        @session.teardown
        def note() -> None:
            seen.append("torn down")

        await session.execute("seen = []")
        running = asyncio.create_task(session.execute("try:\n while True: pass\nfinally: seen.append('stopped')"))
        while session.state is not DeviceSessionState.ACTIVE:
            await asyncio.sleep(0)
        await session.disconnect()
        assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], Exception)
        await session.connect()
        assert await session.evaluate("seen") == ["stopped", "torn down"]


@pytest.mark.parametrize("how", ["disconnect", "close"])
async def test_who_ends_a_session_a_second_time_waits_for_its_teardowns(
    board: Board, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with fresh(board.port) as session:

        @session.teardown(imports="time")
        def note() -> None:
            seen.append("begun")
            time.sleep_ms(50)  # type: ignore[name-defined]  # noqa: F821  the board's module
            seen.append("ended")

        await session.execute("seen = []")
        sent = executions(session)
        ending = asyncio.create_task(session.disconnect())
        while not sent or not sent[-1].endswith(b"()"):
            await asyncio.sleep(0)
        await asyncio.gather(ending, getattr(session, how)())
        assert len([code for code in sent if code.endswith(b"()")]) == 1
        assert not caplog.records
    async with DeviceSession(board.port) as session:
        assert await session.evaluate("seen") == ["begun", "ended"]


async def test_teardowns_run_at_the_end_of_each_connection(port: str) -> None:
    async with fresh(port) as session:

        @session.teardown
        def note() -> None:
            seen.append("torn down")

        await session.execute("seen = []")
        for times in (1, 2):
            await session.disconnect()
            await session.connect()
            assert await session.evaluate("seen") == ["torn down"] * times


async def test_a_teardown_that_never_ends_does_not_keep_the_port(
    port: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("belay_py.session.functions.setups.LONGEST_TEARDOWN", 0.2)
    async with fresh(port) as session:

        @session.teardown
        def hang() -> None:
            while True:
                pass

        await session.disconnect()
        assert session.state is DeviceSessionState.DISCONNECTED
        assert caplog.messages == [f"{port}: its teardowns did not end: no time was left"]
        await session.connect()
        assert await session.evaluate("1") == 1


async def test_a_close_that_is_cancelled_in_a_teardown_closes_all_the_same(port: str) -> None:
    async with fresh(port) as session:

        @session.teardown
        def hang() -> None:
            while True:
                pass

        ending = asyncio.create_task(session.close())
        while session.state is not DeviceSessionState.ACTIVE:
            await asyncio.sleep(0)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert session.state is DeviceSessionState.DISPOSED


async def test_a_close_in_the_middle_of_the_setups_waits_for_no_teardown(
    port: str, caplog: pytest.LogCaptureFixture
) -> None:
    session = DeviceSession(port)
    sent = executions(session)

    @session.setup
    def hang() -> None:
        while True:
            pass

    @session.teardown
    def clear_up() -> None: ...

    connecting = asyncio.create_task(session.connect())
    while not sent:
        await asyncio.sleep(0)
    await session.close()
    with pytest.raises(Disconnected, match="^this program disconnected it. The function was going first; it was not"):
        await connecting
    assert not [code for code in sent if b"def clear_up" in code]
    assert not caplog.records


async def test_no_board_no_teardown(port: str, caplog: pytest.LogCaptureFixture) -> None:
    session = DeviceSession(port)

    @session.teardown
    def note() -> None:
        seen.append("torn down")

    await session.disconnect()
    await session.connect(reset="soft")
    assert await session.evaluate("'seen' in globals()") is False
    channel = session._standing.channel
    assert channel is not None
    assert channel._transport is not None
    channel._transport.abort()
    while session.state is not DeviceSessionState.DISCONNECTED:
        await asyncio.sleep(0)
    await session.close()
    assert not caplog.records


async def test_another_board_at_the_port_is_set_up_once_somebody_has_accepted_it(
    tmp_path: Path, make_pty_board: Callable[..., PtyBoard]
) -> None:
    mine, other = make_pty_board(), make_pty_board()
    link = tmp_path / "board"
    link.symlink_to(mine.port)
    async with fresh(str(link)) as session:
        session.setup(prepare)
        remote = session.task(look)
        assert await remote() == [1, ["first"]]
        link.unlink()
        link.symlink_to(other.port)
        sent = executions(session)
        with pytest.raises(IdentityChanged):
            await session.reconnect()
        assert not sent
        await session.connect()
        assert (await session.execute("print(seen)")).output == "['first']\n"
        assert await remote() == [1, ["first"]]


async def test_within_a_group_of_operations(port: str) -> None:
    async with fresh(port) as session:
        session.setup(prepare)
        async with session.exclusive():
            await session.reconnect()
            assert await session.evaluate("seen") == ["first"]
            await session.soft_reset()
            assert await session.evaluate("seen") == ["first"]
            assert await session.task(look)() == [1, ["first"]]
            assert session.boot_epoch == 2


@pytest.mark.parametrize("how", ["soft_reset", "hard_reset", "reconnect"])
async def test_others_wait_for_the_setups(port: str, how: str) -> None:
    async with fresh(port) as session:
        session.setup(prepare)
        # The first of them is in the queue for the board when the reset begins.
        others = [session.execute("print(globals().get('seen'))") for _ in range(3)]
        _, *results = await asyncio.gather(getattr(session, how)(), *others)
        assert [result.output for result in results] == ["['first']\n"] * 3
