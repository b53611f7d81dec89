"""Code that reads its standard input from the host, on real boards."""

from __future__ import annotations

import asyncio
import io
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from belay_py import BoardWasReset, DeviceSession, ExecutionError, InvalidCode, SessionTimeout
from belay_py.sync import DeviceSession as BlockingSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.conftest import PtyBoard

READ_LINES = "while True:\n line = input()\n if not line: break\n print('got', line.upper())"
COUNT = "import sys\nprint(sum(len(sys.stdin.buffer.read(64)) for _ in range({})))"


async def test_text_is_typed_line_by_line(port: str) -> None:
    async with DeviceSession(port) as session:
        result = await session.execute(READ_LINES, stdin="ab\nd\r\n\n")
        got = [line for line in result.output.splitlines() if line.startswith("got")]
        assert got == ["got AB", "got D"]
        assert (await session.execute("print(1)")).output == "1\n"


@pytest.mark.parametrize("kind", ["bytes", "file", "text file", "iterator"])
async def test_every_source(port: str, kind: str, tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]

    data = bytes(range(5, 128)) * 41 + b"x" * 77
    assert len(data) == 80 * 64
    (tmp_path / "input").write_bytes(data)
    code = "import sys\nd = b''.join(sys.stdin.buffer.read(64) for _ in range(80))\nprint(len(d), sum(d))"
    expected = f"{len(data)} {sum(data)}\n"
    async with DeviceSession(port) as session:
        with (tmp_path / "input").open("rb") as file, io.StringIO("a" * 64) as text:
            source = {"bytes": data, "file": file, "text file": text, "iterator": pieces()}[kind]
            if kind == "text file":
                code, expected = COUNT.format(1), "64\n"
            assert (await session.execute(code, stdin=source)).output == expected  # type: ignore[arg-type]  # it is one


async def test_what_the_code_does_not_read_never_reaches_the_next(port: str) -> None:
    async with DeviceSession(port) as session:
        for _ in range(5):
            assert (await session.execute("print(len(input()))", stdin="abc\nprint('never')\n" * 50)).output[
                -2:
            ] == "3\n"
            assert (await session.execute("print(1)")).output == "1\n"
        assert session.boot_epoch == 1


async def test_code_that_reads_nothing_and_ends_at_once(port: str) -> None:
    async with DeviceSession(port) as session:
        assert (await session.execute("print(1)", stdin=b"x" * 10_000)).output == "1\n"
        assert (await session.execute("print(2)")).output == "2\n"


async def test_a_dialogue_with_the_code_by_an_iterator(port: str) -> None:
    answers: asyncio.Queue[str] = asyncio.Queue()

    async def typed() -> AsyncIterator[str]:
        while True:
            yield await answers.get()

    async with DeviceSession(port) as session:
        code = "name = input('name? ')\nage = int(input('age? '))\nprint('%s will be %d' % (name, age + 1))"
        heard = ""
        async with aclosing(session.stream(code, stdin=typed())) as stream:
            async for text in stream:
                heard += text
                for question, answer in (("name? ", "Ada\n"), ("age? ", "36\n")):
                    if heard.endswith(question):
                        answers.put_nowait(answer)
        assert heard.endswith("Ada will be 37\n")


async def test_code_that_waits_for_more_than_there_is_runs_into_its_deadline(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(SessionTimeout) as caught:
            await session.execute("input()\ninput()", stdin="one\n", timeout=0.5)
        assert caught.value.recovered
        assert (await session.execute("print(1)")).output == "1\n"


@pytest.mark.parametrize("code", [2, 3, 4])
async def test_what_the_repl_takes_for_itself_is_refused(port: str, code: int) -> None:
    async def later() -> AsyncIterator[bytes]:
        yield b"fine"
        yield bytes([code])

    async with DeviceSession(port) as session:
        with pytest.raises(InvalidCode, match=rf"\\x0{code} at offset 3.*base64"):
            await session.execute("ran = 1", stdin=b"abc" + bytes([code]))
        with pytest.raises(InvalidCode, match=rf"\\x0{code} at offset 0"):
            await session.execute("while True: pass", stdin=later())
        assert await session.evaluate("'ran' in globals()") is False
        with pytest.raises(InvalidCode, match="surrogate"):
            await session.execute("pass", stdin="\ud800")
        with pytest.raises(InvalidCode, match="stdin is a int"):
            await session.execute("pass", stdin=1)  # type: ignore[arg-type]  # that is the test


async def test_the_error_of_a_source_ends_the_code_and_reaches_the_caller(port: str) -> None:
    async def broken() -> AsyncIterator[str]:
        yield "fine\n"
        raise LookupError("mine")

    async with DeviceSession(port) as session:
        with pytest.raises(LookupError, match="mine"):
            await session.execute("while True: input()", stdin=broken())
        assert (await session.execute("print(1)")).output == "1\n"


async def test_a_board_without_raw_paste_and_one_that_drops(make_pty_board: Callable[..., PtyBoard]) -> None:
    for options in ({"raw_paste": "refused"}, {"ring": 512, "overrun": "drop"}):
        board = make_pty_board(**options)
        async with DeviceSession(board.port) as session:
            data = bytes(range(32, 127)) * 33 + b"x" * 1
            assert len(data) == 49 * 64
            assert (await session.execute(COUNT.format(49), stdin=data)).output == f"{len(data)}\n"


def test_the_blocking_face(port: str) -> None:
    with BlockingSession(port) as session:
        assert session.execute("print(len(input()))", stdin="abc\n").output.endswith("3\n")
        assert "".join(session.stream("print(len(input()))", stdin="abcd\n")).endswith("4\n")


async def test_the_input_of_code_that_restarted_the_board_ends_with_it(port: str) -> None:
    gate = asyncio.Event()

    async def late() -> AsyncIterator[str]:
        await gate.wait()
        yield "secret\n"
        raise LookupError("late")

    async with DeviceSession(port) as session:
        with pytest.raises(BoardWasReset):
            await session.execute("raise SystemExit", stdin=late())
        gate.set()
        with pytest.raises(SessionTimeout):
            await session.execute("print(input())", timeout=0.5)
        assert (await session.execute("print(1)")).output == "1\n"


async def test_the_input_of_code_without_a_start_ends_with_it(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError, match="SyntaxError"):
            await session.execute("1 +", stdin="secret\n")
        with pytest.raises(SessionTimeout):
            await session.execute("print(input())", timeout=0.5)
