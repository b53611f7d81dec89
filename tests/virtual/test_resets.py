"""Soft reset, hard reset, SystemExit, and what runs after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from belay_py.errors import DeviceNotFound

from .conftest import Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.virtual import BoardProcess

RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n>"


def write_file(repl: Client, name: str, text: str) -> None:
    repl.output(f"f = open({name!r}, 'w')\nf.write({text!r})\nf.close()")


def friendly(repl: Client) -> None:
    repl.send(b"\x02")
    repl.read_until(b">>> ")


def test_soft_reset_in_the_raw_repl_runs_boot_py_only(repl: Client) -> None:
    write_file(repl, "boot.py", "print('BOOT')")
    write_file(repl, "main.py", "print('MAIN')")
    repl.output("x = 1")
    repl.send(b"\x04")
    assert repl.read_until(RAW_BANNER) == b"OK\r\nMPY: soft reboot\r\nBOOT\r\n" + RAW_BANNER
    assert b"NameError" in repl.run("x")[1]
    assert repl.output("import os\nprint(os.listdir('/'))") == "['boot.py', 'main.py']\r\n"


def test_soft_reset_in_the_friendly_repl_runs_both(repl: Client) -> None:
    write_file(repl, "boot.py", "print('BOOT')\nx = 5")
    write_file(repl, "main.py", "print('MAIN', x)")
    friendly(repl)
    repl.send(b"\x04")
    assert repl.read_until(b">>> ").startswith(b"\r\nMPY: soft reboot\r\nBOOT\r\nMAIN 5\r\nMicroPython v1.29")


@pytest.mark.parametrize("code", ["raise SystemExit", "import sys\nsys.exit()", "import machine\nmachine.soft_reset()"])
def test_system_exit_is_a_soft_reset(repl: Client, code: str) -> None:
    repl.output("x = 1")
    repl.send(b"\x05A\x01print('OUT')\n" + code.encode() + b"\x04")
    assert repl.read_until(RAW_BANNER) == b"R\x01\x80\x00\x01\x04OUT\r\n\x04\x04MPY: soft reboot\r\n" + RAW_BANNER
    assert b"NameError" in repl.run("x")[1]


def test_a_failing_boot_py_shows_and_keeps_main_py_from_running(repl: Client) -> None:
    write_file(repl, "boot.py", "1/0")
    write_file(repl, "main.py", "print('MAIN')")
    friendly(repl)
    repl.send(b"\x04")
    answer = repl.read_until(b">>> ")
    assert b'  File "/boot.py", line 1, in <module>\r\nZeroDivisionError: divide by zero\r\n' in answer
    assert b"MAIN" not in answer


def test_a_failing_main_py_shows(repl: Client) -> None:
    write_file(repl, "main.py", "print('MAIN')\nx = = 1")
    friendly(repl)
    repl.send(b"\x04")
    assert b"SyntaxError" in repl.read_until(b">>> ")


def test_system_exit_in_main_py_starts_over(repl: Client) -> None:
    write_file(
        repl,
        "main.py",
        "import os\ntry: os.stat('once')\nexcept OSError:\n open('once', 'w').close()\n raise SystemExit\n"
        "print('AGAIN')",
    )
    friendly(repl)
    repl.send(b"\x04")
    assert repl.read_until(b"AGAIN\r\n") == b"\r\nMPY: soft reboot\r\nMPY: soft reboot\r\nAGAIN\r\n"
    repl.read_until(b">>> ")


def test_hard_reset_from_anywhere_keeps_files_and_loses_globals(
    make_board: Callable[..., BoardProcess],
) -> None:
    board = make_board()
    with board.open_wire() as end:
        repl = Client(end)
        repl.enter_raw()
        write_file(repl, "main.py", "print('MAIN')")
        for state in ("while True: pass", "input()", "import time\ntime.sleep(100)", "while True: print('x' * 1000)"):
            repl.send(b"\x05A\x01" + state.encode() + b"\x04")
            repl.read_until(b"\x04")
            board.reset()
            assert b"MAIN\r\nMicroPython v1.29" in repl.read_until(b">>> ")
            repl.enter_raw()
            assert repl.output("import machine\nprint(machine.reset_cause())") == "2\r\n"


def test_reset_frees_a_program_stuck_in_a_write(make_board: Callable[..., BoardProcess]) -> None:
    board = make_board()
    with board.open_wire() as end:
        repl = Client(end)
        repl.enter_raw()
        repl.send(b"while True: print('x' * 1000)\x04")
        repl.read_exactly(20_000)
        board.reset()
        board.reset()
        repl.read_until(b"MicroPython v1.29")


def test_machine_reset(make_board: Callable[..., BoardProcess]) -> None:
    with make_board().open_wire() as end:
        repl = Client(end)
        repl.enter_raw()
        repl.send(b"import machine\nprint('bye')\nmachine.reset()\nprint('never')\x04")
        answer = repl.read_until(b">>> ")
        assert answer.startswith(b"OKbye\r\n")
        assert b"never" not in answer
        assert b"MicroPython v1.29" in answer


def test_a_reset_may_drop_the_link(make_board: Callable[..., BoardProcess]) -> None:
    board = make_board(reset_drops_link=True)
    with board.open_wire() as end:
        repl = Client(end)
        repl.enter_raw()
        repl.send(b"import machine\nmachine.reset()\x04")
        repl.read_to_end()
    with board.open_wire() as end:
        Client(end).enter_raw()
        board.reset()
        assert Client(end).read_to_end() is not None
    board.open_wire().close()


def test_unplugging_ends_the_wire_and_the_program(make_board: Callable[..., BoardProcess]) -> None:
    board = make_board()
    with board.open_wire() as end:
        repl = Client(end)
        repl.enter_raw()
        write_file(repl, "main.py", "print('MAIN')")
        repl.output("x = 1")
        repl.send(b"while True: pass\x04")
        repl.read_until(b"OK")
        board.unplug()
        board.unplug()
        repl.read_to_end()
    with pytest.raises(DeviceNotFound, match="unplugged"):
        board.open_wire()
    with pytest.raises(DeviceNotFound, match="unplugged"):
        board.reset()
    board.replug()
    board.replug()
    with board.open_wire() as end:
        repl = Client(end)
        repl.enter_raw()
        assert b"NameError" in repl.run("x")[1]
        assert repl.output("import machine, os\nprint(machine.reset_cause(), os.listdir())") == "1 ['main.py']\r\n"


def test_a_board_with_its_own_supply_runs_on_while_unplugged(make_board: Callable[..., BoardProcess]) -> None:
    board = make_board(keeps_power=True)
    with board.open_wire() as end:
        repl = Client(end)
        repl.enter_raw()
        repl.output("x = 41")
        board.unplug()
        repl.read_to_end()
    board.replug()
    with board.open_wire() as end:
        repl = Client(end)
        repl.enter_raw()
        assert repl.output("print(x + 1)") == "42\r\n"


def test_fifty_soft_resets_in_a_row(repl: Client) -> None:
    for _ in range(50):
        repl.send(b"\x04")
        repl.read_until(RAW_BANNER)
    assert repl.output("print('in step')") == "in step\r\n"


def test_resets_and_plugs_in_quick_succession(make_board: Callable[..., BoardProcess]) -> None:
    board = make_board()
    for n in range(40):
        board.reset()
        if n % 4 == 0:
            board.unplug()
            board.replug()
    with board.open_wire() as end:
        repl = Client(end)
        repl.enter_raw()
        assert repl.output("print('in step')") == "in step\r\n"
