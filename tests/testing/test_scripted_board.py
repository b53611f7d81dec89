"""What a script can make of a board, seen through a session. test_repl.py compares its prompts with recordings."""

from __future__ import annotations

import ast
import asyncio
import importlib
from pathlib import Path

import pytest

import belay_py.testing
from belay_py import (
    BoardWasReset,
    CommunicationOptions,
    DeviceNotFound,
    DeviceSession,
    DeviceSessionState,
    Disconnected,
    ExecutionError,
    Interrupted,
    OutcomeUnknown,
    ProtocolViolation,
    SessionTimeout,
)
from belay_py.testing import (
    Answer,
    Execution,
    Forever,
    HardReset,
    Instead,
    Lose,
    Pause,
    Raise,
    Read,
    ScriptedBoard,
    Silence,
    SoftReset,
    StopReading,
    SwallowInterrupts,
)
from belay_py.transports import LinkOptions, open_transport
from tests.transports.conformance import Recorder

SCRIPT: dict[str, Answer] = {
    "read()": "21.5\n",
    "slow": ("a", Pause(3), b"b\n"),
    "fail": ("before\n", Raise("OSError", "[Errno 19] ENODEV")),
    "loop": Forever(b"again\n", every=1),
    "resist": (SwallowInterrupts(2), Forever()),
    "nonsense": Instead(b"\x04nonsense\x04>"),
    "exit": ("bye\n", SoftReset()),
    "reset": HardReset(),
    "pulled": ("half", Lose("pulled")),
    "hang": Silence(),
    "deaf": (StopReading(), "done"),
    "ask": ("name? ", Read(), "thanks\n"),
}


def on_code(code: str) -> Answer:
    return SCRIPT.get(code)


async def test_programs_by_script() -> None:
    board = ScriptedBoard(on_code=on_code)
    loop = asyncio.get_running_loop()
    async with DeviceSession(board.port, operation_timeout=10) as session:
        assert session.info.machine == "A board by script"
        assert (await session.execute("read()")).output == "21.5\n"
        assert (await session.execute("unknown")).output == ""
        began = loop.time()
        assert (await session.execute("slow")).output_bytes == b"ab\n"
        assert loop.time() == began + 3
        with pytest.raises(ExecutionError, match="OSError: .Errno 19. ENODEV") as caught:
            await session.execute("fail")
        assert caught.value.output == "before\n"
        assert (await session.execute("ask", stdin="me\n")).output == "name? thanks\n"
        for code in ("loop", "resist"):
            with pytest.raises(SessionTimeout) as late:
                await session.execute(code, timeout=2.5)
            assert late.value.recovered
    kept = [execution for execution in board.executions if execution.code in ("fail", "loop", "ask")]
    assert kept == [
        Execution("fail", b"before\r\n", b"", "raised"),
        Execution("ask", b"name? thanks\r\n", b"me\r", "done"),
        Execution("loop", b"again\n" * 3, b"", "interrupted"),
    ]


async def test_restarts_by_script() -> None:
    board = ScriptedBoard(on_code=on_code)
    board.boot = "boot.py ran\n"
    async with DeviceSession(board.port) as session:
        # After a hard reset nobody can tell the end of the output from the beginning of what the boot prints.
        for code, printed in (("exit", b"bye\r\n"), ("reset", b"boot.py ran\r\n")):
            with pytest.raises(BoardWasReset) as caught:
                await session.execute(code)
            assert caught.value.output_bytes == printed
        assert "boot.py ran" in (await session.soft_reset()).output
        assert (await session.hard_reset()).epoch == 5
        assert board.boots == 5
        board.away = 1.5
        assert (await session.hard_reset()).epoch == 6
        assert (board.connections, session.generation) == (2, 2)
        assert (await session.execute("read()")).output == "21.5\n"


@pytest.mark.parametrize("code", ["pulled", "hang", "deaf", "nonsense"])
async def test_faults_by_script(code: str) -> None:
    board = ScriptedBoard(on_code=on_code)
    async with DeviceSession(board.port, recovery_timeout=1) as session:
        if code == "deaf":
            assert (await session.execute(code)).output == "done"
            with pytest.raises(SessionTimeout):
                await session.execute("read()", timeout=1)
            board.resume()
        elif code == "nonsense":
            with pytest.raises(ExecutionError, match="nonsense"):
                await session.execute(code)
        elif code == "hang":
            with pytest.raises(SessionTimeout):
                await session.execute(code, timeout=1)
            assert session.state is DeviceSessionState.ERROR
            board.silent = False
        else:
            with pytest.raises(OutcomeUnknown, match="pulled"):
                await session.execute(code)
        await session.connect()
        assert (await session.execute("read()")).output == "21.5\n"


async def test_what_happens_behind_the_sessions_back() -> None:
    board = ScriptedBoard(on_code=on_code)
    async with DeviceSession(board.port) as session:
        board.leave_raw()
        with pytest.raises(ProtocolViolation, match="friendly prompt"):
            await session.execute("read()")
        assert board.executions == []
        board.window = 32
        with pytest.raises(ProtocolViolation, match="from 128 to 32"):
            await session.execute("read()")
        board.abort_upload(10, "SyntaxError: invalid syntax")
        with pytest.raises(ExecutionError, match="SyntaxError"):
            await session.execute("x = = 1\n" * 50)
        running = asyncio.create_task(session.execute("loop", timeout=3600))
        await asyncio.sleep(1800)
        assert board.running
        assert await session.interrupt()
        with pytest.raises(Interrupted):
            await running
        board.unplug()
        await asyncio.sleep(1)
        with pytest.raises(Disconnected, match="unplugged"):
            await session.execute("read()")
        with pytest.raises(DeviceNotFound, match="plug it in"):
            await session.connect()
        board.replug()
        await session.connect()
        assert session.boot_epoch == 2


async def test_a_thousand_lines_typed_ahead_run_one_after_the_other() -> None:
    board = ScriptedBoard(on_code=lambda code: Pause(1) if code == "first" else "done\n", mode="friendly")
    recorder = Recorder()
    transport = await open_transport(board.port, recorder, LinkOptions())
    transport.write(b"first\r" + b"next\r" * 1000)
    await asyncio.sleep(2)
    assert len(board.executions) == 1001
    assert recorder.data.endswith(b"done\r\n>>> ")
    transport.abort()


@pytest.mark.parametrize("raw_paste", ["supported", "refused", "unknown"])
@pytest.mark.parametrize("chunks", [0, 1])
async def test_kinds_of_boards(raw_paste: str, chunks: int) -> None:
    board = ScriptedBoard("a name", on_code=on_code, raw_paste=raw_paste, chunks=chunks, marks=False)  # type: ignore[arg-type]  # a parameter's values
    assert board.port == "memory:a name"
    async with DeviceSession(board.port, communication=CommunicationOptions(dtr=False)) as session:
        assert session.info.capabilities.raw_paste is (raw_paste == "supported")
        assert not session.info.capabilities.marked_output
        assert (await session.execute("read()")).output == "21.5\n"
        assert board.connected
    assert board.lines == [(False, None)]
    assert board.received.endswith(b"\x02")


def test_every_public_name_is_there_and_seen_by_type_checkers() -> None:
    tree = ast.parse(Path(belay_py.testing.__file__).read_text(encoding="utf-8"))
    checked = {
        (node.module, alias.name) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    } - {("typing", "TYPE_CHECKING"), ("__future__", "annotations")}
    assert checked == {(module, name) for module, names in belay_py.testing._HOMES.items() for name in names}
    for module, name in checked:
        assert getattr(belay_py.testing, name) is getattr(importlib.import_module(str(module)), name)
    assert set(belay_py.testing.__all__) <= set(dir(belay_py.testing))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = belay_py.testing.Nonsense
