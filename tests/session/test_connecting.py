"""Connecting and losing: every port, every wrong port, every end."""

from __future__ import annotations

import asyncio
import gc
import os
import weakref
from typing import TYPE_CHECKING

import pytest

from belay_py import (
    ConnectionFailed,
    DeviceBusy,
    DeviceNotFound,
    DeviceSession,
    DeviceSessionOptions,
    DeviceSessionState,
    Disconnected,
    IllegalTransition,
    OutcomeUnknown,
    SessionClosed,
    SettingsError,
)
from belay_py.lifecycle import MACHINE
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Board, PtyBoard

State = DeviceSessionState


async def test_what_the_board_says_about_itself(port: str) -> None:
    async with DeviceSession(port) as session:
        info = session.info
        assert info.implementation == "micropython"
        assert info.version == (1, 29, 0)
        assert info.platform == "webassembly"
        assert info.unique_id
        assert len(bytes.fromhex(info.unique_id)) >= 4
        assert info.heap is not None
        assert info.heap.free > 0
        assert info.capabilities.raw_paste
        assert info.capabilities.window == 128
        assert info.capabilities.float_bits == 64
        assert info.capabilities.binary_stdout
        assert await session.evaluate("[name for name in globals() if 'belay' in name]") == []


async def test_the_states_from_created_to_disposed(port: str) -> None:
    session = DeviceSession(port, device_id="sensor")
    assert session.state is State.CREATED
    assert (session.generation, session.boot_epoch) == (0, 0)
    connecting = asyncio.create_task(session.connect())
    await asyncio.sleep(0)
    assert session.state is State.CONNECTING
    await connecting
    assert session.state is State.CONNECTED
    assert (session.generation, session.boot_epoch) == (1, 1)
    running = asyncio.create_task(session.execute("pass"))
    await asyncio.sleep(0)
    assert session.state is State.ACTIVE
    await running
    assert session.state is State.IDLE
    assert session.last_used >= session.created_at
    await session.disconnect()
    assert session.state is State.DISCONNECTED
    await session.connect()
    assert session.generation == 2
    await session.close()
    assert session.state is State.DISPOSED
    assert repr(session) == f"<DeviceSession 'sensor' on {port} DISPOSED>"
    with pytest.raises(IllegalTransition, match="cannot connect a session that is DISPOSED"):
        await session.connect()
    with pytest.raises(SessionClosed, match="closed for good"):
        await session.execute("pass")


async def test_connect_disconnect_and_close_are_safe_in_any_state(port: str) -> None:
    session = DeviceSession(port)
    await session.disconnect()
    await session.connect()
    await session.connect()
    assert session.generation == 1
    await session.disconnect()
    await session.disconnect()
    await session.close()
    await session.close()
    await session.disconnect()
    assert session.state is State.DISPOSED
    never = DeviceSession(port)
    await never.close()
    assert never.state is State.DISPOSED


async def test_connecting_while_a_stream_runs_leaves_it_as_it_is(port: str) -> None:
    async with DeviceSession(port) as session:
        lines = session.stream("for number in range(3):print(number)", mode="lines")
        got = [await anext(lines)]
        await session.connect()
        assert session.state is State.ACTIVE
        got.extend([line async for line in lines])
        assert got == ["0", "1", "2"]
        assert session.generation == 1


async def test_connecting_while_the_board_is_stopped_waits_until_it_is_ready(port: str) -> None:
    async with DeviceSession(port) as session:
        running = asyncio.create_task(session.execute("while True: pass", timeout=60))
        await session.wait_for_state(State.ACTIVE)
        running.cancel()
        await asyncio.wait([running])
        assert session.state is State.ACTIVE
        await session.connect()
        assert session.state is State.IDLE
        assert session.generation == 1


async def test_connecting_again_and_again_leaks_nothing(port: str) -> None:
    session = DeviceSession(port)
    await session.connect()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  counts descriptors, its own included, as afterwards
    for _ in range(30):
        await session.disconnect()
        await session.connect()
        assert (await session.execute("print(1)")).output == "1\n"
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  as above
    await session.close()
    assert session._standing.lifecycle not in MACHINE.models


async def test_a_session_that_is_dropped_is_collected() -> None:
    session = DeviceSession("virtual:never")
    model, gone = session._standing.lifecycle, weakref.ref(session)
    assert model in MACHINE.models
    del session
    gc.collect()
    assert gone() is None
    assert model not in MACHINE.models


async def test_the_friendly_prompt_is_left_behind(board: Board) -> None:
    async with DeviceSession(board.port) as session:
        await session.execute("pass")
    if board.port.startswith("virtual:"):
        with board.process.open_wire() as wire:
            wire.setblocking(True)
            wire.sendall(b"print(6*7)\r")
            seen = b""
            while b"42\r\n>>> " not in seen:
                seen += wire.recv(4096)


async def test_closing_stops_the_running_program(port: str) -> None:
    session = DeviceSession(port)
    await session.connect()
    await session.execute("n = 0")
    running = asyncio.create_task(session.execute("while True: n += 1"))
    while session.state is not State.ACTIVE:
        await asyncio.sleep(0)
    await session.close()
    with pytest.raises(OutcomeUnknown, match="this program disconnected it"):
        await running
    async with DeviceSession(port) as session:
        first = await session.evaluate("n")
        assert await session.evaluate("n") == first


async def test_closing_while_connecting(port: str) -> None:
    session = DeviceSession(port)
    connecting = asyncio.create_task(session.connect())
    await asyncio.sleep(0)
    await session.close()
    with pytest.raises(SessionClosed, match="while it was connecting"):
        await connecting
    assert session.state is State.DISPOSED


async def test_a_connect_that_is_cancelled_at_any_turn_can_be_repeated(port: str) -> None:
    session = DeviceSession(port)
    for ticks in range(25):
        connecting = asyncio.create_task(session.connect())
        for _ in range(ticks):
            await asyncio.sleep(0)
        connecting.cancel()
        await asyncio.wait([connecting])
        assert session.state in (State.DISCONNECTED, State.CREATED, State.CONNECTED)
    await session.connect()
    assert (await session.execute("print(1)")).output == "1\n"
    await session.close()


async def test_two_closers_and_a_cancelled_one_end_disposed(port: str) -> None:
    session = DeviceSession(port)
    await session.connect()
    first = asyncio.create_task(session.disconnect())
    second = asyncio.create_task(session.close())
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([first, second])
    assert session.state is State.DISPOSED


@pytest.mark.parametrize("raw_paste", ["refused", "absent"])
@pytest.mark.parametrize("overrun", ["stall", "drop"])
async def test_boards_without_raw_paste(make_pty_board: Callable[..., PtyBoard], raw_paste: str, overrun: str) -> None:
    board = make_pty_board(raw_paste=raw_paste, overrun=overrun)
    async with DeviceSession(board.port) as session:
        assert not session.info.capabilities.raw_paste
        assert session.info.capabilities.window == 0
        for length in (10, 254, 255, 256, 257, 600, 3000):
            code = f"print({length})#".ljust(length, "x")
            assert (await session.execute(code)).output == f"{length}\n"
        epoch = session.boot_epoch
        assert (await session.execute("")).output == ""
        assert session.boot_epoch == epoch
        # A deadline in the middle of paced code: what was sent so far must not run with the next execution.
        with pytest.raises(TimeoutError):
            await session.execute("x = 1\n" * 20_000, timeout=0.1)
        assert (await session.execute("print('next')")).output == "next\n"


@pytest.mark.parametrize("overrun", ["stall", "drop"])
@pytest.mark.parametrize("window", [16, 32, 128])
async def test_windows_and_rings(make_pty_board: Callable[..., PtyBoard], window: int, overrun: str) -> None:
    board = make_pty_board(window=window, ring=2 * window + 4, overrun=overrun)
    async with DeviceSession(board.port) as session:
        assert session.info.capabilities.window == window
        for length in (10, 2 * window - 1, 2 * window, 2 * window + 1, 1000, 5000):
            code = f"print({length})#".ljust(length, "x")
            assert (await session.execute(code)).output == f"{length}\n"


async def test_unplugged_while_idle() -> None:
    async with VirtualBoard() as board:
        session = DeviceSession(board.port)
        await session.connect()
        await board.unplug()
        while session.state is not State.DISCONNECTED:
            await asyncio.sleep(0)
        with pytest.raises(Disconnected) as caught:
            await session.execute("pass")
        assert caught.value.outcome == "not_started"
        with pytest.raises(DeviceNotFound):
            await session.connect()
        assert session.state is State.ERROR
        await board.replug()
        await session.connect()
        assert (await session.execute("print(1)")).output == "1\n"
        assert session.generation == 2
        await session.close()


async def test_unplugged_while_code_runs() -> None:
    async with VirtualBoard() as board, DeviceSession(board.port) as session:
        running = asyncio.create_task(session.execute("while True: pass"))
        while session.state is not State.ACTIVE:
            await asyncio.sleep(0)
        await board.unplug()
        with pytest.raises(OutcomeUnknown) as caught:
            await running
        assert caught.value.outcome == "unknown"
        assert session.state is State.DISCONNECTED


async def test_a_board_whose_process_is_killed() -> None:
    async with VirtualBoard() as board, DeviceSession(board.port) as session:
        running = asyncio.create_task(session.execute("while True: pass"))
        while session.state is not State.ACTIVE:
            await asyncio.sleep(0)
        assert board.process.pid is not None
        os.kill(board.process.pid, 9)
        with pytest.raises(OutcomeUnknown):
            await running
        await session.close()
        assert session.state is State.DISPOSED


async def test_a_second_session_on_the_same_board_is_refused(port: str) -> None:
    async with DeviceSession(port):
        second = DeviceSession(port)
        with pytest.raises(DeviceBusy):
            await second.connect()
        assert second.state is State.ERROR


async def test_a_link_that_stays_silent_is_given_up() -> None:
    master, slave = os.openpty()
    try:
        session = DeviceSession(os.ttyname(slave), connection_timeout=0.2)
        with pytest.raises(ConnectionFailed, match=r"no answer on /dev/pts/\d+ within 0.2 s.*baudrate"):
            await session.connect()
        assert session.state is State.ERROR
    finally:
        os.close(master)
        os.close(slave)


async def test_something_else_at_the_other_end_is_named_by_what_it_sent() -> None:
    master, slave = os.openpty()
    asyncio.get_running_loop().add_reader(master, lambda: os.read(master, 4096) and os.write(master, b"login: "))
    try:
        with pytest.raises(ConnectionFailed, match="no MicroPython prompt .*login: "):
            await DeviceSession(os.ttyname(slave), connection_timeout=0.5).connect()
    finally:
        asyncio.get_running_loop().remove_reader(master)
        os.close(master)
        os.close(slave)


async def test_wrong_ports(tmp_path: Path) -> None:
    missing = tmp_path / "ttyACM9"
    with pytest.raises(DeviceNotFound, match="ttyACM9"):
        await DeviceSession(str(missing)).connect()
    with pytest.raises(ConnectionFailed, match="directory"):
        await DeviceSession(str(tmp_path)).connect()
    with pytest.raises(ConnectionFailed, match="did you mean virtual:"):
        await DeviceSession("virtal:").connect()
    with pytest.raises(SettingsError, match="port is empty"):
        DeviceSession("")


def test_wrong_options() -> None:
    with pytest.raises(SettingsError, match="did you mean 'baudrate'"):
        DeviceSession("virtual:", baudrte=9600)
    with pytest.raises(SettingsError, match="baudrate is 0"):
        DeviceSession("virtual:", baudrate=0)
    with pytest.raises(SettingsError, match="operation_timeout is -1"):
        DeviceSessionOptions(port="virtual:", operation_timeout=-1)
    options = DeviceSessionOptions(port="virtual:", operation_timeout=3)
    assert DeviceSession(options, baudrate=9600).options.operation_timeout == 3


async def test_a_failing_async_with_leaves_a_session_that_can_try_again() -> None:
    session = DeviceSession("/dev/there-is-no-such-port")
    for _ in range(2):
        with pytest.raises(DeviceNotFound):
            await session.__aenter__()
        assert session.state is State.ERROR
    await session.close()
    assert session.state is State.DISPOSED
