"""Evaluating on boards that restart, lose the encoder, or have little memory: nothing runs without its being told."""

from __future__ import annotations

import asyncio
import linecache
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import (
    BoardWasReset,
    CommunicationOptions,
    DeviceSession,
    ExecutionError,
    SessionTimeout,
    ValueNotSupported,
)
from belay_py.session import encoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.conftest import Board, PtyBoard


async def test_the_encoder_is_sent_once_per_life_of_the_interpreter(make_pty_board: Callable[..., PtyBoard]) -> None:
    sent: list[bytes] = []
    board = make_pty_board()
    for _ in range(2):
        async with DeviceSession(board.port) as session:
            await session.execute("pass")
            run_begun = session._operations.run_begun

            async def spy(channel: Any, source: bytes, deadline: float, run_begun: Any = run_begun) -> Any:
                sent.append(source)
                return await run_begun(channel, source, deadline)

            session._operations.run_begun = spy  # type: ignore[assignment, method-assign]  # it passes all on
            assert await asyncio.gather(*(session.evaluate(f"{n}") for n in range(5))) == list(range(5))
    assert [sent.count(part) for part in encoder.INSTALL] == [1] * len(encoder.INSTALL)


async def reset_unseen(session: DeviceSession) -> None:
    """Restart the interpreter from its raw prompt to its raw prompt, by bytes of which the session knows nothing."""
    channel = session._standing.channel
    assert channel is not None
    assert channel._transport is not None
    seen = bytearray()
    receive = channel.repl.receive_data

    def spy(data: bytes) -> None:
        seen.extend(data)
        receive(data)

    channel.repl.receive_data = spy  # type: ignore[method-assign]  # it passes all on
    channel._transport.write(b"\x04")
    while not seen.endswith(b"exit\r\n>"):
        await asyncio.sleep(0)
    channel.repl.receive_data = receive  # type: ignore[method-assign]
    channel.repl.doubted = False  # nothing was heard of it


@pytest.mark.parametrize("code", ["[1 for ran in [1]]", "ran = 1\nran", "for ran in [1]: pass\nran", "\nran = 1\nran"])
@pytest.mark.parametrize("board_tells", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize("framing", ["marked", "plain"])
async def test_a_reset_that_nobody_saw_is_told_and_nothing_has_run(
    port: str, code: str, framing: Any, board_tells: bool
) -> None:
    async with DeviceSession(port, communication=CommunicationOptions(framing=framing)) as session:
        assert session._standing.channel is not None
        if framing == "plain" and not board_tells:  # as on a board without sys.stdout
            session._standing.channel.life = None
        await session.execute("kept = 1")
        assert await session.evaluate("kept") == 1
        await reset_unseen(session)
        with pytest.raises(BoardWasReset, match="did not run") as caught:
            await session.evaluate(code)
        assert caught.value.outcome == "not_started"
        assert session.boot_epoch == 2
        assert await session.evaluate("'ran' in globals() or 'kept' in globals()") is False


async def test_a_reset_between_the_look_and_the_code_is_told(port: str) -> None:
    async with DeviceSession(port) as session:
        execute, looks = session._evaluations._execute, []

        async def reset_after_the_look(source: bytes, deadline: float) -> bytes:
            output = await execute(source, deadline)
            if source == encoder.NAME.encode():
                looks.append(source)
                await reset_unseen(session)
            return output

        session._evaluations._execute = reset_after_the_look  # type: ignore[method-assign]  # it passes all on
        with pytest.raises(BoardWasReset, match="right before the code ran") as caught:
            await session.evaluate("if True: print('on')\n1")
        assert looks
        assert (caught.value.outcome, caught.value.output_bytes) == ("unknown", b"on\r\n")
        assert session.boot_epoch == 2


@pytest.mark.parametrize("framing", ["marked", "plain"])
async def test_a_reset_before_the_first_evaluation_is_told(port: str, framing: Any) -> None:
    async with DeviceSession(port, communication=CommunicationOptions(framing=framing)) as session:
        await session.execute("ran = 0")
        await reset_unseen(session)
        with pytest.raises(BoardWasReset, match="restarted before") as caught:
            await session.evaluate("globals().get('ran')")
        assert caught.value.outcome == "not_started"
        assert session.boot_epoch == 2
        assert await session.evaluate("globals().get('ran')") is None


async def test_a_hard_reset_that_nobody_saw_is_told(board: Board) -> None:
    async with DeviceSession(board.port) as session:
        assert await session.evaluate("1") == 1
        board.process.reset()
        with pytest.raises(BoardWasReset, match="did not run") as caught:
            await session.evaluate("1")
        assert caught.value.outcome == "not_started"
        assert await session.evaluate("2") == 2


async def test_the_encoder_comes_back_after_resets_that_were_seen(port: str) -> None:
    async with DeviceSession(port) as session:
        assert await session.evaluate("1") == 1
        await session.soft_reset()
        assert await session.evaluate("2") == 2
        with pytest.raises(BoardWasReset):
            await session.evaluate("__import__('sys').exit()")
        assert await session.evaluate("3") == 3


@pytest.mark.parametrize("raw_paste", ["refused", "absent"])
async def test_boards_without_raw_paste(make_pty_board: Callable[..., PtyBoard], raw_paste: str) -> None:
    board = make_pty_board(raw_paste=raw_paste)
    async with DeviceSession(board.port) as session:
        assert await session.evaluate("[1, 2.5, b'x', 'y' * 500]") == [1, 2.5, b"x", "y" * 500]


async def test_no_memory_for_the_encoding_is_the_devices_exception(make_pty_board: Callable[..., PtyBoard]) -> None:
    board = make_pty_board(memory=64 << 10)
    async with DeviceSession(board.port) as session:
        await session.execute("x = 'x' * 30000")
        with pytest.raises(ExecutionError) as caught:
            await session.evaluate("x")
        assert caught.value.type == "MemoryError"
        assert await session.evaluate("len(x)") == 30000


async def test_an_evaluation_that_does_not_end_is_stopped(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("def spin():\n    while True: pass")
        with pytest.raises(SessionTimeout):
            await session.evaluate("spin()", timeout=0.2)
        assert await session.evaluate("1") == 1


async def test_sending_the_encoder_and_an_exclusive_block_do_not_wait_for_each_other(port: str) -> None:
    async with DeviceSession(port) as session:
        for turns in range(0, 60, 3):
            await session.soft_reset()
            other = asyncio.create_task(session.evaluate("1"))
            for _ in range(turns):
                await asyncio.sleep(0)
            async with session.exclusive():
                assert await session.evaluate("2") == 2
                assert await session.evaluate("for i in (3,): pass\ni") == 3
            assert await other == 1


async def test_an_evaluation_that_is_cancelled_at_any_turn_leaves_the_next_one_right(port: str) -> None:
    async with DeviceSession(port) as session:
        for turns in range(0, 60, 3):
            await session.soft_reset()
            evaluating = asyncio.create_task(session.evaluate("'cancelled'"))
            for _ in range(turns):
                await asyncio.sleep(0)
            evaluating.cancel()
            await asyncio.wait([evaluating])
            assert await session.evaluate("2") == 2
            assert [name for name in await session.evaluate("list(globals())") if "_belay_v" in name] == []


async def test_an_exception_has_its_place_in_the_callers_source(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.evaluate("""
x = 0
1 / x
""")
        frame = caught.value.frames[-1]
        assert frame.host_file == __file__
        assert frame.line == 3
        assert frame.host_line is not None
        assert linecache.getline(__file__, frame.host_line) == "1 / x\n"


@pytest.fixture
async def cramped(port: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DeviceSession]:
    """A session whose board has no memory for the whole encoder."""
    monkeypatch.setattr(encoder, "INSTALL", (*encoder.INSTALL[:3], b"raise MemoryError('in the test')"))
    async with DeviceSession(port) as session:
        await session.soft_reset()
        yield session
        await session.soft_reset()


async def test_a_small_heap_gets_a_small_encoder(cramped: DeviceSession) -> None:
    values: list[Any] = [
        None, True, 0, -255, 2**70, 1.1, -0.0, float("inf"), "", "é\n'\"", b"\x00\xff", "x" * 500, b"y" * 500,
        [], (), {}, [1, (2.5, b"x"), {"k": [None, {}]}, []], ((1,), ((),)), {"a": (3,)}, [[1], [2, [3]], 4],
    ]  # fmt: skip
    for value in values:
        got = await cramped.evaluate(repr(value).replace("inf", "float('inf')"))
        assert (got, type(got), repr(got)) == (value, type(value), repr(value))
    await cramped.execute("print('between', end='')")
    assert await cramped.evaluate("x = 5\nprint('no newline', end='')\nx + 1") == 6
    assert await cramped.evaluate("'_belay_w' in globals()") is False


@pytest.mark.parametrize(
    ("expression", "message"),
    [("[1, {2}]", "set"), ("type('T', (list,), {})()", "T"), ("[float]", "type")],
)
async def test_a_small_encoder_refuses_the_rest(cramped: DeviceSession, expression: str, message: str) -> None:
    with pytest.raises(ValueNotSupported, match=message):
        await cramped.evaluate(expression)
    with pytest.raises(ValueNotSupported, match="100"):
        await cramped.evaluate("a = []\na.append(a)\na")
    assert await cramped.evaluate("1") == 1


async def test_no_memory_for_any_encoder_is_said(cramped: DeviceSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "INSTALL_SMALL", b"raise MemoryError")
    with pytest.raises(ExecutionError, match="MemoryError") as caught:
        await cramped.evaluate("1")
    assert "no memory for the encoder" in caught.value.__notes__[0]
    assert (await cramped.execute("print(1)")).output == "1\n"


async def test_nobody_restarts_the_board_between_the_encoder_and_the_code(port: str) -> None:
    async with DeviceSession(port) as session:
        ended = False

        async def restart() -> None:
            while not ended:
                await session.soft_reset()

        restarting = asyncio.ensure_future(restart())
        await asyncio.sleep(0)
        try:
            assert await session.evaluate("[1, 2]") == [1, 2]
        finally:
            ended = True
            await restarting
