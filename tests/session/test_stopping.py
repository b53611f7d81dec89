"""Deadlines, cancellation, interrupts and resets: the board is stopped, in step again, and nothing is claimed."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from belay_py import (
    BoardWasReset,
    DeviceSession,
    DeviceSessionState,
    ExecutionError,
    Interrupted,
    SessionClosed,
    SessionTimeout,
    SettingsError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Board, PtyBoard

ENDLESS = [
    pytest.param("while True: pass", id="tight loop"),
    pytest.param("import time\ntime.sleep(1000)", id="sleep"),
    pytest.param("import sys\nsys.stdin.read(1)", id="blocked read"),
    pytest.param("input()", id="input"),
    pytest.param("while True: print('x' * 50)", id="chatty loop"),
    pytest.param(
        "try:\n    while True: pass\nexcept KeyboardInterrupt:\n    print('caught')\nwhile True: pass",
        id="catches one interrupt",
    ),
]


@pytest.mark.parametrize("code", ENDLESS)
async def test_at_its_deadline_the_board_is_stopped_and_the_next_execution_is_right(port: str, code: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(SessionTimeout) as caught:
            await session.execute(code, timeout=0.1)
        assert caught.value.recovered
        assert isinstance(caught.value, TimeoutError)
        assert session.state is DeviceSessionState.IDLE
        for number in range(20):
            assert (await session.execute(f"print({number})")).output == f"{number}\n"


@pytest.mark.parametrize("code", ENDLESS)
async def test_a_cancelled_execution_is_stopped_before_the_next_one(port: str, code: str) -> None:
    async with DeviceSession(port) as session:
        task = asyncio.create_task(session.execute(code))
        while session.state is not DeviceSessionState.ACTIVE:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for number in range(20):
            assert (await session.execute(f"print({number})")).output == f"{number}\n"
        assert session.boot_epoch == 1


async def test_cancelled_at_every_turn_of_the_loop_nothing_gets_out_of_step(port: str) -> None:
    async with DeviceSession(port) as session:
        for ticks in range(40):
            task = asyncio.create_task(session.execute("print('a' * 300)\n" + "#" * 600))
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert (await session.execute(f"print({ticks})")).output == f"{ticks}\n"


async def test_interrupt_stops_what_another_task_runs(port: str) -> None:
    async with DeviceSession(port) as session:
        running = asyncio.create_task(session.execute("print('on')\nwhile True: pass"))
        while session.state is not DeviceSessionState.ACTIVE:
            await asyncio.sleep(0)
        assert await session.interrupt()
        with pytest.raises(Interrupted):
            await running
        assert (await session.execute("print('next')")).output == "next\n"
        assert not await session.interrupt(), "nothing was running"


async def test_an_interrupt_that_comes_while_the_board_restarts_is_over_at_once(port: str) -> None:
    async with DeviceSession(port) as session:
        for turns in range(0, 800, 20):
            epoch = session.boot_epoch
            resetting = asyncio.create_task(session.execute("import machine\nmachine.reset()"))
            for _ in range(turns):
                await asyncio.sleep(0)
            await session.interrupt()
            with pytest.raises((BoardWasReset, Interrupted)):
                await resetting
            assert session.boot_epoch == epoch + (type(resetting.exception()) is BoardWasReset)
        assert await session.evaluate("6 * 7") == 42


async def test_a_keyboard_interrupt_that_the_program_raises_itself_is_its_exception(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute("raise KeyboardInterrupt")
        assert caught.value.type == "KeyboardInterrupt"


async def test_a_reset_behind_our_back_is_told_and_the_code_has_not_run(board: Board) -> None:
    async with DeviceSession(board.port) as session:
        await session.execute("gone = 1")
        board.process.reset()
        with pytest.raises(BoardWasReset, match="did not run"):
            await session.execute("ran = 1")
        assert session.boot_epoch == 2
        assert await session.evaluate("'ran' in globals() or 'gone' in globals()") is False


async def test_soft_reset(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("gone = 1\nwith open('boot.py', 'w') as f: f.write('print(\"booting\")')")
        assert "booting" in (await session.soft_reset()).output
        assert session.boot_epoch == 2
        assert await session.evaluate("'gone' in globals()") is False
        await session.execute("import os\nos.remove('boot.py')")


async def test_streamed_output_comes_while_the_code_runs(port: str) -> None:
    async with DeviceSession(port) as session:
        # The code ends only after the host has seen its first line and said so.
        code = "print('first')\nimport sys\nsys.stdin.read(1)\nprint('second')"
        pieces: list[str] = []
        async with aclosing(session.stream(code)) as stream:
            async for piece in stream:
                if not pieces:
                    session._standing.channel._transport.write(b"x")  # type: ignore[union-attr]  # it is connected
                pieces.append(piece)
        assert "".join(pieces) == "first\nsecond\n"


async def test_streaming_joins_split_characters_and_lines(port: str) -> None:
    async with DeviceSession(port) as session:
        code = (
            "import sys, time\nfor b in 'é€\\r\\nü\\n\\nlast'.encode():\n"
            " sys.stdout.buffer.write(bytes([b]))\n time.sleep_ms(2)"
        )
        assert "".join([piece async for piece in session.stream(code)]) == "é€\nü\n\nlast"
        assert [line async for line in session.stream(code, mode="lines")] == ["é€", "ü", "", "last"]
        assert b"".join([p async for p in session.stream(code, mode="bytes")]) == "é€\r\nü\n\nlast".encode()


async def test_a_stream_ends_in_the_devices_exception(port: str) -> None:
    async with DeviceSession(port) as session:
        stream = session.stream("print('before')\n1/0", mode="lines")
        assert await anext(stream) == "before"
        with pytest.raises(ExecutionError, match="ZeroDivisionError"):
            await anext(stream)


async def test_leaving_a_stream_half_way_stops_the_board(port: str) -> None:
    async with DeviceSession(port) as session:
        async with aclosing(session.stream("while True: print('again')")) as stream:
            async for _ in stream:
                break
        assert session.state is DeviceSessionState.IDLE
        assert (await session.execute("print('next')")).output == "next\n"


async def test_a_slow_consumer_holds_the_board_back(port: str) -> None:
    async with DeviceSession(port, operation_timeout=60) as session:
        total = 0
        code = "n = 0\nfor n in range(20000): print('x' * 98)"
        async with aclosing(session.stream(code, mode="bytes")) as stream:
            async for piece in stream:
                total += len(piece)
                if total == len(piece):
                    chunks = stream.ag_frame.f_locals["chunks"]  # type: ignore[attr-defined]  # it is a generator
                    queue = chunks.ag_frame.f_locals["queue"]
                    while not queue._paused:
                        await asyncio.sleep(0)
                    assert queue._unread < 1_000_000, "reading was paused long before the end"
        assert total == 20000 * 100


async def test_a_stream_under_a_deadline(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(SessionTimeout):
            [_ async for _ in session.stream("while True: print('x')", timeout=0.2)]
        assert (await session.execute("print('next')")).output == "next\n"


async def test_a_stream_that_falls_silent_is_stopped(port: str) -> None:
    async with DeviceSession(port) as session:
        code = "import time\nfor i in range(3):\n print(i)\n time.sleep(0.01)\nwhile True: pass"
        heard: list[str] = []

        async def listen() -> None:
            async for text in session.stream(code, idle_timeout=0.3):
                heard.append(text)  # noqa: PERF401  a comprehension would lose what came before the error

        with pytest.raises(SessionTimeout, match=r"no output came for 0.3 s \(idle_timeout\).*ready again") as caught:
            await listen()
        assert "".join(heard) == "0\n1\n2\n"
        assert caught.value.recovered
        assert (await session.execute("print(1)")).output == "1\n"


async def test_a_stream_that_falls_silent_and_cannot_be_stopped_ends_in_error(
    make_pty_board: Callable[..., PtyBoard],
) -> None:
    session = DeviceSession(make_pty_board().port, recovery_timeout=0.3)
    await session.connect()
    code = "import micropython\nmicropython.kbd_intr(-1)\nwhile True: pass"
    with pytest.raises(SessionTimeout, match="no output came.*catches Ctrl-C") as caught:
        async for _ in session.stream(code, idle_timeout=0.05):
            pass
    assert not caught.value.recovered
    assert session.state is DeviceSessionState.ERROR
    await session.close()


@pytest.mark.parametrize("wrong", [-1, "5", float("nan")])
async def test_a_wrong_idle_timeout_runs_nothing(port: str, wrong: float) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(SettingsError, match="idle_timeout is"):
            async for _ in session.stream("ran = 1", idle_timeout=wrong):
                pass
        assert await session.evaluate("'ran' in globals()") is False


async def test_an_unfinished_last_line_is_yielded_before_the_exception(port: str) -> None:
    async with DeviceSession(port) as session:
        lines: list[str] = []

        async def listen(code: str, timeout: float) -> None:
            async for line in session.stream(code, mode="lines", timeout=timeout):
                lines.append(line)  # noqa: PERF401  a comprehension would lose what came before the error

        with pytest.raises(ExecutionError):
            await listen("print('a')\nprint('half a line', end='')\n1/0", 10)
        with pytest.raises(SessionTimeout):
            await listen("print('Name: ', end='')\ninput()", 0.3)
        assert lines == ["a", "half a line", "Name: "]


async def test_an_interrupt_without_time_is_sent_all_the_same(port: str) -> None:
    async with DeviceSession(port) as session, aclosing(session.stream("print('on')\nwhile True: pass")) as pieces:
        await anext(pieces)
        with pytest.raises(SessionTimeout, match="needs more time"):
            await session.interrupt(timeout=0)
        with pytest.raises(Interrupted):
            await anext(pieces)


def test_a_session_whose_loop_ended_in_an_operation_can_be_used_in_the_next(port: str) -> None:
    session = DeviceSession(port)

    async def leave_it_running() -> None:
        await session.connect()
        running = asyncio.create_task(session.execute("import time\ntime.sleep(60)"))
        await session.wait_for_state(DeviceSessionState.ACTIVE)
        del running  # the loop cancels it

    async def go_on() -> None:
        with pytest.raises(SessionClosed, match="another event loop"):
            await session.connect()
        await session.disconnect()
        async with session:
            assert (await session.execute("print(1)", timeout=10)).output == "1\n"

    asyncio.run(leave_it_running())
    asyncio.run(go_on())


async def test_without_time_nothing_is_sent(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("n = 0")
        for operation in (
            session.execute("n += 1", timeout=0),
            session.evaluate("(n := n + 1)", timeout=0),
            session.soft_reset(timeout=0),
            session.hard_reset(timeout=0),
            session.reconnect(timeout=0),
        ):
            with pytest.raises(SessionTimeout, match="nothing was sent") as caught:
                await operation
            assert caught.value.outcome == "not_started"
        assert await session.evaluate("n") == 0
        assert (session.boot_epoch, session.generation) == (1, 1)
        with pytest.raises(SessionTimeout) as caught:
            await session.execute("while True: pass", timeout=0.1)
        assert caught.value.outcome == "unknown"
