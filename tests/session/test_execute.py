"""Executing code on real MicroPython: results, exceptions, sizes, order."""

from __future__ import annotations

import asyncio

import pytest

from belay_py import (
    BelayError,
    DeviceSession,
    DeviceSessionState,
    ExecutionError,
    InvalidCode,
    SessionClosed,
    SessionTimeout,
    SettingsError,
)


async def test_output_is_what_the_program_wrote(port: str) -> None:
    async with DeviceSession(port) as session:
        result = await session.execute("print('hi')")
        assert result.output == "hi\n"
        assert result.output_bytes == b"hi\r\n"
        assert result.duration > 0


async def test_text_that_is_not_utf8_is_replaced_and_its_bytes_are_kept(port: str) -> None:
    async with DeviceSession(port) as session:
        result = await session.execute("import sys\nsys.stdout.buffer.write(b'a\\xffb')")
        assert result.output == "a\ufffdb"
        assert result.output_bytes == b"a\xffb"


async def test_ten_thousand_executions_stay_in_step(port: str) -> None:
    async with DeviceSession(port) as session:
        for number in range(10_000):
            result = await session.execute(f"print({number})")
            assert result.output_bytes == b"%d\r\n" % number


async def test_code_of_every_length_around_the_windows(port: str) -> None:
    # 255 is the longest that goes out at once, 256 fills both windows, 257 needs the first credit.
    async with DeviceSession(port) as session:
        for length in [*range(120, 136), *range(250, 264), *range(380, 392), *range(508, 518)]:
            code = f"print({length})#".ljust(length, "x")
            assert (await session.execute(code)).output == f"{length}\n"


async def test_a_hundred_kilobytes_of_code(port: str) -> None:
    lines = "".join(f"total += {number}  # padding to make each line longer\n" for number in range(2100))
    code = f"total = 0\n{lines}print(total)"
    assert len(code) > 100_000
    async with DeviceSession(port) as session:
        assert (await session.execute(code, timeout=60)).output == f"{sum(range(2100))}\n"


async def test_a_megabyte_of_output(port: str) -> None:
    async with DeviceSession(port) as session:
        result = await session.execute("for i in range(10000): print('%09d' % i + 'x' * 90)", timeout=60)
        assert result.output == "".join(f"{i:09d}{'x' * 90}\n" for i in range(10000))


@pytest.mark.parametrize("code", ["", " ", "\n", "# only a comment"])
async def test_code_that_does_nothing(port: str, code: str) -> None:
    async with DeviceSession(port) as session:
        epoch = session.boot_epoch
        assert (await session.execute(code)).output == ""
        assert session.boot_epoch == epoch


async def test_variables_stay_between_executions_and_between_sessions(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("kept = 41")
        assert (await session.execute("print(kept + 1)")).output == "42\n"
    async with DeviceSession(port) as session:
        assert (await session.execute("print(kept)")).output == "41\n"


async def test_the_devices_exception(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute("print('before')\ndef f():\n    raise ValueError('bad: value')\nf()")
        error = caught.value
        assert (error.type, error.message) == ("ValueError", "bad: value")
        assert error.output == "before\n"
        assert 'File "<stdin>", line 3, in f' in error.traceback
        assert session.state is DeviceSessionState.IDLE
        assert (await session.execute("print('next')")).output == "next\n"


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("x = = 1", "SyntaxError", "invalid syntax"),
        ("  x = 1", "IndentationError", "unexpected indent"),
        ("raise OSError(2)", "OSError", "[Errno 2] ENOENT"),
        ("raise KeyError", "KeyError", ""),
        ("raise Exception('two\\nlines')", "Exception", "two\nlines"),
        ("assert False", "AssertionError", ""),
        ("class Mine(Exception): pass\nraise Mine('own')", "Mine", "own"),
    ],
)
async def test_kinds_of_exceptions(port: str, code: str, kind: str, message: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute(code)
        assert caught.value.type == kind
        assert caught.value.message == message


async def test_a_syntax_error_early_in_long_code_aborts_the_upload(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError, match="SyntaxError"):
            await session.execute("x = = 1\n" + "y = 1\n" * 20_000)
        assert session.boot_epoch == 1
        assert (await session.execute("print('next')")).output == "next\n"


@pytest.mark.parametrize("code", ["a\x00", "a\x01", "a\x02", "print('\x03')", "\n\nprint('\x04')"])
async def test_control_characters_are_refused_before_anything_is_sent(port: str, code: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(InvalidCode, match=r"line \d holds the control character \\x0\d"):
            await session.execute(code)
        assert (await session.execute("print('next')")).output == "next\n"


async def test_half_a_surrogate_pair_is_refused(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(InvalidCode, match="line 2 holds .*surrogate"):
            await session.execute("a = 1\nb = '\ud800'")


async def test_calls_from_many_tasks_queue_in_order(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("order = []")
        results = await asyncio.gather(*(session.execute(f"order.append({i})\nprint({i})") for i in range(50)))
        assert [result.output for result in results] == [f"{i}\n" for i in range(50)]
        assert await session.evaluate("order") == list(range(50))


async def test_a_waiting_call_gives_up_at_its_deadline_and_was_not_sent(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("ran = False")
        busy = asyncio.create_task(session.execute("while True: pass"))
        while session.state is not DeviceSessionState.ACTIVE:
            await asyncio.sleep(0)
        with pytest.raises(SessionTimeout, match="busy with another operation"):
            await session.execute("ran = True", timeout=0.05)
        await session.interrupt()
        with pytest.raises(BelayError):
            await busy
        assert await session.evaluate("ran") is False


async def test_wrong_timeouts_are_refused(port: str) -> None:
    async with DeviceSession(port) as session:
        for timeout in (-1, float("nan")):
            with pytest.raises(SettingsError, match="timeout is"):
                await session.execute("pass", timeout=timeout)


async def test_sixteen_boards_at_once() -> None:
    async def work(number: int) -> int:
        async with DeviceSession("virtual:", connection_timeout=120, operation_timeout=60) as session:
            await session.execute(f"mine = {number}")
            for _ in range(50):
                await session.execute("mine += 1")
            value: int = await session.evaluate("mine")
            return value

    assert await asyncio.gather(*(work(1000 * i) for i in range(16))) == [1000 * i + 50 for i in range(16)]


async def test_a_session_that_was_never_connected_says_how_to_connect() -> None:
    session = DeviceSession("virtual:")
    with pytest.raises(SessionClosed, match="async with"):
        await session.execute("pass")
    with pytest.raises(SessionClosed, match="before the first connect"):
        _ = session.info
