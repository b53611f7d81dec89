"""Transfers that end half-way: by a cut, a deadline, a cancellation, a lost power supply.

`python -m tests.faults.files` makes hundreds of cuts; here is a sample of them.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Literal

import pytest

from belay_py import (
    BelayError,
    DeviceSession,
    DeviceSessionManager,
    Disconnected,
    OutcomeUnknown,
    RetryOptions,
    SessionTimeout,
    TransferError,
)
from belay_py.session.files.paths import part_name
from belay_py.session.files.transfer import ENCODINGS
from belay_py.testing import Corrupt, Cut, Drop, FaultyWire
from belay_py.virtual import VirtualBoard
from tests.faults.files import Campaign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from belay_py.session.files.transfer import Encoding
    from belay_py.testing.wire_faults import Fault

SOME = random.Random(0).randbytes(40_000)
OLD = b"what was there before"


@pytest.fixture(params=["stall", "drop"])
async def session(request: pytest.FixtureRequest) -> AsyncIterator[DeviceSession]:
    async with DeviceSession(f"virtual:?overrun={request.param}") as session:
        await session.files.put(OLD, "/x")
        yield session


async def assert_well(session: DeviceSession) -> None:
    """The board is at its prompt, and Ctrl-C stops what runs there."""
    assert (await session.execute("print(6*7)")).output.strip() == "42"
    with pytest.raises(SessionTimeout) as caught:
        await session.execute("while True: pass", timeout=0.05)
    assert caught.value.recovered
    assert (await session.execute("print(6*7)")).output.strip() == "42"


async def put_until(session: DeviceSession, enough: int, content: bytes = SOME, **options: Any) -> asyncio.Task[object]:
    """Begin to put a file; return the task once the board has taken so many bytes."""
    reached = asyncio.Event()

    def progress(done: int, total: int | None) -> None:
        if done >= enough:
            reached.set()

    task = asyncio.create_task(session.files.put(content, "/x", progress=progress, **options))
    await reached.wait()
    return task


@pytest.mark.parametrize(
    ("encoding", "overrun"), [(None, "stall"), ("binary", "drop"), ("literal", "drop"), ("deflate+binary", "drop")]
)
async def test_a_cut_leaves_the_old_file_or_the_new_one(
    encoding: Encoding | None, overrun: Literal["stall", "drop"]
) -> None:
    tally = await Campaign(7, encoding, overrun).run(8)
    assert tally.cuts == tally.left_old + tally.left_new == 8
    assert tally.resumed > 0


@pytest.mark.parametrize("encoding", [None, *ENCODINGS])
async def test_cancelled_half_way(session: DeviceSession, encoding: Encoding | None) -> None:
    task = await put_until(session, 10_000, encoding=encoding)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_well(session)
    assert await session.files.get("/x") == OLD
    done = await session.files.put(SOME, "/x", encoding=encoding)
    assert done.resumed_from >= 8192  # of the block that was on its way nothing is written
    assert await session.files.get("/x") == SOME
    assert "~" not in "".join(await session.evaluate("__import__('os').listdir('/')"))


async def test_what_a_cancelled_transfer_leaves_in_the_input_is_not_run(session: DeviceSession) -> None:
    command = b"\x05A\x01open('/harm','w').close()\x04\x03\x01open('/harm','w').close()\x04\x02\r"
    content = command * (len(SOME) // len(command))
    for place in range(0, len(content), len(content) // 12):
        task = await put_until(session, place, content, encoding="binary")
        task.cancel()
        await asyncio.wait([task])
        assert "harm" not in await session.evaluate("__import__('os').listdir('/')")
    await assert_well(session)


@pytest.mark.parametrize("encoding", ["binary", "literal", "deflate+base64"])
async def test_a_deadline_half_way(encoding: Encoding | None, tmp_path: Path) -> None:
    async with (
        VirtualBoard(overrun="drop") as board,
        FaultyWire(board.port, baudrate=921_600) as wire,
        DeviceSession(wire.port, baudrate=921_600) as session,
    ):
        await session.files.put(OLD, "/x", encoding=encoding)
        await session.files.get("/x")
        with pytest.raises(SessionTimeout) as caught:
            await session.files.put(SOME, "/x", encoding=encoding, timeout=0.2)
        assert caught.value.recovered
        await assert_well(session)
        assert await session.files.get("/x") == OLD
        await session.files.put(SOME, "/x", encoding=encoding)
        target = tmp_path / "got"
        with pytest.raises(SessionTimeout):
            await session.files.get("/x", target, timeout=0.1)
        assert not target.exists()
        await assert_well(session)
        assert await session.files.get("/x") == SOME


async def test_the_target_is_never_opened_for_writing(session: DeviceSession) -> None:
    await session.execute(
        "import builtins\nreal=builtins.open\nopened=set()\n"
        "def noted(path,mode='r'):\n opened.add((path,mode))\n return real(path,mode)\n"
        "builtins.open=noted"
    )
    try:
        for content in (SOME, b"short"):
            await session.files.put(content, "/x")
        opened = await session.evaluate("opened")
    finally:
        await session.execute("builtins.open=real")
    assert {path for path, mode in opened if mode != "rb"} == {"/" + part_name("x")}


async def test_a_slow_wire_needs_no_longer_deadline() -> None:
    async with (
        VirtualBoard(overrun="drop") as board,
        FaultyWire(board.port, baudrate=57_600) as wire,
        DeviceSession(wire.port, operation_timeout=1) as session,
    ):
        content = SOME[:7_000]  # 1.2 s on this wire
        await session.files.put(content, "/x")
        assert await session.files.get("/x") == content


async def test_a_board_that_loses_its_power() -> None:
    async with VirtualBoard() as board, DeviceSession(board.port, enable_auto_reconnect=False) as session:
        await session.files.put(OLD, "/x")
        for enough in (0, 20_000, 30_000):
            plugged = iter([True])

            def unplug(done: int, total: int | None, enough: int = enough, plugged: Iterator[bool] = plugged) -> None:
                if done >= enough and next(plugged, False):
                    board.process.unplug()

            with pytest.raises((Disconnected, OutcomeUnknown)) as caught:
                await session.files.put(SOME, "/x", progress=unplug)
            assert any("old file or the new one" in note for note in caught.value.__notes__)
            await board.replug()
            await session.reconnect()
            assert await session.files.get("/x") == OLD
        await session.files.put(SOME, "/x")
        assert await session.files.get("/x") == SOME


async def test_a_board_that_was_left_in_the_middle_heals_for_anybody() -> None:
    async with VirtualBoard(overrun="drop") as board, FaultyWire(board.port) as wire:
        async with DeviceSession(wire.port, enable_auto_reconnect=False) as session:
            await session.files.put(b"", "/x")
            wire.to_board.at(wire.to_board.passed + 20_000, Cut())
            with pytest.raises((Disconnected, OutcomeUnknown)):
                await session.files.put(SOME, "/x", encoding="binary")
            await wire.until_cut()
        await wire.replug()
        # Another session, which knows nothing of it, and asks as every tool does: Ctrl-C, Ctrl-A.
        async with DeviceSession(wire.port) as other:
            await assert_well(other)
            done = await other.files.put(SOME, "/x")
            assert done.resumed_from > 10_000
            assert await other.files.get("/x") == SOME


async def test_a_cut_while_the_code_for_it_is_sent() -> None:
    async with (
        VirtualBoard() as board,
        FaultyWire(board.port) as wire,
        DeviceSession(wire.port, enable_auto_reconnect=False) as session,
    ):
        for place in range(300, 3300, 500):
            await session.soft_reset()
            wire.to_board.at(wire.to_board.passed + place, Cut())
            with pytest.raises((Disconnected, OutcomeUnknown)):
                await session.files.put(SOME, "/x")
            await wire.until_cut()
            await wire.replug()
            await session.reconnect()
            await session.files.put(SOME, "/x")
            assert await session.files.get("/x") == SOME


@pytest.mark.parametrize("fault", [Corrupt(0x10, 1), Drop(1)])
async def test_a_byte_that_goes_wrong_on_the_way_is_noticed(fault: Fault, tmp_path: Path) -> None:
    target = tmp_path / "got"
    async with (
        VirtualBoard() as board,
        FaultyWire(board.port) as wire,
        DeviceSession(wire.port, operation_timeout=1) as session,
    ):
        await session.files.put(OLD, "/y")
        await session.files.put(SOME, "/x")
        wire.to_host.at(wire.to_host.passed + 9_000, fault)
        with pytest.raises(TransferError, match="came damaged"):
            await session.files.get("/x", target)
        assert not target.exists()
        await session.files.get("/x", target)
        assert target.read_bytes() == SOME
        # In a literal a changed byte is mostly another byte, and in a frame always.
        encodings: list[Encoding] = ["binary", "literal"]
        for encoding in encodings:
            wire.to_board.at(wire.to_board.passed + 9_000, fault)
            with pytest.raises(BelayError):
                await session.files.put(SOME, "/y", encoding=encoding)
            assert await session.files.get("/y") == OLD


async def test_with_retries_a_cut_is_no_more_than_a_delay() -> None:
    async with VirtualBoard() as board, FaultyWire(board.port) as wire, DeviceSessionManager() as manager:
        retry = RetryOptions(max_attempts=10, delay=0.05)
        session = await manager.create_session("sensor", wire.port, retry=retry, reconnect_delay=0.05)
        async with manager.lease("sensor") as mine:
            await mine.files.put(OLD, "/x")
            wire.to_board.at(wire.to_board.passed + 25_000, Cut())
            task = asyncio.create_task(mine.files.put(SOME, "/x"))
            await wire.until_cut()
            await wire.replug()
            assert (await task).resumed_from > 10_000
            assert await mine.files.get("/x") == SOME
            wire.to_host.at(wire.to_host.passed + 25_000, Cut())
            getting = asyncio.create_task(mine.files.get("/x"))
            await wire.until_cut()
            await wire.replug()
            assert await getting == SOME
        assert session.generation == 3
