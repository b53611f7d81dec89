"""Ctrl-C, wherever the program is."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import pytest

from .conftest import Client, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.virtual import BoardProcess


def start(repl: Client, code: str) -> None:
    """Start a program that prints READY once it may be interrupted."""
    repl.send(b"\x05A\x01" + code.encode() + b"\x04")
    repl.read_until(b"READY\r\n")


@pytest.mark.parametrize(
    "rest",
    [
        "while True: pass",
        "n = 0\nwhile True: n += 1",
        "import time\ntime.sleep(1000)",
        "import time\nwhile True: time.sleep_ms(1)",
        "import time\ntime.sleep_us(10**9)",
        "import sys\nsys.stdin.read(1)",
        "import sys\nsys.stdin.buffer.read(10)",
        "input()",
        "import select, sys\np = select.poll()\np.register(sys.stdin, 1)\np.poll()",
        "import select, sys\np = select.poll()\np.register(sys.stdin, 1)\np.poll(100000)",
        "import asyncio\nasyncio.run(asyncio.Event().wait())",
        "while True: print('x' * 100)",
    ],
)
def test_ctrl_c_ends_it(repl: Client, rest: str) -> None:
    start(repl, "print('READY')\n" + rest)
    repl.send(b"\x03")
    answer = repl.read_until(b"\x04>")
    assert b"KeyboardInterrupt: \r\n\x04>" in answer
    assert repl.output("print('in step')") == "in step\r\n"


def test_it_bites_within_milliseconds(repl: Client) -> None:
    taken = []
    for _ in range(20):
        start(repl, "print('READY')\nwhile True: pass")
        began = time.perf_counter()
        repl.send(b"\x03")
        repl.read_until(b"\x04>")
        taken.append(time.perf_counter() - began)
    # Two orders of magnitude over what is measured: a poll somewhere would show, a busy machine does not.
    assert statistics.median(taken) < 0.1


def test_a_program_may_catch_it(repl: Client) -> None:
    start(repl, "print('READY')\ntry:\n while True: pass\nexcept KeyboardInterrupt: print('caught')")
    repl.send(b"\x03")
    assert repl.read_until(b"\x04>") == b"caught\r\n\x04\x04>"


def test_kbd_intr_makes_it_an_ordinary_byte(repl: Client) -> None:
    start(
        repl,
        "import micropython, sys\nmicropython.kbd_intr(-1)\nprint('READY')\n"
        "print(sys.stdin.buffer.read(3))\nmicropython.kbd_intr(3)",
    )
    repl.send(b"\x01\x03\x04")
    assert repl.read_until(b"\x04>") == b"b'\\x01\\x03\\x04'\r\n\x04\x04>"


def test_a_late_ctrl_c_hurts_nothing(repl: Client) -> None:
    for _ in range(200):
        repl.send(b"\x05A\x01pass\x04\x03\x03")
        repl.read_until(b"\x04>")
        assert repl.output("print(7)") == "7\r\n"


def test_no_interrupt_is_left_over_when_it_races_with_the_end(repl: Client) -> None:
    for delay in range(200):
        start(repl, f"print('READY')\nfor _ in range({delay * 5}): pass")
        repl.send(b"\x03")
        repl.read_until(b"\x04>")
        assert repl.output("for _ in range(10): x = 1\nprint(x)") == "1\r\n"


@pytest.mark.parametrize(("overrun", "survives"), [("stall", False), ("drop", True)])
def test_type_ahead_is_flushed_on_usb_and_kept_on_a_uart(
    make_board: Callable[..., BoardProcess], overrun: str, survives: bool
) -> None:
    with make_board(overrun=overrun).open_wire() as end:
        repl = Client(end)
        repl.enter_raw()
        start(repl, "print('READY')\nwhile True: pass")
        repl.send(b"print('typed ahead')\x04")
        repl.send(b"\x03")
        assert repl.read_until(b"\x04>").endswith(b"KeyboardInterrupt: \r\n\x04>")
        if survives:
            assert repl.read_until(b"\x04>") == b"OKtyped ahead\r\n\x04\x04>"
        assert repl.output("print('in step')") == "in step\r\n"


def test_ctrl_c_stops_main_py(make_board: Callable[..., BoardProcess]) -> None:
    board = make_board()
    with board.open_wire() as end:
        repl = Client(end)
        repl.enter_raw()
        repl.output("f = open('main.py', 'w')\nf.write(\"print('MAIN')\\nwhile True: pass\")\nf.close()")
        repl.send(b"\x02")
        repl.read_until(b">>> ")
        repl.send(b"\x04")
        assert repl.read_until(b"MAIN\r\n") == b"\r\nMPY: soft reboot\r\nMAIN\r\n"
        repl.send(b"\x03")
        assert b"KeyboardInterrupt: \r\nMicroPython v1.29" in repl.read_until(b">>> ")


def test_ctrl_c_reaches_a_program_whose_output_nobody_reads(repl: Client) -> None:
    start(repl, "print('READY')\nn = 0\nwhile True:\n print('x' * 1000)\n n += 1")
    repl.send(b"\x03")
    eventually(lambda: b"KeyboardInterrupt" in repl.read_until(b"\n"))
    repl.read_until(b"\x04>")
