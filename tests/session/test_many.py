"""Many snippets at once, on real MicroPython: each is as if it had been executed alone."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay_py import (
    BelayError,
    BoardWasReset,
    CodeTooLarge,
    CommunicationOptions,
    DeviceSession,
    DeviceSessionManager,
    Disconnected,
    ExecutionError,
    ExecutionResult,
    Interrupted,
    InvalidCode,
    OutcomeUnknown,
    RetryOptions,
    SessionTimeout,
)
from belay_py.session import batches, many
from belay_py.session.errands import kit
from belay_py.sync import DeviceSession as BlockingSession
from belay_py.testing import Answer, FaultyWire, Forever, Lose, ScriptedBoard, SoftReset
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import PtyBoard

WAYS = {
    "marked": CommunicationOptions(),
    "plain": CommunicationOptions(framing="plain"),
    "checked": CommunicationOptions(integrity=True),
}
ODD = [
    "x = 20",
    "import sys\nsys.stdout.buffer.write(b'\\x04\\x04>\\x00\\xff')",
    "print('x is', x)\r\n# a comment with \\ and ' and \"",
    "",
    "def twice(n):\n    return 2 * n\n\nprint(twice(x), end='')",
    "print('\N{SNOWMAN}', '''a\nb''', \"it's\")",
    "print('\x1f' == chr(31))",
    "sys.stdout.write('no end of line')",
    "    \n# only a comment",
]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> CommunicationOptions:
    """How bytes travel."""
    return WAYS[request.param]


def outcome(result: ExecutionResult | ExecutionError) -> tuple[Any, ...]:
    """All of a result but its time, and what the host adds to a traceback."""
    if isinstance(result, ExecutionError):
        return (result.type, result.message, result.traceback, result.output_bytes)
    return (result.output_bytes,)


async def one_by_one(session: DeviceSession, snippets: list[str]) -> list[ExecutionResult | ExecutionError]:
    results: list[ExecutionResult | ExecutionError] = []
    for snippet in snippets:
        try:
            results.append(await session.execute(snippet))
        except ExecutionError as error:
            results.append(error)
    return results


async def test_each_result_is_what_the_snippet_alone_has(board: Any, way: CommunicationOptions) -> None:
    odd = [*ODD[:1], *ODD[2:]] if way.framing == "plain" else ODD
    async with DeviceSession(board.port, communication=way) as session:
        await session.execute("import sys")
        alone = await one_by_one(session, odd)
        assert [outcome(result) for result in await session.execute_many(odd)] == list(map(outcome, alone))
        assert await session.evaluate("twice(x)") == 40


FAILING = [
    "x = 1",
    "x =\n= 2",
    "print('before')\n\n1/0",
    "def f():\n  raise ValueError('a\\x04>b\\nc')\n\nf()",
    "raise KeyboardInterrupt",
    "  indented = 1",
    "class Mine(BaseException): pass\nprint(1)\nraise Mine('own')",
    "open('/none')",
    "raise Exception",
    "print(x)",
]


async def test_exceptions_are_what_they_are_alone_and_keep_nothing_else_from_running(
    port: str, way: CommunicationOptions
) -> None:
    failing = FAILING if way.framing != "plain" else [FAILING[0], *FAILING[4:]]
    async with DeviceSession(port, communication=way) as session:
        alone = await one_by_one(session, failing)
        together = await session.execute_many(failing, stop_on_error=False)
        assert [outcome(result) for result in together] == list(map(outcome, alone))
        assert together[-1].output == "1\n"


async def test_snippets_that_take_our_tools_away() -> None:
    hostile: list[str | bytes] = [
        "import sys, builtins\nsys = exec = compile = Exception = None\nprint = lambda *_: None",
        "del print, exec, compile, Exception\nfrom sys import *",
        "builtins.compile = builtins.exec = lambda *_: 1 / 0",
        "for name in dir(builtins):\n if name.startswith('_belay_m'): delattr(builtins, name)",
        "print('still here')",
        "\N{ZERO WIDTH SPACE}",
        b"print(len('\xc3\xa9'), len(b'\xff\xfe'))",
        "print('a\x1eb')",
    ]
    async with DeviceSession("virtual:") as session:
        results = await session.execute_many(hostile, stop_on_error=False)
        assert [result.output for result in results] == ["", "", "", "", "still here\n", "", "1 2\n", "a\x1eb\n"]
        assert isinstance(results[5], ExecutionError)


async def test_the_first_exception_stops_and_knows_what_was_before(port: str, way: CommunicationOptions) -> None:
    async with DeviceSession(port, communication=way) as session:
        with pytest.raises(ExecutionError, match="divide by zero") as caught:
            await session.execute_many(["n = 1", "print(n)", "n += 1\nprint('so far')\n1/0", "n += 10"])
        error = caught.value
        assert [result.output for result in error.results] == ["", "1\n"]
        assert error.output == "so far\n"
        assert error.frames[-1].line == 3
        assert "this is of snippet 3 of 4" in error.__notes__
        assert await session.evaluate("n") == 2


async def test_tracebacks_name_the_hosts_lines(port: str) -> None:
    async with DeviceSession(port) as session:
        results = await session.execute_many(
            [
                "a = 1",
                "1/0  # here",
                "raise ValueError('there')",
            ],
            stop_on_error=False,
        )
        lines = []
        for result in results[1:]:
            assert isinstance(result, ExecutionError)
            assert result.frames[-1].host_file == __file__
            lines.append(result.frames[-1].host_line)
        assert lines[1] == (lines[0] or 0) + 1


async def test_it_is_one_submission(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute_many(["pass", "pass"])  # what runs them is there from now on
        before = session.statistics.operations
        results = await session.execute_many(["pass"] * 100)
        assert session.statistics.operations == before + 1
        assert len(results) == 100
        assert all(0 <= result.duration < 10 for result in results)


async def test_durations_are_the_boards(port: str) -> None:
    async with DeviceSession(port) as session:
        code = "import time\ntime.sleep_ms(30)"
        slow, quick = await session.execute_many([code, "pass"])
        assert slow.duration >= 0.03
        assert quick.duration < slow.duration


async def test_without_a_clock_durations_are_not_numbers_and_the_rest_is_right() -> None:
    answer = batches.read(b"abcdefoneabcdef-1;", "abcdef")
    assert answer.ended[0].output == b"one"
    assert math.isnan(answer.ended[0].duration)


async def test_ten_thousand_snippets(port: str) -> None:
    async with DeviceSession(port) as session:
        results = await session.execute_many(f"print({number})" for number in range(10_000))
        assert [result.output_bytes for result in results] == [b"%d\r\n" % number for number in range(10_000)]
        assert session.statistics.operations < 100


async def test_nothing_and_one(port: str) -> None:
    async with DeviceSession(port) as session:
        assert await session.execute_many([]) == []
        (result,) = await session.execute_many(["print(1)"])
        assert result.output == "1\n"


async def test_what_is_no_list_of_code_is_refused(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(InvalidCode, match="takes a list of snippets"):
            await session.execute_many("pass")
        with pytest.raises(InvalidCode, match="not int"):
            await session.execute_many(5)  # type: ignore[call-overload]  # the mistake that is tested
        with pytest.raises(InvalidCode, match="of snippet 2, line 1 holds the control character"):
            await session.execute_many(["pass", "\x03"])


async def test_a_reset_tells_which_had_ended(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(BoardWasReset) as caught:
            await session.execute_many(["print(1)", "print('so far')\nraise SystemExit", "print(2)"])
        assert [result.output for result in caught.value.results] == ["1\n"]
        assert caught.value.output_bytes == b"so far\r\n"
        assert session.boot_epoch == 2
        assert [result.output for result in await session.execute_many(["print(1)", "print(2)"])] == ["1\n", "2\n"]


async def test_a_deadline_tells_which_had_ended(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(SessionTimeout) as caught:
            await session.execute_many(["print(1)", "while True: pass", "print(2)"], timeout=0.3)
        assert [result.output for result in caught.value.results] == ["1\n"]
        assert caught.value.recovered
        assert caught.value.outcome == "unknown"
        assert (await session.execute("print(3)")).output == "3\n"


async def test_an_interrupt_tells_which_had_ended_and_stops_all(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute_many(["n = 0"] * 2)
        running = asyncio.ensure_future(session.execute_many(["n = 1", "while True: pass", "n = 2"]))
        while not await asyncio.sleep(0.01, session._standing.channel and session._standing.channel.exchange):
            pass
        await session.interrupt()
        with pytest.raises(Interrupted) as caught:
            await running
        assert len(caught.value.results) <= 1  # the interrupt may have come before the first
        assert await session.evaluate("n") in (0, 1)


async def test_a_cancelled_call_leaves_the_board_ready(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute_many(["pass", "pass"])
        running = asyncio.ensure_future(session.execute_many(["pass", "while True: pass"]))
        while session._standing.channel is None or session._standing.channel.exchange is None:
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await session.settled()
        assert (await session.execute("print(3)")).output == "3\n"


async def test_a_lost_link_tells_which_had_ended() -> None:
    async with VirtualBoard() as board, FaultyWire(board.port) as wire, DeviceSession(wire.port) as session:
        await session.execute_many(["pass", "pass"])
        before = session.statistics.bytes_received
        running = asyncio.ensure_future(
            session.execute_many(["print('x' * 5000)", "print(2)", "while True: pass"], timeout=30)
        )
        while session.statistics.bytes_received < before + 5025:  # the first two have ended
            await asyncio.sleep(0)
        await wire.cut()
        with pytest.raises(OutcomeUnknown) as caught:
            await running
        assert [len(result.output_bytes) for result in caught.value.results] == [5002, 3]


async def test_an_unseen_restart_runs_none_of_them(make_pty_board: Callable[..., PtyBoard]) -> None:
    board = make_pty_board()
    async with DeviceSession(board.port) as session:
        await session.execute_many(["kept = 1"] * 2)
        board.process.reset()
        with pytest.raises(BelayError) as caught:
            await session.execute_many(["print(1)", "print(2)"])
        assert not caught.value.results
        assert [result.output for result in await session.execute_many(["print(1)", "print(2)"])] == ["1\n", "2\n"]


ENDS: dict[str, tuple[Answer, type[BelayError]]] = {
    "no end": (Forever(), SessionTimeout),
    "a reset": (SoftReset(), BoardWasReset),
    "a lost link": (Lose(), Disconnected),
}


@pytest.mark.parametrize("end", ENDS)
async def test_what_goes_wrong_before_the_first_says_that_none_has_started(end: str) -> None:
    step, error = ENDS[end]
    board = ScriptedBoard(on_code=lambda code: step if "_belay_m" in code else "ran")
    async with DeviceSession(board.port) as session:
        with pytest.raises(error) as caught:
            await session.execute_many(["first", "second"], timeout=0.5)
        assert caught.value.outcome == "not_started"  # type: ignore[attr-defined]  # each of these has one
        assert not caught.value.results
    assert not [execution for execution in board.executions if execution.code in ("first", "second")]


async def test_retries_run_all_again_only_if_allowed(port: str) -> None:
    retry = RetryOptions(max_attempts=2, delay=0)
    once = "try: n += 1\nexcept NameError: n = 1"
    hang = "import time\nif n == 1: time.sleep(30)"
    async with DeviceSession(port, retry=retry, operation_timeout=1) as session:
        await session.execute("globals().pop('n', 0)")
        with pytest.raises(SessionTimeout) as caught:
            await session.execute_many([once, hang], timeout=60)
        assert caught.value.outcome == "unknown"
        assert len(caught.value.results) == 1
    async with DeviceSession(port, retry=retry) as session:
        await session.execute("n = 0")
        running = session.execute_many([once, "if n == 1: raise SystemExit"], idempotent=True)
        with pytest.raises(BoardWasReset):  # the second attempt begins in a new life, where n is 1 again
            await running


async def test_boards_that_cannot_compile_apart_run_them_one_by_one(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = kit("m", "compile_is_not_there")
    monkeypatch.setattr(many, "KIT", lacking)
    async with DeviceSession(port) as session:
        results = await session.execute_many(["print(1)", "1/0", "print(3)"], stop_on_error=False)
        assert [result.output for result in results] == ["1\n", "", "3\n"]
        assert session.statistics.operations == 2 + 3  # it was tried once


async def test_boards_without_raw_paste(make_pty_board: Callable[..., PtyBoard]) -> None:
    board = make_pty_board(raw_paste="absent")
    async with DeviceSession(board.port) as session:
        snippets = [f"print({number})" for number in range(200)]
        assert [result.output for result in await session.execute_many(snippets)] == [f"{n}\n" for n in range(200)]


async def test_a_small_heap(make_pty_board: Callable[..., PtyBoard]) -> None:
    board = make_pty_board(memory=64 * 1024)
    async with DeviceSession(board.port) as session:
        snippets = [f"print({number}, '{'x' * 90}')" for number in range(200)]
        results = await session.execute_many(snippets)
        assert [result.output for result in results] == [f"{n} {'x' * 90}\n" for n in range(200)]


async def test_what_did_not_start_says_so_only_if_none_did(make_pty_board: Callable[..., PtyBoard]) -> None:
    board = make_pty_board(memory=64 * 1024)
    async with DeviceSession(board.port) as session:
        large = f"y = '{'x' * 60_000}'"
        with pytest.raises(CodeTooLarge) as caught:
            await session.execute_many([large, "x = 1"])
        assert caught.value.outcome == "not_started"
        with pytest.raises(CodeTooLarge) as caught:
            await session.execute_many(["x = 1", large])
        assert caught.value.outcome == "unknown"
        assert len(caught.value.results) == 1


async def test_a_program_that_removes_what_runs_them(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "LARGEST", 600)
    remove = f"import builtins\ndel builtins.{batches.KIT.name}"
    async with DeviceSession(port) as session:
        snippets = [remove, "#" * 500, remove, "#" * 500, "print('last')", "print(1)"]
        assert (await session.execute_many(snippets))[-2].output == "last\n"
        assert session.boot_epoch == 1


async def test_a_heap_that_is_full_sends_less_at_once(make_pty_board: Callable[..., PtyBoard]) -> None:
    board = make_pty_board(memory=128 * 1024)
    fill = "import gc\nkept = []\nwhile gc.mem_free() > 8000: kept.append(bytearray(1000))"
    async with DeviceSession(board.port) as session:
        await session.execute_many(["pass", "pass"])
        await session.execute(fill)
        before = session.statistics
        snippets = [f"n = {number}  # {'-' * 80}" for number in range(100)]
        assert len(await session.execute_many([*snippets, "del kept"])) == 101
        assert session.statistics.errors > before.errors  # a submission that had no room, of which nothing ran
        assert await session.evaluate("n") == 99


async def test_in_a_lease_and_between_others(port: str) -> None:
    async with DeviceSessionManager() as manager:
        await manager.create_session("board", port)
        async with manager.lease("board") as session:
            many_results, single = await asyncio.gather(
                session.execute_many(["n = 1", "import time\ntime.sleep_ms(20)", "print(n)"]),
                session.execute("n = 2"),
            )
        assert many_results[2].output == "1\n"
        assert single.output == ""


def test_the_blocking_face(port: str) -> None:
    with BlockingSession(port) as session:
        assert [result.output for result in session.execute_many(["a = 5", "print(a)"])] == ["", "5\n"]
        with pytest.raises(ExecutionError) as caught:
            session.execute_many(["a = 6", "1/0"])
        assert len(caught.value.results) == 1
        assert caught.value.frames[-1].host_file == __file__
        failed = session.execute_many(["a +", "print(a)"], stop_on_error=False)
        assert isinstance(failed[0], ExecutionError)
        assert failed[0].frames[-1].host_file == __file__
        assert failed[1].output == "6\n"


# -- the form -------------------------------------------------------------------------------------------------------

NONCE = "Ab-_12"
CLEAN = st.binary(max_size=30).filter(lambda data: NONCE.encode() not in data)


def written(outputs: list[tuple[bytes, bytes | None]]) -> bytes:
    """What the kit on a board writes."""
    came = NONCE.encode()
    for output, traceback in outputs:
        came += output + NONCE.encode()
        came += b"1f;" if traceback is None else b"1f!%s%s;" % (traceback, NONCE.encode())
    return came


@given(st.lists(st.tuples(CLEAN, st.none() | CLEAN.filter(bool)), max_size=6), st.data())
def test_what_is_known_grows_with_what_came(outputs: list[tuple[bytes, bytes | None]], data: st.DataObject) -> None:
    whole = written(outputs)
    answer = batches.read(whole, NONCE)
    assert answer.begun
    assert [ended.output for ended in answer.ended] == [output for output, _ in outputs]
    assert [ended.traceback for ended in answer.ended] == [traceback or b"" for _, traceback in outputs]
    cut = data.draw(st.integers(0, len(whole)))
    part = batches.read(whole[:cut], NONCE)
    assert part.ended == answer.ended[: len(part.ended)]
    if part.begun and len(part.ended) < len(outputs):
        written_next = outputs[len(part.ended)][0]
        assert part.rest.startswith(written_next) or written_next.startswith(part.rest), "what frames it is no output"
        assert NONCE.encode() not in part.rest


SENDABLE = st.text(st.characters(min_codepoint=5, max_codepoint=126), max_size=40).map(str.encode)


def test_what_a_timer_prints_right_at_the_beginning_is_output_of_the_first() -> None:
    whole = written([(b"a", None), (b"b", None)])
    assert [ended.output for ended in batches.read(b"timer" + whole, NONCE).ended] == [b"timera", b"b"]
    assert batches.read(b"timer" + NONCE.encode() + b"a", NONCE).rest == b"timera"


@given(st.lists(SENDABLE, min_size=1, max_size=8), st.integers(60, 400))
def test_snippets_are_packed_in_order_and_none_is_too_long(snippets: list[bytes], limit: int) -> None:
    batch = batches.pick(snippets, 0, limit)
    assert len(batches.pack(batch, NONCE, stop=True)) <= limit
    packed = eval(b"b'" + b"\x1f".join(batch) + b"'")
    assert packed.split(b"\x1f") == [*snippets[: len(batch)]] or not batch
