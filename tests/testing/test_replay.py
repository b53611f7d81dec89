"""A recorded conversation, played to a session and to others that differ from it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from belay_py import DeviceSession, ExecutionError, OutcomeUnknown
from belay_py.session import info
from belay_py.testing import ConversationDiffers, ReplayedBoard
from belay_py.transports import LinkOptions, open_transport
from tests.transports.conformance import Recorder

if TYPE_CHECKING:
    from belay_py.testing.replay import Direction

ABOUT = b"{'n': 'micropython', 'v': (1, 25, 0), 'l': 'recorded0000'}\r\n"
QUESTION = info.code("recorded0000")
CREDITS = b"\x01" * (len(QUESTION) // 128)
SESSION: list[tuple[Direction, bytes]] = [
    ("host", b"\x03\x03\x01\x05A\x01print('abcdef01234'+'5')\x04"),
    ("board", b"\r\n>>> raw REPL; CTRL-B to exit\r\n>R\x01\x80\x00\x01"),
    ("board", b"\x04abcdef012345\r\n\x04\x04>"),
    ("host", b"\x05A\x01" + QUESTION[:256]),
    ("board", b"R\x01\x80\x00\x01" + CREDITS),
    ("host", QUESTION[256:] + b"\x04"),
    ("board", b"\x04" + ABOUT + b"\x04\x04>"),
    ("host", b"\x05A\x01print('hi')\n_q(b'wxyz')\x04"),
    ("board", b"R\x01\x80\x00\x01\x04hi\r\nwxyz\x04\x04>"),
    ("host", b"\x05A\x01oops\n_q(b'zzzz')\x04"),
    ("board", b"R\x01\x80\x00\x01\x04\x04Traceback (most recent call last):\r\nNameError: oops\r\n\x04>"),
    ("host", b"\x05A\x01{}['0123456789a']\x04"),
    ("board", b"R\x01\x80\x00\x01\x04\x04Traceback (most recent call last):\r\nKeyError: 0123456789a\r\n\x04>"),
    ("host", b"\x02"),
]


async def test_a_session_that_says_the_same_gets_the_same_answers() -> None:
    with ReplayedBoard(SESSION) as board:
        async with DeviceSession(board.port) as session:
            assert (await session.execute("print('hi')")).output == "hi\n"
            with pytest.raises(ExecutionError, match="NameError: oops"):
                await session.execute("oops")


async def test_the_first_difference_is_reported_and_ends_the_link() -> None:
    board = ReplayedBoard(SESSION)
    session = DeviceSession(board.port)
    await session.connect()
    with pytest.raises(OutcomeUnknown, match="differs"):
        await session.execute("print('ho')")
    await session.close()
    with pytest.raises(ConversationDiffers, match=r"after b\"\\x05A\\x01print\('h\" it sent b'o', and b\"i'\)"):
        board.check()


@pytest.mark.parametrize(
    ("said", "message"),
    [(b"x", "b'y' is missing"), (b"xyz", "it sent b'z', and has nothing more to say"), (b"xy", "")],
)
async def test_what_is_missing_and_what_is_too_much(said: bytes, message: str) -> None:
    board = ReplayedBoard([("board", b"hi"), ("host", b"xy")])
    recorder = Recorder()
    transport = await open_transport(board.port, recorder, LinkOptions())
    assert await recorder.receive(2) == b"hi"
    transport.write(said)
    await asyncio.sleep(1)
    transport.abort()
    with pytest.raises(ConversationDiffers, match=message) if message else contextlib.nullcontext():
        board.check()
