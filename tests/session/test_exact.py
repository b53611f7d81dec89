"""Promise 1: exactly what the program wrote, whatever it wrote, and however it ended."""

from __future__ import annotations

import asyncio
import random
import string

import pytest

from belay_py import (
    BoardWasReset,
    CommunicationOptions,
    DeviceSession,
    DeviceSessionState,
    ExecutionError,
    Interrupted,
    SessionTimeout,
)

WRITE = "import sys\nsys.stdout.buffer.write({!r})"

HOSTILE = [
    bytes(range(256)),
    b"\x04",
    b"\x04\x04>",
    b"a\x04\x04>b",
    b"\x04>",
    b"x\x04>",
    b"OK\x04\x04>",
    b"\x01\x01\x01",
    b">",
    b"R\x01\x80\x00\x01",
    b"raw REPL; CTRL-B to exit\r\n>",
    b"\x04\x04MPY: soft reboot\r\nraw REPL; CTRL-B to exit\r\n>",
    b'Type "help()" for more information.\r\n>>> ',
    b"\x04Traceback (most recent call last):\r\n  File\r\nValueError: forged\r\n\x04>",
    b"\x04Traceback",
    b"\xff\xfe\x80",
    "é€😀".encode()[:-1],
]


@pytest.mark.parametrize("data", HOSTILE, ids=repr)
async def test_output_that_looks_like_framing(port: str, data: bytes) -> None:
    async with DeviceSession(port) as session:
        assert (await session.execute(WRITE.format(data))).output_bytes == data
        pieces = [piece async for piece in session.stream(WRITE.format(data), mode="bytes")]
        assert b"".join(pieces) == data
        assert (await session.execute("print('next')")).output == "next\n"


async def test_output_that_tries_every_two_characters_before_an_end(port: str) -> None:
    # Whatever the marker is, a program cannot print enough ends to meet it: two characters it could, in 20 KB.
    code = """
import sys
alphabet = b'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
for a in alphabet:
    sys.stdout.buffer.write(b''.join(bytes((a, b)) + b'\\x04\\x04>' for b in alphabet))
"""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    everything = b"".join(f"{a}{b}\x04\x04>".encode() for a in alphabet for b in alphabet)
    async with DeviceSession(port) as session:
        assert (await session.execute(code)).output_bytes == everything
        assert b"".join([piece async for piece in session.stream(code, mode="bytes")]) == everything
        assert (await session.execute("print('next')")).output == "next\n"


@pytest.mark.parametrize("data", HOSTILE, ids=repr)
async def test_output_that_looks_like_framing_and_goes_on(port: str, data: bytes) -> None:
    code = WRITE.format(data) + "\nimport time\ntime.sleep_ms(30)\nsys.stdout.buffer.write(b'end')"
    async with DeviceSession(port) as session:
        assert (await session.execute(code)).output_bytes == data + b"end"
        assert b"".join([p async for p in session.stream(code, mode="bytes")]) == data + b"end"
        assert (await session.execute("print('next')")).output == "next\n"


@pytest.mark.parametrize("data", HOSTILE, ids=repr)
async def test_output_that_looks_like_framing_before_an_exception(port: str, data: bytes) -> None:
    code = WRITE.format(data) + "\nraise ValueError('real')"
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute(code)
        assert (caught.value.type, caught.value.message) == ("ValueError", "real")
        assert caught.value.output_bytes == data
        pieces: list[bytes] = []
        with pytest.raises(ExecutionError, match="real"):
            pieces.extend([piece async for piece in session.stream(code, mode="bytes")])
        assert (await session.execute("print('next')")).output == "next\n"


@pytest.mark.parametrize("data", HOSTILE, ids=repr)
async def test_output_that_looks_like_framing_before_a_restart(port: str, data: bytes) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(BoardWasReset) as caught:
            await session.execute(WRITE.format(data) + "\nraise SystemExit")
        assert caught.value.output_bytes == data
        assert session.boot_epoch == 2
        assert (await session.execute(WRITE.format(b"\x04\x04>"))).output_bytes == b"\x04\x04>"


async def test_random_output(port: str) -> None:
    chance = random.Random(4)
    async with DeviceSession(port) as session:
        for _ in range(150):
            alphabet = chance.choice([bytes(range(256)), b"\x04>", b"\x04\x04>OKab\r\n", b"\x01\x04R"])
            data = bytes(chance.choices(alphabet, k=chance.randrange(60)))
            assert (await session.execute(WRITE.format(data))).output_bytes == data


@pytest.mark.parametrize(
    "code",
    [
        "print('x') # a comment at the end",
        "if True:\n    print('x')",
        "for i in range(1):\n    print('x')\n",
        "print(\n'x'\n)",
        "print('x');",
        "print('x')\n\n\n",
        "print('x')\r\n",
        "from sys import *\nprint('x')",
        "def print(*a): pass\nimport sys\nsys.stdout.write('x\\n')\ndel print",
        "_q = None\nprint('x')\ndel _q",
        "import sys as _sys\nsys = None\nprint('x')\ndel sys",
        "exec(\"print('x')\")",
        "'''\n'''\nprint('x')",
        "print('x')\nclass A:\n    pass",
    ],
)
async def test_code_of_many_endings(port: str, code: str) -> None:
    async with DeviceSession(port) as session:
        assert (await session.execute(code)).output == "x\n"


@pytest.mark.parametrize(
    ("code", "line"),
    # MicroPython reports an open bracket where the code ends, which is a line later with the marker behind it.
    [("x = (1,", 2), ("print('x')\nif True:", 2), ("x = 1 \\", 1), ("'''open", 1), ("a\nb = = c\nd", 2)],
)
async def test_syntax_errors_at_the_end_are_syntax_errors(port: str, code: str, line: int) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute(code)
        assert caught.value.type in ("SyntaxError", "IndentationError")
        assert f"line {line}" in caught.value.traceback or f"line {line + 1}" in caught.value.traceback
        assert caught.value.output == ""


async def test_a_program_that_takes_the_markers_writer_away(port: str) -> None:
    async with DeviceSession(port) as session:
        result = await session.execute("_q = lambda s: None\nprint('x')")
        assert result.output == "x\n"
        await session.execute("del _q")
        assert (await session.execute("print('y')")).output == "y\n"


async def test_a_restart_that_nobody_saw_is_told_by_the_next_execution(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("kept = 1")
        channel = session._standing.channel
        assert channel is not None
        assert channel._transport is not None
        channel._transport.write(b"\x04")  # as somebody else on the same line does: a soft reset
        seen = channel.repl.stray
        while channel.repl.stray < seen + len("OK\r\nMPY: soft reboot\r\nraw REPL; CTRL-B to exit\r\n>"):
            await asyncio.sleep(0)
        channel.repl.doubted = False  # as if the noise that it made had been lost
        with pytest.raises(BoardWasReset, match="nobody saw") as caught:
            await session.execute("print('ran')")
        assert caught.value.output_bytes.strip() == b"ran"
        assert session.boot_epoch == 2
        assert (await session.execute("print('again')")).output == "again\n"
        with pytest.raises(ExecutionError, match="'_q' isn't defined") as own:  # the program's own
            await session.execute("raise NameError(\"name '_q' isn't defined\")")
        assert own.value.type == "NameError"
        assert session.boot_epoch == 2


async def test_code_is_not_sent_to_a_board_whose_restart_was_heard(port: str) -> None:
    async with DeviceSession(port) as session:
        channel = session._standing.channel
        assert channel is not None
        assert channel._transport is not None
        channel._transport.write(b"\x04")
        while not channel.repl.doubted:
            await asyncio.sleep(0)
        with pytest.raises(BoardWasReset, match="before the code was sent") as caught:
            await session.execute("ran = 1")
        assert caught.value.outcome == "not_started"
        assert session.boot_epoch == 2
        assert not await session.evaluate("'ran' in globals()")


async def test_plain_framing_on_request(port: str) -> None:
    plain = CommunicationOptions(framing="plain")
    async with DeviceSession(port, communication=plain) as session:
        assert (await session.execute("print('x')")).output == "x\n"
        with pytest.raises(ExecutionError, match="NameError"):
            await session.execute("print(undefined)")
        with pytest.raises(BoardWasReset):
            await session.execute("raise SystemExit")
        assert (await session.execute("print('x')")).output == "x\n"


async def test_a_program_that_forges_ends_for_ever_is_interrupted(port: str) -> None:
    # Ctrl-C clears the board's input, and with it the fence that settles the doubt.
    async with DeviceSession(port) as session:
        for _ in range(5):
            task = asyncio.create_task(session.execute("while True: print('\\x04\\x04>')", timeout=20))
            await session.wait_for_state(DeviceSessionState.ACTIVE)
            channel = session._standing.channel
            assert channel is not None
            while not channel.repl._response.doubtful:
                await asyncio.sleep(0)
            assert await session.interrupt(timeout=10)
            with pytest.raises(Interrupted):
                await task
            assert (await session.execute("print('next')")).output == "next\n"
            with pytest.raises(SessionTimeout) as caught:
                await session.execute("while True: print('\\x04\\x04>')", timeout=0.1)
            assert caught.value.recovered


async def test_interrupted_after_a_forged_end(port: str) -> None:
    async with DeviceSession(port) as session:
        task = asyncio.create_task(session.execute(WRITE.format(b"\x04\x04>") + "\nwhile True: pass"))
        while session.state is not DeviceSessionState.ACTIVE:
            await asyncio.sleep(0)
        channel = session._standing.channel
        assert channel is not None
        while not channel.repl._response.doubtful:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert (await session.execute("print('next')")).output == "next\n"
