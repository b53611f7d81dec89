"""The emulated Pico behaves as a Pico does, seen with nothing but `os.read` and `os.write`."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import termios
import time
import tty
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from . import artifacts
from .board import PicoBoard

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 20.0
RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"


class Wire:
    """The port's descriptor, and reading from it up to known bytes."""

    def __init__(self, port: str) -> None:
        self._descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._descriptor)
        termios.tcflush(self._descriptor, termios.TCIOFLUSH)

    def close(self) -> None:
        os.close(self._descriptor)

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]

    def read_until(self, *ends: bytes) -> bytes:
        deadline = time.monotonic() + TIMEOUT
        seen = b""
        while not seen.endswith(ends):
            readable, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"none of {ends} after {TIMEOUT} s in {seen!r}"
            seen += os.read(self._descriptor, 4096)
        return seen

    def ask_until_it_answers(self) -> None:
        """Find the raw prompt of a board that resets: what arrives before it is down goes down with it."""
        deadline = time.monotonic() + TIMEOUT
        answers: list[int] = []
        while not answers:
            assert time.monotonic() < deadline, f"no answer after {TIMEOUT} s"
            self.write(b"\r\x03\x03\x01")
            answers, _, _ = select.select([self._descriptor], [], [], 1.0)
        self.write(b"\x05A\x01print('with ' + 'you')\x04")
        self.read_until(b"with you\r\n\x04\x04>")  # and whatever the earlier questions brought

    def execute(self, code: str) -> bytes:
        """Run code that fits two windows, in one write, and return its output; it must not fail."""
        self.write(b"\x05A\x01" + code.encode() + b"\x04")
        response = self.read_until(b"\x04>")
        assert response.startswith(b"R\x01\x80\x00\x01\x04")
        assert response.endswith(b"\x04\x04>"), response
        return response[6:-3]


@pytest.fixture
def wire(pico_port: str) -> Iterator[Wire]:
    """Give the port at a raw prompt."""
    wire = Wire(pico_port)
    wire.write(b"\r\x03\x03\x01")
    wire.read_until(RAW_PROMPT)
    yield wire
    wire.close()


def test_firmware_is_the_version_asked_for(wire: Wire, request: pytest.FixtureRequest) -> None:
    version = request.node.callspec.params["pico_board"].encode()
    answer = wire.execute("import sys, os; print(sys.platform, sys.implementation[2], os.uname().version)")
    assert answer.startswith(b"rp2 Raspberry Pi Pico with RP2040 " + version)


def test_raw_paste_grants_windows_of_128_bytes(wire: Wire) -> None:
    code = b"#" * 1000 + b"\nprint('done')"
    wire.write(b"\x05A\x01")
    assert wire.read_until(b"\x01\x80\x00\x01") == b"R\x01\x80\x00\x01"
    credit = 2 * 128
    while code:
        if credit == 0:
            credit = 128 * len(wire.read_until(b"\x01"))  # two may come at once
        part, code = code[:credit], code[credit:]
        wire.write(part)
        credit -= len(part)
    wire.write(b"\x04")
    assert wire.read_until(b"\x04>").lstrip(b"\x01") == b"\x04done\r\n\x04\x04>"


def test_interrupt_ends_a_tight_loop(wire: Wire) -> None:
    wire.write(b"\x05A\x01print('running')\nwhile True: pass\x04")
    wire.read_until(b"running\r\n")
    wire.write(b"\x03")
    assert wire.read_until(b"\x04>").endswith(b"KeyboardInterrupt: \r\n\x04>")
    assert wire.execute("print(1 + 1)") == b"2\r\n"


def test_file_outlives_a_soft_reset_and_variables_do_not(wire: Wire) -> None:
    wire.execute("kept = 1; f = open('kept.txt', 'w'); f.write('on littlefs'); f.close()")
    wire.write(b"\x04")
    assert wire.read_until(RAW_PROMPT).startswith(b"OK\r\nMPY: soft reboot\r\n")
    assert wire.execute("import os; print(open('kept.txt').read(), 'kept' in dir()); os.remove('kept.txt')") == (
        b"on littlefs False\r\n"
    )


def test_file_outlives_a_hard_reset(wire: Wire) -> None:
    wire.execute("f = open('kept.txt', 'w'); f.write('on littlefs'); f.close()")
    wire.write(b"\x05A\x01import machine; machine.reset()\x04")
    assert wire.read_until(b"\x04") == b"R\x01\x80\x00\x01\x04"
    wire.ask_until_it_answers()
    assert wire.execute("import os; print(open('kept.txt').read()); os.remove('kept.txt')") == b"on littlefs\r\n"


def test_sleep_lasts_as_long_as_it_says(wire: Wire) -> None:
    before = time.monotonic()
    wire.execute("import time; time.sleep_ms(300)")
    # A lower bound only: how much longer it takes is the machine's affair.
    assert time.monotonic() - before >= 0.29


def test_output_waits_for_a_slow_reader(wire: Wire) -> None:
    line = b"0123456789" * 10 + b"\r\n"
    # 30 KB: many times what the pty and the emulator hold, so the board has to wait for the reader again and again.
    assert wire.execute("for i in range(300): print('0123456789' * 10)") == line * 300


def test_port_may_be_closed_and_opened_again(pico_port: str) -> None:
    for _ in range(3):
        wire = Wire(pico_port)
        wire.write(b"\r\x03\x03\x01")
        wire.read_until(RAW_PROMPT)
        wire.close()


def test_emulator_ends_with_the_process_that_started_it(pico_board: PicoBoard) -> None:
    # pico_board is asked for so that this is skipped where the firmware cannot run.
    script = (
        "import sys; from tests.firmware import artifacts; from tests.firmware.board import PicoBoard\n"
        "board = PicoBoard(artifacts.fetch(sys.argv[1])); print(board.pid, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, next(iter(artifacts.IMAGES))],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with owner:
        assert owner.stdout is not None
        emulator = os.pidfd_open(int(owner.stdout.readline()))
        owner.send_signal(signal.SIGKILL)
        ended, _, _ = select.select([emulator], [], [], TIMEOUT)
        os.close(emulator)
    assert ended


def test_close_leaves_no_process_and_no_descriptor(pico_board: PicoBoard, request: pytest.FixtureRequest) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    with PicoBoard(artifacts.fetch(request.node.callspec.params["pico_board"])) as board:
        assert board.port != pico_board.port
    board.close()
    assert descriptors() == before
    with pytest.raises(ProcessLookupError):
        os.kill(board.pid, 0)
