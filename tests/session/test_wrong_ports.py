"""Ports that are no board, each told within its deadline, in one line that says what to do, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from belay_py import ConnectionFailed, DeviceBusy, DeviceNotFound, DeviceSession, DeviceSessionState
from belay_py.devices.locks import take
from tests.transports.conformance import PATIENCE, descriptors
from tests.transports.links import pty
from tests.workers import join_workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py import BelayError

SHORT = 0.7
"""Seconds that a board would need far less of."""


def children() -> set[int]:
    """The processes that this one has started, zombies included."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):  # it ended meanwhile
                fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[1]) == os.getpid():
                    found.add(int(folder.name))
    return found


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No descriptor, process or thread."""
    before, families = descriptors(), children()
    yield
    join_workers()
    assert descriptors() <= before
    assert children() <= families


async def refused(
    port: str, error: type[BelayError], message: str, *, timeout: float = SHORT, baudrate: int = 115200
) -> None:
    """Connecting ends in one error of one line, twice, and the board's lock is free."""
    session = DeviceSession(port, connection_timeout=timeout, baudrate=baudrate)
    for _ in range(2):
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(error, match=message) as caught:
                await session.connect()
        assert type(caught.value) is error
        assert "\n" not in str(caught.value)
        assert re.search(r"[?:;,.] \S", str(caught.value)), "says what to do"
        assert session.state is DeviceSessionState.ERROR
    take(port).release()
    await session.close()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("process+pty:sh -i", "no MicroPython prompt on .*; the board sent .*sh: "),
        ("process+pty:cat", "no MicroPython prompt on .*; the board sent"),
        ("process:cat", "no MicroPython prompt on .*; the board sent"),
        ("process:sleep 1000", "no answer on process:sleep 1000 within 0.7 s. Is it a MicroPython board"),
        ("process:sh -c 'yes >&2; true'", "no answer on process:sh"),
        ("process+pty:sleep 1000", "no answer on .*baudrate"),
        ("process:yes", r"no MicroPython prompt on process:yes .*; the board sent b'.*y\\ny"),
        ("process+pty:yes '>>> '", "no MicroPython prompt on .*; the board sent"),
        (r"process:yes 'raw REPL; CTRL-B to exit'", "no MicroPython prompt on .*; the board sent"),
        ("process:cat /dev/urandom", "no MicroPython prompt on .*; the board sent"),
        ("loop://", "no MicroPython prompt on loop:// .*; the board sent"),
    ],
)
async def test_programs_that_are_no_board(command: str, message: str) -> None:
    await refused(command, ConnectionFailed, message)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("sh -c 'echo wrong cable >&2; exit 3'", r"has ended with status 3 \(wrong cable\): "),
        ("sh -c 'head -c 1 >&2; exit 4'", "has ended with status 4"),
        ("true", "has ended with status 0: "),
        ("sh -c 'kill -9 $$'", "was ended by SIGKILL: "),
    ],
)
async def test_a_program_that_ends_while_connecting(command: str, message: str) -> None:
    await refused(f"process:{command}", ConnectionFailed, message, timeout=PATIENCE)


async def test_a_port_that_vanishes_while_connecting() -> None:
    master, slave = os.openpty()
    path = os.ttyname(slave)
    loop = asyncio.get_running_loop()

    def unplug() -> None:
        loop.remove_reader(master)
        os.close(master)
        os.close(slave)

    loop.add_reader(master, unplug)
    session = DeviceSession(path, connection_timeout=PATIENCE)
    with pytest.raises(ConnectionFailed, match=f"{path} .*lost during the handshake"):
        await session.connect()
    with pytest.raises(DeviceNotFound, match=f"there is no {path}"):
        await session.connect()
    await session.close()


_HOLDERS = {
    "as mpremote does": "import serial, sys; held = serial.Serial(sys.argv[1], exclusive=True)",
    "as we do": "import sys; from belay_py.devices.locks import take; held = take(sys.argv[1])",
}


def hold(path: str, code: str) -> subprocess.Popen[str]:
    """A process that holds a port until it reads a line."""
    code = f"{code}; print(1, flush=True); input()"
    return subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("code", _HOLDERS.values(), ids=_HOLDERS.keys())
async def test_a_port_that_another_process_holds(code: str) -> None:
    with (
        pty() as (_, path),
        hold(path, code) as holder,
    ):
        assert holder.stdout is not None
        assert await asyncio.to_thread(holder.stdout.readline) == "1\n"
        session = DeviceSession(path, connection_timeout=SHORT)
        with pytest.raises(DeviceBusy, match=f"{path} is in use by pid {holder.pid} .*: end that, or wait") as caught:
            await session.connect()
        assert caught.value.holder is not None
        assert caught.value.holder.startswith(f"pid {holder.pid} ({sys.executable} -c ")
        await session.close()
        holder.communicate("\n")


async def test_files_that_are_no_ports(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    await refused(str(tmp_path), ConnectionFailed, "is a directory, not a serial port: name one such as")
    await refused(str(file), ConnectionFailed, "is a regular file, not a serial port: name one such as")
    await refused("/dev/null", ConnectionFailed, "is a device, but not a serial port: name one such as")
    await refused("/dev/full", ConnectionFailed, "is a device, but not a serial port: name one such as")
    await refused(str(tmp_path / "none"), DeviceNotFound, "there is no .*none")
    await refused(str(file / "x"), DeviceNotFound, "there is no .*x")
    await refused(str(tmp_path / ("x" * 300)), DeviceNotFound, "there is no .*xxx")


async def test_a_full_pipe(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    end = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        with contextlib.suppress(BlockingIOError):
            while os.write(end, bytes(4096)):
                pass
        await refused(str(fifo), ConnectionFailed, "is a pipe, not a serial port")
    finally:
        os.close(end)


async def test_a_program_that_reads_nothing() -> None:
    command = "process:sh -c 'exec <&-; exec sleep 1000'"
    await refused(command, ConnectionFailed, "has closed its standard input", timeout=PATIENCE)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may open everything")
async def test_a_port_without_permission() -> None:
    with pty() as (_, path):
        os.chmod(path, 0)  # noqa: PTH101  ruff takes pathlib's for blocking
        await refused(path, ConnectionFailed, "no permission to open")


async def test_a_rate_that_no_driver_takes() -> None:
    with pty() as (_, path):
        await refused(path, ConnectionFailed, "baud: use a whole number such as 115200", baudrate=2**31)


async def test_a_command_that_does_not_exist() -> None:
    await refused(
        f"process:{shlex.quote('no such command')} x", ConnectionFailed, "there is no command 'no such command'"
    )
