"""The integrity mode on a wire that damages nothing: all is as without it, and what it says where it cannot be."""

from __future__ import annotations

import ast
import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import BelayError, DeviceSession, Disconnected, ExecutionError, ProtocolViolation, SessionTimeout
from belay_py.errors import BoardWasReset, CodeTooLarge
from belay_py.session import integrity_code
from belay_py.testing import Cut, FaultyWire
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import PtyBoard

WRITES = r"""
import sys, json, builtins
print('a', 1, sep='-', end='\n\n')
print('b', file=sys.stdout)
sys.stdout.write('c\n')
sys.stdout.buffer.write(b'\x00\x04\x04>\n\xff')
json.dump([1], sys.stdout)
try: 1/0
except ZeroDivisionError as e: sys.print_exception(e)
"""


def checked(port: str, **options: Any) -> DeviceSession:
    return DeviceSession(port, communication={"integrity": True}, **options)


async def test_the_output_is_what_it_is_without_checks(port: str) -> None:
    async with DeviceSession(port) as session:
        plain = (await session.execute(WRITES)).output_bytes
    async with checked(port) as session:
        assert (await session.execute(WRITES)).output_bytes == plain
        assert b"".join([piece async for piece in session.stream(WRITES, mode="bytes")]) == plain
    async with DeviceSession(port) as session:  # and afterwards print and sys are the board's own
        assert (await session.execute(WRITES)).output_bytes == plain
        assert await session.evaluate("type(__import__('sys')).__name__") == "module"


async def test_functions_of_before_are_counted_too(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("def earlier():\n print('from before')")
    async with checked(port) as session:
        assert (await session.execute("earlier()")).output == "from before\n"


@pytest.mark.parametrize("code", ["def f():\n  1/0\n\nf()", "x = 1\nx = )\n", "raise OSError(2, 'a\\x04>b')"])
async def test_tracebacks_are_those_of_the_same_code_without_checks(port: str, code: str) -> None:
    found = []
    for integrity in False, True:
        async with DeviceSession(port, communication={"integrity": integrity}) as session:
            with pytest.raises(ExecutionError) as caught:
                await session.execute("# moves all by one line\nprint('before')\n" + code)
            found.append((caught.value.traceback, caught.value.host_traceback, caught.value.frames))
    assert found[0][0] == found[1][0]
    assert found[0][2] == found[1][2]


async def test_output_that_goes_past_the_count_is_never_returned(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("import sys\nreal = sys.stdout")
    async with checked(port) as session:
        with pytest.raises(ProtocolViolation, match=r"bypasses print") as caught:
            await session.execute("real.write('uncounted')")
        assert caught.value.outcome == "unknown"
        assert (await session.execute("print('in step')")).output == "in step\n"


async def test_values_resets_and_deadlines(port: str) -> None:
    async with checked(port) as session:
        assert await session.evaluate("[1, 2.5, b'x', 'y' * 300]") == [1, 2.5, b"x", "y" * 300]
        epoch = session.boot_epoch
        with pytest.raises(BoardWasReset):
            await session.execute("raise SystemExit")
        await session.soft_reset()
        assert session.boot_epoch == epoch + 2
        with pytest.raises(SessionTimeout) as caught:
            await session.execute("while True: pass", timeout=0.3)
        assert caught.value.recovered
        assert caught.value.outcome == "unknown"
        assert await session.evaluate("6 * 7") == 42


async def test_a_restart_that_nobody_saw_is_told_before_any_code_runs(make_pty_board: Callable[..., PtyBoard]) -> None:
    board = make_pty_board()
    async with checked(board.port) as session:
        epoch = session.boot_epoch
        channel = session._standing.channel
        assert channel is not None
        # Behind the session's back, as the board's own watchdog would do it.
        await channel.soft_reset(session._standing.deadline(5))
        await channel.enter(session._standing.deadline(5))
        with pytest.raises(BoardWasReset) as caught:
            await session.execute("print('ran')")
        assert caught.value.outcome == "not_started"
        assert session.boot_epoch == epoch + 1
        assert (await session.execute("print('ran')")).output == "ran\n"


async def test_a_restart_that_nobody_saw_is_told_too_when_the_link_is_lost_after_it() -> None:
    async with VirtualBoard() as board, FaultyWire(board.port) as wire:
        session = checked(wire.port)
        await session.connect()
        length = await _restart_unseen(session, wire, None)
        ends = [await _restart_unseen(session, wire, place) for place in range(length - 1, 0, -length // 20)]
        await session.close()
    # From the bytes that tell of it on, whatever happens then; before them nobody can know.
    assert "BoardWasReset" in ends
    assert set(ends) <= {"BoardWasReset", "OutcomeUnknown", "Disconnected"}


async def _restart_unseen(session: DeviceSession, wire: FaultyWire, place: int | None) -> Any:
    """Restart the board behind its session's back, and execute; cut the wire after so many bytes of the answer.

    Return the error's name, or without a cut how many bytes there were.
    """
    channel = session._standing.channel
    assert channel is not None
    await channel.soft_reset(session._standing.deadline(5))
    await channel.enter(session._standing.deadline(5))
    await wire.reset()
    if place is not None:
        wire.to_host.at(place, Cut())
    with pytest.raises(BelayError) as caught:
        await session.execute("print('ran')")
    if place is None:
        return wire.to_host.passed
    await wire.until_cut()
    await wire.replug()
    await session.reconnect()
    return type(caught.value).__name__


@pytest.mark.parametrize("raw_paste", ["refused", "absent"])
async def test_boards_without_raw_paste(make_pty_board: Callable[..., PtyBoard], raw_paste: str) -> None:
    async with checked(make_pty_board(raw_paste=raw_paste).port) as session:
        code = "x = 0\n" + "x += 1\n" * 800
        await session.execute(code)
        assert await session.evaluate("x") == 800
        with pytest.raises(ExecutionError, match="divide"):
            await session.execute("1/0")


async def test_a_link_that_ends_while_the_board_is_asked_for_room_means_that_nothing_ran(
    make_pty_board: Callable[..., PtyBoard],
) -> None:
    async with checked(make_pty_board(raw_paste="absent").port) as session:
        channel = session._standing.channel
        assert channel is not None
        running = asyncio.create_task(session.execute("x = 0\n" + "x += 1\n" * 400))
        while not channel.repl.may_have_started or channel.exchange is None:
            await asyncio.sleep(0)
        await session.disconnect()
        with pytest.raises(Disconnected, match="had not started"):
            await running


async def test_code_that_does_not_fit_is_too_large(make_pty_board: Callable[..., PtyBoard]) -> None:
    async with checked(make_pty_board(memory=128 << 10).port) as session:
        with pytest.raises(CodeTooLarge):
            await session.execute("x = 1\n" * 20_000)
        assert await session.evaluate("1") == 1


async def test_stdin_goes_to_the_code(port: str) -> None:
    async with checked(port) as session:
        assert (
            await session.execute("import sys\nprint('>' + sys.stdin.readline())", stdin="abc\n")
        ).output.startswith(">abc")
        assert await session.evaluate("2") == 2


async def test_cancelled_and_interrupted_code_leaves_the_board_in_step(port: str) -> None:
    async with checked(port) as session:
        stream = session.stream("while True: print('on and on')")
        async for _ in stream:
            break
        await stream.aclose()
        await session.settled()
        assert await session.evaluate("3") == 3


def test_nothing_of_a_line_has_a_meaning_but_its_frame() -> None:
    line = integrity_code.run("abcdefghijk-_12", b"import machine; machine.reset()  # '\"\n")
    assert re.fullmatch(rb"_belay_i\(b'![\w-]{15}[0-9a-f]{8}[A-Za-z0-9+/=]*'\)", line)
    for cut in range(len(line) - 1):
        rest = line[cut + 1 :]
        if cut < len(integrity_code.NAME):  # a call of a name that nobody has, or the literal in brackets
            assert isinstance(ast.parse(rest).body[0], ast.Expr)
        else:
            with pytest.raises(SyntaxError):
                ast.parse(rest)
