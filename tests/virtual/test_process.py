"""The board's process, its owner, and what is left when either ends."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

from belay_py import DeviceSession
from belay_py.errors import BelayError, DeviceBusy, DeviceNotFound, VirtualBoardUnavailable
from belay_py.virtual import BoardProcess, VirtualBoard, VirtualBoardOptions, open_board, running
from belay_py.virtual.options import parse_url

from .conftest import Client, eventually, open_descriptors, process_exists

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_one_wire_at_a_time_and_the_second_is_told_who(make_board: Callable[..., BoardProcess]) -> None:
    board = make_board()
    first = board.open_wire(holder="the first")
    with pytest.raises(DeviceBusy, match="open as the first") as caught:
        board.open_wire()
    assert caught.value.holder == "the first"
    Client(first).enter_raw()
    first.close()
    with board.open_wire() as end:
        Client(end).enter_raw()


def test_a_closed_wire_frees_the_port_at_once_and_the_program_runs_on(make_board: Callable[..., BoardProcess]) -> None:
    board = make_board()
    for n in range(50):
        with board.open_wire() as end:
            client = Client(end)
            client.enter_raw()
            assert client.output("x = globals().get('x', 0) + 1\nprint(x)") == f"{n + 1}\r\n"


def test_closing_leaves_nothing(make_board: Callable[..., BoardProcess]) -> None:
    make_board().close()
    before, threads = open_descriptors(), threading.active_count()
    board = BoardProcess()
    board.start()
    pid = board.pid
    assert pid is not None
    end = board.open_wire()
    board.close()
    board.close()
    assert not process_exists(pid)
    assert Client(end).read_to_end() is not None
    end.close()
    assert open_descriptors() == before
    assert threading.active_count() == threads
    with pytest.raises(BelayError, match="is closed"):
        board.open_wire()
    with pytest.raises(BelayError, match="is closed"):
        board.start()


@pytest.mark.parametrize("code", ["while True: pass", "while True: print('x' * 1000)", "input()"])
def test_close_is_quick_whatever_the_board_does(make_board: Callable[..., BoardProcess], code: str) -> None:
    board = make_board()
    with board.open_wire() as end:
        client = Client(end)
        client.enter_raw()
        client.send(code.encode() + b"\x04")
        client.read_until(b"OK")
        board.close()
        assert not board.is_running


def test_when_the_process_dies_calls_say_so_and_wires_end(make_board: Callable[..., BoardProcess]) -> None:
    board = make_board()
    with board.open_wire() as end:
        client = Client(end)
        client.enter_raw()
        assert board.pid is not None
        os.kill(board.pid, signal.SIGKILL)
        client.read_to_end()
        for call in (board.reset, board.open_wire, board.unplug):
            with pytest.raises(BelayError, match=r"is gone .*make a new one"):
                call()
    assert not board.is_running


def test_a_killed_owner_takes_its_boards_along() -> None:
    code = (
        "from belay_py.virtual import BoardProcess\n"
        "b = BoardProcess(); b.start(); w = b.open_wire()\n"
        "w.setblocking(True); w.sendall(b'while True: pass\\r\\r\\r')\nprint(b.pid, flush=True)\ninput()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert process_exists(pid)
    owner.kill()
    owner.communicate()
    eventually(lambda: not process_exists(pid), "the board's end")


def test_ctrl_c_in_the_terminal_is_not_for_the_board(make_board: Callable[..., BoardProcess]) -> None:
    board = make_board()
    with board.open_wire() as end:
        client = Client(end)
        client.enter_raw()
        assert board.pid is not None
        os.kill(board.pid, signal.SIGINT)
        assert client.output("print(1)") == "1\r\n"


def test_a_busy_board_answers_its_owner(make_board: Callable[..., BoardProcess]) -> None:
    board = make_board()
    with board.open_wire() as end:
        client = Client(end)
        client.enter_raw()
        client.send(b"while True: pass\x04")
        client.read_until(b"OK")
        board.set_adc(1, 5)
        assert board.pin(1) is None


def test_without_wasmtime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wasmtime", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(VirtualBoardUnavailable, match=r'pip install "belay_py\[virtual\]"'):
        BoardProcess().start()


def test_a_board_that_cannot_start_says_why_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    before = open_descriptors()
    monkeypatch.setenv("BELAY_VIRTUAL_WASM", f"{tmp_path}/none")
    board = BoardProcess()
    with pytest.raises(VirtualBoardUnavailable, match="cannot be read"):
        board.start()
    assert not board.is_running
    assert open_descriptors() == before


def test_sixteen_boards_at_once() -> None:
    boards = [BoardProcess() for _ in range(16)]
    starters = [threading.Thread(target=board.start) for board in boards]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    try:
        clients = []
        for board in boards:
            clients.append(Client(board.open_wire()))
            clients[-1].enter_raw()
        for n, client in enumerate(clients):
            client.send(b"\x05A\x01import time\ntime.sleep(.05)\nprint(%d)\x04" % n)
        for n, client in enumerate(clients):
            assert client.read_until(b"\x04>").endswith(b"\x04%d\r\n\x04\x04>" % n)
            client.socket.close()
    finally:
        for board in boards:
            board.close()


# -- the asyncio face and names


async def test_virtual_board() -> None:
    async with VirtualBoard(window=64) as board:
        assert board.port.startswith("virtual:board-")
        with open_board(board.port).open_wire() as end:
            client = Client(end)
            client.send(b"\r\x03\x01")
            await asyncio.to_thread(client.read_until, b"raw REPL; CTRL-B to exit\r\n>")
            client.send(b"\x05A\x01")
            assert client.read_exactly(5) == b"R\x01\x40\x00\x01"
            client.send(b"from machine import *\nPin(3, Pin.OUT, value=1)\nprint(ADC(2).read_u16())\x04")
            client.read_until(b"\x04>")
        assert await board.pin(3) == 1
        await board.set_adc(2, 7)
        await board.set_pin(4, 1)
        await board.unplug()
        with pytest.raises(DeviceNotFound):
            board.open_wire()
        await board.replug()
        await board.reset()
    await board.close()
    assert not board.process.is_running


async def test_a_cancelled_start_leaves_no_board() -> None:
    board = VirtualBoard()
    task = asyncio.create_task(board.start())
    while board.process.pid is None:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not board.process.is_running
    assert board.process.name not in running._boards


async def test_a_second_start_that_is_cancelled_ends_no_board() -> None:
    async with VirtualBoard() as board:
        second = asyncio.create_task(board.start())
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        assert board.process.is_running


async def test_a_name_is_taken_once() -> None:
    async with VirtualBoard("bench") as board:
        await board.start()  # it is its own
        for start in (VirtualBoard("bench").start, partial(asyncio.to_thread, BoardProcess("bench").start)):
            with pytest.raises(DeviceBusy, match="exists already"):
                await start()


@pytest.mark.parametrize("make", [lambda: VirtualBoard().process, BoardProcess, lambda: open_board("virtual:")])
def test_the_port_of_a_board_is_its_own_whoever_has_started_it(make: Callable[[], BoardProcess]) -> None:
    with make() as board:
        assert open_board(board.port) is board
    with open_board(board.port) as other:
        assert other is not board, "a closed one is nobody's port any more"


def test_a_board_that_could_not_be_started_can_be_later_and_one_that_is_gone_cannot(tmp_path: Path) -> None:
    board = BoardProcess(None, VirtualBoardOptions(folder=tmp_path / "files"))
    with pytest.raises(VirtualBoardUnavailable, match="there is no folder"):
        board.start()
    assert board.name not in running._boards
    (tmp_path / "files").mkdir()
    with board:
        assert board.pid is not None
        os.kill(board.pid, signal.SIGKILL)
        os.waitid(os.P_PID, board.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(BelayError, match="is gone; make a new one"):
            board.start()
        with open_board(board.port) as other:
            assert other.is_running


def test_threads_that_open_one_name_get_one_board_that_runs() -> None:
    with ThreadPoolExecutor(4) as threads:
        boards = list(
            threads.map(lambda _: (found := open_board("virtual:wanted-by-many"), found.is_running), range(4))
        )
    with boards[0][0]:
        assert {(id(board), runs) for board, runs in boards} == {(id(boards[0][0]), True)}


@pytest.mark.parametrize("port", ["virtual:", "virtual:left-open"])
@pytest.mark.parametrize("make", ["sync.DeviceSession(port).connect()", "manager.create_session('a', port)"])
def test_sessions_that_are_open_when_the_program_ends_are_closed_before_their_boards(port: str, make: str) -> None:
    code = f"""
import atexit
reasons = []
atexit.register(lambda: print(reasons))
from belay_py import sync
from belay_py.events import SessionDisconnected
async def listen(event):
    if isinstance(event, SessionDisconnected):
        reasons.append(event.reason)
port, manager = {port!r}, sync.DeviceSessionManager()
session = sync.DeviceSession(port)
(manager if 'manager' in {make!r} else session).subscribe(listen)
{make.replace("sync.DeviceSession(port)", "session")}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout in ("['requested']\n", "['shutdown']\n")


def test_a_board_of_a_session_that_nobody_closed_ends_with_it() -> None:
    async def forget_to_close() -> int | None:
        session = DeviceSession("virtual:")
        await session.connect()
        (board,) = (board for name, board in running._boards.items() if name not in before)
        return board.pid

    before = set(running._boards)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it was forgotten
        pid = asyncio.run(forget_to_close())
        gc.collect()
    assert pid is not None
    eventually(lambda: not process_exists(pid), "the board's end")
    assert set(running._boards) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_ends_none_of_its_parents_boards_and_asks_them_nothing() -> None:
    code = """
import os, signal
from belay_py.errors import BelayError
from belay_py.virtual import BoardProcess
with BoardProcess() as board:
    with board._lock:  # as if another thread were in there
        child = os.fork()
        if not child:
            signal.alarm(30)
            for call in (board.reset, board.start):
                try:
                    call()
                except BelayError as error:
                    print(str(error).partition("; ")[2])
            raise SystemExit  # out of the block, which closes the board
        os.waitpid(child, 0)
    print(board.pin(1))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "start another board here\n" * 2 + "None\n", done.stderr


def test_named_boards_are_kept_and_anonymous_ones_are_new() -> None:
    first = open_board("virtual:kept?window=32&raw_paste=refused")
    try:
        assert open_board("virtual:kept") is first
        assert open_board("virtual:kept?window=32&raw_paste=refused") is first
        with pytest.raises(DeviceBusy, match="other options"):
            open_board("virtual:kept?window=33")
        assert first.options == VirtualBoardOptions(window=32, raw_paste="refused")
        with open_board("virtual:") as one, open_board("virtual:") as other:
            assert one.port != other.port
    finally:
        running.close_boards()
    assert not first.is_running


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("virtual:x?windw=3", "did you mean 'window'"),
        ("virtual:x?raw-paste=on", "did you mean 'raw_paste'"),
        ("virtual:x?window=big", "window: invalid literal"),
        ("virtual:x?window=0", "window must be between"),
        ("virtual:x?raw_paste=maybe", "one of on, refused, absent"),
        ("virtual:x?keeps_power=perhaps", "yes or no"),
        ("virtual:a/b", "cannot name a virtual board"),
        ("socket:x", "write 'virtual:'"),
    ],
)
def test_a_wrong_url_says_what_is_right(url: str, hint: str) -> None:
    with pytest.raises(DeviceNotFound, match=hint):
        parse_url(url)


def test_urls() -> None:
    assert parse_url("virtual:") == (None, None)
    assert parse_url("virtual:a.b-1") == ("a.b-1", None)
    name, options = parse_url("virtual:n?unique_id=01ff&keeps_power=1&folder=/tmp&overrun=drop")
    assert name == "n"
    assert options == VirtualBoardOptions(unique_id=b"\x01\xff", keeps_power=True, folder="/tmp", overrun="drop")
    assert VirtualBoardOptions.from_json(options.to_json()) == options


def test_everything_public_is_there() -> None:
    import belay_py.virtual

    assert sorted(belay_py.virtual.__all__) == belay_py.virtual.__all__
    for name in belay_py.virtual.__all__:
        assert getattr(belay_py.virtual, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = belay_py.virtual.nothing
