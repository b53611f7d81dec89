"""Boards without memory: for the code, for its results, or for anything at all."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from belay_py import BoardWasReset, CodeTooLarge, DeviceSession, DeviceSessionState, ExecutionError, SessionTimeout
from belay_py.testing import FaultyWire

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import PtyBoard

HEAP = 64 << 10
FILL = "kept = None\nwhile True: kept = [kept]"


@pytest.mark.parametrize("raw_paste", ["refused", "absent"])
async def test_code_that_would_crash_a_board_without_raw_paste_is_not_sent(
    make_pty_board: Callable[..., PtyBoard], raw_paste: str
) -> None:
    board = make_pty_board(raw_paste=raw_paste, memory=HEAP)
    async with DeviceSession(board.port) as session:
        for length in (HEAP * 3 // 4, 400_000):
            with pytest.raises(CodeTooLarge, match="none of it ran. To run it, send it in pieces") as caught:
                await session.execute("#" * length)
            assert (caught.value.outcome, caught.value.size) == ("not_started", length)
            assert caught.value.heap is not None
            assert HEAP // 2 < caught.value.heap < HEAP
            assert (await session.execute("print(1)")).output == "1\n"
        assert session.boot_epoch == 1


async def test_what_fitted_once_fits_again_and_after_a_restart_is_asked_for_anew(
    make_pty_board: Callable[..., PtyBoard],
) -> None:
    board = make_pty_board(raw_paste="absent", memory=HEAP)
    async with DeviceSession(board.port) as session:
        code = "#" * (HEAP // 2) + "\nprint(1)"
        for _ in range(2):  # the board keeps the memory, so that asking a second time would be refused
            assert (await session.execute(code)).output == "1\n"
        await session.soft_reset()
        await session.execute(f"kept = bytearray({HEAP // 2})")
        with pytest.raises(CodeTooLarge):
            await session.execute(code)
        assert (await session.execute("print(1)")).output == "1\n"


async def test_a_program_that_fills_the_heap_after_it_has_printed_is_not_taken_for_code_that_does_not_fit(
    make_pty_board: Callable[..., PtyBoard],
) -> None:
    board = make_pty_board(memory=HEAP)
    code = "#" * (HEAP // 8) + f"\nprint('on')\n{FILL}"
    async with DeviceSession(board.port) as session:
        with pytest.raises(ExecutionError, match="^MemoryError") as caught:
            await session.execute(code)
        assert not isinstance(caught.value, CodeTooLarge)
        assert caught.value.output == "on\n"
        await session.soft_reset()
        pieces: list[str] = []
        with pytest.raises(ExecutionError, match="^MemoryError") as caught:
            pieces.extend([piece async for piece in session.stream(code)])
        assert not isinstance(caught.value, CodeTooLarge)


async def test_a_board_whose_heap_is_full_is_stopped_at_a_deadline(make_pty_board: Callable[..., PtyBoard]) -> None:
    board = make_pty_board(memory=HEAP)
    code = "kept = None\ntry:\n while True: kept = [kept]\nexcept MemoryError: pass\nwhile True: pass"
    async with DeviceSession(board.port) as session:
        with pytest.raises(SessionTimeout) as caught:
            await session.execute(code, timeout=0.3)
        assert caught.value.recovered
        assert session.state is DeviceSessionState.IDLE
        await session.soft_reset()
        assert (await session.execute("print(1)")).output == "1\n"


@pytest.mark.parametrize("overrun", ["stall", "drop"])
@pytest.mark.parametrize("raw_paste", ["on", "refused", "absent"])
async def test_fences_that_pile_up_on_a_slow_wire_are_told_apart_without_memory(
    make_pty_board: Callable[..., PtyBoard], raw_paste: str, overrun: str
) -> None:
    # The second Ctrl-C, and the fence behind it, leave before the board has answered the first ones.
    board = make_pty_board(memory=HEAP, raw_paste=raw_paste, overrun=overrun)
    code = FILL.replace("\n", "\ntry:\n ") + "\nexcept MemoryError: pass\nwhile True: pass"
    async with FaultyWire(board.port, latency=0.03) as wire, DeviceSession(wire.port) as session:
        for _ in range(3):
            with pytest.raises(SessionTimeout) as caught:
                await session.execute(code, timeout=0.5)
            assert caught.value.recovered, caught.value
            await session.soft_reset()
            assert (await session.execute("print(1)")).output == "1\n"


async def test_a_hard_reset_behind_a_memory_error_is_told(port: str) -> None:
    # In doubt since the forged end, the host sends Ctrl-A before its fences once it has seen the word.
    code = "import machine, time\nprint('\\x04\\x04>')\ntime.sleep(0.1)\nprint('MemoryError')\nmachine.reset()"
    async with DeviceSession(port) as session:
        with pytest.raises(BoardWasReset):
            await session.execute(code, timeout=0.5)
        assert session.boot_epoch == 2
        assert (await session.execute("print(1)")).output == "1\n"


def test_the_error_survives_pickling() -> None:
    error = CodeTooLarge("too large", "MemoryError: ", size=5, heap=None, outcome="not_started")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.size, copy.heap, copy.outcome) == ("too large", 5, None, "not_started")
    assert (copy.type, copy.traceback, copy.output_bytes) == ("MemoryError", "MemoryError: ", b"")
