"""A faulty wire in its own process: on pseudo-terminals and sockets, to real MicroPython and to bare descriptors."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import tty
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from belay_py import DeviceSession
from belay_py.errors import BelayError, DeviceNotFound, Disconnected, OutcomeUnknown, SettingsError
from belay_py.testing import Corrupt, Cut, Drop, Duplicate, FaultyWire, ScriptedBoard, Stall
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Board

Kind = Literal["pty", "socket", "memory"]
PATIENCE = 30


@contextmanager
def bare_board() -> Iterator[tuple[int, str]]:
    """The board's end as a descriptor, and its port."""
    master, slave = os.openpty()
    tty.setraw(slave)
    try:
        yield master, os.ttyname(slave)
    finally:
        os.close(slave)
        os.close(master)


@contextmanager
def bare_client(port: str) -> Iterator[int]:
    fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
    try:
        yield fd
    finally:
        os.close(fd)


def read(fd: int, count: int) -> bytes:
    """Read so many bytes, or to the end."""
    data = b""
    while len(data) < count:
        assert select.select([fd], [], [], PATIENCE)[0]
        try:
            piece = os.read(fd, count - len(data))
        except OSError:  # EIO of a terminal that was hung up
            break
        if not piece:
            break
        data += piece
    return data


async def until(condition: object) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # type: ignore[operator]  # a callable
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("kind", ["pty", "socket", "memory"])
async def test_a_session_through_a_wire_that_is_cut_and_plugged_in_again(board: Board, kind: Kind) -> None:
    async with FaultyWire(board.port, kind) as wire, DeviceSession(wire.port, reconnect_delay=0.01) as session:
        assert (await session.execute("print(6 * 7)")).output == "42\n"
        await session.execute("kept = 1")
        wire.to_host.at(wire.to_host.passed + 20, Cut())
        with pytest.raises((OutcomeUnknown, Disconnected)):
            await session.execute("print('x' * 1000)")
        await wire.until_cut()
        await wire.replug()
        await session.reconnect()
        assert (await session.execute("print(kept)")).output == "1\n"  # the board saw nothing


@pytest.mark.parametrize("kind", ["pty", "socket"])
async def test_a_cut_delivers_all_that_is_before_it_to_a_client_that_reads_late(kind: Kind) -> None:
    with bare_board() as (board, port):
        async with FaultyWire(port, kind) as wire:
            for place in (1, 100, 700, 4000):
                await wire.reset()
                wire.to_host.at(place, Cut())
                reader, writer = await _open(wire.port)
                with writer:
                    await until(partial(_is_connected, wire, board, reader))
                    sent = os.write(board, bytes(index % 251 for index in range(4095)))
                    assert sent > place
                    await until(lambda place=place: wire.to_host.passed == place)
                    got = await asyncio.to_thread(read, reader, 5000)
                assert got == bytes(index % 251 for index in range(place))
                await wire.until_cut()
                _forget(board)


def _forget(board: int) -> None:
    while select.select([board], [], [], 0)[0]:
        os.read(board, 4096)


async def _open(port: str) -> tuple[int, _Closer]:
    if port.startswith("socket:"):
        host, _, number = port.removeprefix("socket://").rpartition(":")
        end = await asyncio.to_thread(socket.create_connection, (host, int(number)))
        return end.fileno(), _Closer(end.detach())
    fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
    return fd, _Closer(fd)


class _Closer:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _is_connected(wire: FaultyWire, board: int, client: int) -> bool:
    """A byte to the board shows that the wire has let the client in, which TCP does not tell."""
    os.write(client, b"?")
    return bool(select.select([board], [], [], 0)[0]) and wire.to_board.passed > 0


async def test_bytes_to_the_board_are_cut_exactly() -> None:
    with bare_board() as (board, port):
        async with FaultyWire(port) as wire:
            for place in (1, 50, 2000):
                await wire.reset()
                wire.to_board.at(place, Cut())
                with bare_client(wire.port) as client:
                    os.write(client, bytes(index % 251 for index in range(3000)))
                    await wire.until_cut()
                    assert read(client, 1) == b""
                assert wire.to_board.passed == place
                assert read(board, place) == bytes(index % 251 for index in range(place))
                assert not select.select([board], [], [], 0)[0]


async def test_other_faults_at_a_byte() -> None:
    with bare_board() as (board, port):
        async with FaultyWire(port) as wire:
            with bare_client(wire.port) as client:
                wire.to_board.at(1, Drop())
                wire.to_board.at(2, Corrupt(0x20))
                wire.to_board.at(4, Duplicate())
                wire.to_board.at(6, Stall())
                os.write(client, b"abcdefgh")
                assert read(board, 6) == b"aCdeef"
                assert wire.to_board.armed == []
                await until(lambda: wire.to_board.stalled)
                assert not select.select([board], [], [], 0)[0]
                wire.to_board.resume()
                assert read(board, 2) == b"gh"


@pytest.mark.parametrize("rate", [None, 10_000_000])
async def test_nothing_is_lost_when_both_sides_send_more_than_the_wire_holds(rate: int | None) -> None:
    data = os.urandom(300_000)
    with bare_board() as (board, port):
        async with FaultyWire(port, baudrate=rate) as wire:
            with bare_client(wire.port) as client:
                got: dict[int, bytes] = {}

                def send(fd: int) -> None:
                    left = memoryview(data)
                    while left:
                        left = left[os.write(fd, left[:4096]) :]

                def receive(fd: int) -> None:
                    got[fd] = read(fd, len(data))

                threads = [
                    threading.Thread(target=work, args=(fd,)) for fd in (board, client) for work in (send, receive)
                ]
                for thread in threads:
                    thread.start()
                await until(lambda: not any(thread.is_alive() for thread in threads))
                assert got == {board: data, client: data}
                assert (wire.to_board.passed, wire.to_host.passed) == (len(data), len(data))


async def test_what_a_board_says_to_nobody_is_lost_and_a_client_that_only_listens_is_heard() -> None:
    with bare_board() as (board, port):
        async with FaultyWire(port) as wire:
            os.write(board, b"boot")
            with bare_client(port) as other_end:
                await until(lambda: not select.select([other_end], [], [], 0)[0])
            with bare_client(wire.port) as client:
                os.write(board, b"hello")
                assert read(client, 5) == b"hello"
                assert wire.to_host.passed == 5


async def test_a_pty_keeps_its_name_through_a_cut_unless_another_is_asked_for(tmp_path: Path) -> None:
    link, other = tmp_path / "board", tmp_path / "moved"
    with bare_board() as (_, port):
        async with FaultyWire(port, link=link) as wire:
            assert wire.port == str(link)
            with pytest.raises(SettingsError, match="exists"):
                await FaultyWire("virtual:", link=link).start()
            await wire.cut()
            assert not link.is_symlink()
            await wire.replug()
            assert (wire.port, link.is_symlink()) == (str(link), True)
            await wire.unplug()
            await wire.replug(other)
            assert (wire.port, link.is_symlink(), other.is_symlink()) == (str(other), False, True)
        assert not other.is_symlink()


async def test_a_socket_keeps_its_number_and_has_one_user() -> None:
    with bare_board() as (board, port):
        async with FaultyWire(port, "socket") as wire:
            before = wire.port
            assert before.startswith("socket://127.0.0.1:")
            await wire.cut()
            with pytest.raises(OSError, match="refused"):
                await _open(wire.port)
            await wire.replug()
            assert wire.port == before
            client, closer = await _open(wire.port)
            with closer:
                await until(lambda: _is_connected(wire, board, client))
                second, closer_of_second = await _open(wire.port)
                with closer_of_second:
                    assert await asyncio.to_thread(read, second, 1) == b""


async def test_a_board_that_goes_takes_the_port_along_and_comes_back_by_a_replug() -> None:
    async with VirtualBoard() as board, FaultyWire(board.port) as wire:
        await board.unplug()
        await wire.until_cut()
        assert not wire.has_board
        with pytest.raises(DeviceNotFound):
            await wire.replug()
        await board.replug()
        await wire.replug()
        async with DeviceSession(wire.port) as session:
            assert (await session.execute("print(1)")).output == "1\n"


async def test_a_port_that_has_no_descriptor_is_passed_on() -> None:
    board = ScriptedBoard(on_code=lambda code: "hello\n")
    async with FaultyWire(board.port, "pty") as wire:
        async with DeviceSession(wire.port) as session:
            assert (await session.execute("hello")).output == "hello\n"
        board.unplug()
        await wire.until_cut()
    assert not board.connected


async def test_a_half_open_wire_is_silent() -> None:
    with bare_board() as (board, port):
        async with FaultyWire(port) as wire:
            with bare_client(wire.port) as client:
                wire.half_open()
                os.write(client, b"lost")
                os.write(board, b"lost")
                await wire.cut()
                assert read(client, 1) == b""
            await wire.replug()
            with bare_client(wire.port) as client:
                os.write(client, b"found")
                assert read(board, 5) == b"found"


# -- nothing is left


def _children() -> set[int]:
    return {int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


def _open_files(pid: int | str = "self") -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _state() -> tuple[int, set[int], list[Path]]:
    return _open_files(), _children(), sorted(Path(tempfile.gettempdir()).glob("belay-wire-*"))


def _threads() -> int:
    return threading.active_count()


@pytest.mark.parametrize("kind", ["pty", "socket", "memory"])
async def test_nothing_grows_with_wires_and_faults(kind: Kind) -> None:
    with bare_board() as (_, port):

        async def use() -> None:
            async with FaultyWire(port, kind) as wire:
                for _ in range(20):
                    await wire.cut()
                    await wire.reset()
                if wire.pid is not None:
                    before = _open_files(wire.pid)
                    for _ in range(20):
                        await wire.unplug()
                        await wire.replug()
                    assert _open_files(wire.pid) == before

        await use()
        before, threads = _state()[:2], _threads()
        for _ in range(3):
            await use()
        assert _state()[:2] == before
        await until(lambda: _threads() <= threads)  # one that opened a port ends after it has handed that over


async def test_a_wire_that_could_not_be_made_leaves_nothing() -> None:
    before = _state()[:2]
    with pytest.raises(BelayError):
        await FaultyWire("/dev/does-not-exist").start()
    with bare_board() as (_, port), pytest.raises(SettingsError, match="choose another port"):
        await FaultyWire(port, "socket", link="192.0.2.1:1").start()
    assert _state()[:2] == before


async def test_a_killed_engine_is_an_error_and_leaves_nothing() -> None:
    with bare_board() as (_, port):
        wire = FaultyWire(port)
        await wire.start()
        link = Path(wire.port)
        assert wire.pid is not None
        os.kill(wire.pid, signal.SIGKILL)
        with pytest.raises(BelayError, match="the wire's process is gone; make a new wire"):
            await until(lambda: wire.to_host.passed < 0)
        await wire.close()
        assert not link.parent.exists()
        async with FaultyWire(port):  # the board's port is free
            pass


@pytest.mark.parametrize("named", [True, False])
def test_an_engine_ends_with_its_killed_owner_and_takes_its_link_along(tmp_path: Path, *, named: bool) -> None:
    code = """
import asyncio, sys
from belay_py.testing import FaultyWire
async def main():
    async with FaultyWire(sys.argv[1], link=sys.argv[2] or None) as wire:
        print(wire.pid, wire.port, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    link = tmp_path / "link"
    with bare_board() as (_, port):
        owner = subprocess.Popen([sys.executable, "-c", code, port, str(link) if named else ""], stdout=subprocess.PIPE)
        assert owner.stdout is not None
        with owner.stdout:
            pid, _, made = owner.stdout.readline().decode().strip().partition(" ")
            engine = os.pidfd_open(int(pid))
            owner.kill()
            owner.wait()
        try:
            assert select.select([engine], [], [], PATIENCE)[0]
        finally:
            os.close(engine)
        assert not Path(made).is_symlink()
        assert Path(made).parent.exists() == named  # the temporary folder goes, too


def test_what_is_no_port_and_no_link_is_refused() -> None:
    with pytest.raises(SettingsError, match="a wire's board is None; it must be text, a path or a URL"):
        FaultyWire(None)  # type: ignore[arg-type]  # the point of it
    with pytest.raises(SettingsError, match="a wire's link is 4000; it must be a path or an address"):
        FaultyWire("virtual:", "socket", link=4000)  # type: ignore[arg-type]  # as above
