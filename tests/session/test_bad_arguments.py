"""Arguments of the wrong type or value are refused with an error of ours that names them, before anything is sent."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import (
    CommunicationOptions,
    DeviceSession,
    DeviceSessionOptions,
    ExecutionError,
    InvalidCode,
    RateLimitOptions,
    SettingsError,
)
from belay_py.sync import DeviceSession as BlockingSession
from belay_py.testing import ScriptedBoard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from belay_py.events import SessionEvent


class InBytes(os.PathLike[bytes]):
    """A path as the system may give it, which is no text."""

    def __fspath__(self) -> bytes:
        return b"x"


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("option", "values", "wanted"),
    [
        ("exclusive", ["no", 1, None], "True or False"),
        ("dtr", ["x", 1], "True or False, or None"),
        ("rts", [1, "x"], "True or False, or None"),
        ("framing", ["Plain", 5, ["plain"]], '"marked" or "plain"'),
        ("chunk", ["a", 1.5, 0, True, None], "a whole number of bytes, at least 1"),
        ("pace", ["x", INF, NAN, -1, True, None, 10**400], "a number of seconds of at least 0, and finite"),
    ],
)
def test_options_of_the_communication(option: str, values: list[Any], wanted: str) -> None:
    for value in values:
        with pytest.raises(SettingsError) as caught:
            CommunicationOptions(**{option: value})
        assert str(caught.value) == f"communication.{option} is {value!r}; it must be {wanted}"


@pytest.mark.parametrize(
    ("option", "values", "wanted"),
    [
        ("port", [5, None, b"x", Path("/dev/null")], "text, a path or a URL"),
        ("baudrate", [True, 0, 9600.0, "9600"], "a whole number above 0, 115200 on most boards"),
        ("connection_timeout", ["5", 0, NAN, True, None], "a number of seconds above 0"),
        ("operation_timeout", ["5", 0, NAN, True, None], "a number of seconds above 0"),
        ("recovery_timeout", ["5", 0, NAN, True, INF, 10**400], "a number of seconds above 0, and finite"),
        ("reset_when_stuck", ["no", 1, None], "True or False"),
        ("communication", [{"framing": "plain"}, None], "CommunicationOptions(...)"),
        ("trace", [5, True, b"x", "", InBytes()], "the path of a file, or None"),
    ],
)
def test_options_of_a_session(option: str, values: list[Any], wanted: str) -> None:
    for value in values:
        with pytest.raises(SettingsError) as caught:
            DeviceSession(DeviceSessionOptions(**{"port": "virtual:", option: value}))
        assert str(caught.value) == f"{option} is {value!r}; it must be {wanted}"


def test_a_rate_that_no_clock_can_count() -> None:
    cases: tuple[tuple[str, list[Any], str], ...] = (
        ("operations", [0, 10**9 + 1, 10**400], "a whole number from 1 to 1000000000, or None"),
        ("burst", [0, 10**9 + 1], "a whole number from 1 to 1000000000, or None"),
        ("period", [0, 5e-324, 1e-7, 1.1e9, 1e308, INF, NAN, True], "a number of seconds from 0.000001 to 1000000000"),
    )
    for option, values, wanted in cases:
        for value in values:
            with pytest.raises(SettingsError) as caught:
                RateLimitOptions(**{option: value})
            assert str(caught.value) == f"rate_limit.{option} is {value!r}; it must be {wanted}"


@pytest.mark.parametrize("kind", ["token_bucket", "fixed_window", "sliding_window"])
@pytest.mark.parametrize("operations", [1, 10**9, None])
@pytest.mark.parametrize("period", [1e-6, 1e9])
async def test_the_outermost_rates_work(kind: Any, operations: int | None, period: float) -> None:
    limit = RateLimitOptions(kind=kind, operations=operations, period=period, burst=operations)
    board = ScriptedBoard()  # kept, since its port goes with it
    async with DeviceSession(board.port, rate_limit=limit) as session:
        await session.execute("x")


def test_values_that_python_itself_cannot_write_are_refused_in_one_line() -> None:
    for option in ("operation_timeout", "baudrate"):
        with pytest.raises(SettingsError, match=f"{option} is a value with too many digits to be shown; it must be"):
            DeviceSession(DeviceSessionOptions.build("virtual:", {option: -(10**5000)}))
    with pytest.raises(SettingsError) as caught:
        DeviceSession("virtual:", baudrate="9" * 100_000)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("tags", [[["pico"]], [{}], (None,), ["a", ""], b"ab"])
def test_tags_that_are_none(tags: Any) -> None:
    with pytest.raises(SettingsError, match="tags has .* in it; each must be a name"):
        DeviceSession("virtual:", tags=tags)


@pytest.mark.parametrize("session", [DeviceSession, BlockingSession])
def test_the_name_of_the_device(session: Any) -> None:
    with pytest.raises(SettingsError, match="device_id is 5; it must be text, or None"):
        session("virtual:", device_id=5)


@pytest.mark.parametrize("mode", ["line", "", None, ["text"]])
async def test_modes_that_there_are_not(port: str, mode: Any) -> None:
    wanted = 'it must be "text", "lines" or "bytes"'
    for session in (DeviceSession(port), BlockingSession(port)):
        with pytest.raises(SettingsError) as caught:
            session.stream("1", mode=mode)
        assert str(caught.value) == f"mode is {mode!r}; {wanted}"
        with pytest.raises(SettingsError) as caught:
            session.monitor(mode=mode)
        assert str(caught.value) == f"mode is {mode!r}; {wanted}"


@pytest.mark.parametrize("code", [None, 5, ["print(1)"], {"code": 1}])
async def test_what_is_no_code(port: str, code: Any) -> None:
    async with DeviceSession(port) as session:
        message = f"the code is of type {type(code).__name__}; it must be text or bytes"
        for call in (session.execute, session.evaluate):
            with pytest.raises(InvalidCode) as caught:
                await call(code)
            assert str(caught.value) == message
        with pytest.raises(InvalidCode, match=message):
            session.stream(code)
        assert (await session.execute("print(1)")).output == "1\n"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_code_in_any_kind_of_bytes(port: str, kind: Any) -> None:
    async with DeviceSession(port) as session:
        assert (await session.execute(kind(b"print(1)"))).output == "1\n"
        assert await session.evaluate(kind(b"1 + 1")) == 2
        assert [piece async for piece in session.stream(kind(b"print(2)"), mode="lines")] == ["2"]
        with pytest.raises(ExecutionError, match="ZeroDivisionError"):
            await session.execute(kind(b"1/0"))
        with pytest.raises(ExecutionError, match="ZeroDivisionError"):
            await session.evaluate(kind(b"1/0"))


async def test_files_that_are_none(port: str) -> None:
    bad: Any
    async with DeviceSession(port) as session:
        for bad in (5, None, ["x"]):
            with pytest.raises(InvalidCode, match="name a file of this computer"):
                await session.run(bad)
        for bad in (5, b"x", ""):
            message = re.escape(f"filename is {bad!r}; it must be the path of a file, or None")
            with pytest.raises(SettingsError, match=message):
                await session.execute("1/0", filename=bad)
            with pytest.raises(SettingsError, match=message):
                session.stream("1/0", filename=bad)


async def test_a_path_that_is_no_text_is_a_filename(port: str, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("1/0")
    with os.scandir(tmp_path) as entries:
        entry = next(entries)
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute("1/0", filename=entry)  # type: ignore[arg-type]  # a path, and no Path
    assert caught.value.frames[-1].host_file == entry.path


@pytest.mark.parametrize("piece", [3, None, ["x"], 1.5])
async def test_pieces_of_input_that_are_none(port: str, piece: Any) -> None:
    async def pieces() -> AsyncIterator[Any]:
        yield b"a"
        yield piece

    async with DeviceSession(port) as session:
        with pytest.raises(InvalidCode) as caught:
            await session.execute("import sys\nsys.stdin.read(3)", stdin=pieces())
        assert str(caught.value) == f"stdin gave a piece of type {type(piece).__name__}; each must be bytes or text"
        assert (await session.execute("print(1)")).output == "1\n"


@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_input_in_any_kind_of_bytes(port: str, kind: Any) -> None:
    async def pieces() -> AsyncIterator[Any]:
        yield kind(b"abc")

    async with DeviceSession(port) as session:
        for source in (kind(b"abc"), pieces()):
            code = "import sys\nprint(repr(sys.stdin.read(3)))"
            assert (await session.execute(code, stdin=source)).output == "'abc'\n"


@pytest.mark.parametrize("mode", ["text", "lines", "bytes"])
async def test_the_error_of_a_stream_has_no_output(port: str, mode: Any) -> None:
    async with DeviceSession(port) as session:
        got = []
        with pytest.raises(ExecutionError) as caught:
            got.extend([piece async for piece in session.stream("print('a')\n1/0", mode=mode)])
        assert (caught.value.output_bytes, caught.value.output) == (b"", "")
        with pytest.raises(ExecutionError) as caught:
            await session.execute("print('a')\n1/0")
        assert (caught.value.output_bytes, caught.value.output) == (b"a\r\n", "a\n")


class Told:
    """An asynchronous listener that is an object, and ends itself after one event."""

    def __init__(self) -> None:
        self.events: list[SessionEvent] = []
        self.threads: set[int] = set()
        self.heard = threading.Event()
        self.end: Any = None

    async def __call__(self, event: SessionEvent) -> None:
        self.events.append(event)
        self.threads.add(threading.get_ident())
        self.end()
        self.heard.set()


def test_a_listener_with_an_asynchronous_call_is_awaited(port: str) -> None:
    session, told = BlockingSession(port), Told()
    told.end = session.subscribe(told)
    with session:
        assert told.heard.wait(10)
        assert isinstance(told.events[0].session, DeviceSession)
    assert len(told.threads) == 1
    assert threading.get_ident() not in told.threads


def test_unsubscribing_goes_over_to_the_thread_of_the_loop(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = BlockingSession(port)
    ended_by: list[int] = []
    subscribe = DeviceSession.subscribe

    def watched(asynchronous: DeviceSession, listener: Any) -> Any:
        end = subscribe(asynchronous, listener)

        def watched_end() -> None:
            ended_by.append(threading.get_ident())
            end()

        return watched_end

    monkeypatch.setattr(DeviceSession, "subscribe", watched)
    events: list[SessionEvent] = []
    end = session.subscribe(events.append)
    end()
    end()
    assert ended_by
    assert threading.get_ident() not in ended_by
    with session:
        assert session.execute("print(1)").output == "1\n"
    assert events == []


def test_unsubscribing_while_the_program_ends_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    session = BlockingSession("virtual:")
    end = session.subscribe(print)
    monkeypatch.setattr("belay_py.sync.face.has_ended", lambda: True)
    end()
    monkeypatch.undo()
    end()
    session.close()
