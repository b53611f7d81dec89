"""Output while a program runs, and reading from the keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .conftest import Client

if TYPE_CHECKING:
    from belay_py.virtual import BoardProcess


@pytest.mark.parametrize("rest", ["while True: pass", "import time\ntime.sleep(100)", "input()"])
def test_output_arrives_while_the_program_goes_on(repl: Client, rest: str) -> None:
    repl.send(b"print('now')\n" + rest.encode() + b"\x04")
    assert repl.read_until(b"now\r\n") == b"OKnow\r\n"
    repl.send(b"\x03")
    repl.read_until(b"\x04>")


def test_input_edits_as_the_board_does(repl: Client) -> None:
    repl.send(b"print(repr(input('name? ')))\x04")
    assert repl.read_until(b"? ") == b"OKname? "
    repl.send(b"Adx\x7fa\r")
    answer = repl.read_until(b"\x04>")
    assert answer.startswith(b"Adx")
    assert answer.endswith(b"\r\n'Ada'\r\n\x04\x04>")


def test_input_ends_with_eof_error_at_ctrl_d(repl: Client) -> None:
    repl.send(b"input()\x04")
    repl.read_until(b"OK")
    repl.send(b"\x04")
    assert b"EOFError" in repl.read_until(b"\x04>")


def test_text_input_turns_carriage_returns_to_newlines_and_binary_does_not(repl: Client) -> None:
    repl.send(b"import sys\nprint(repr(sys.stdin.readline()))\nprint(sys.stdin.buffer.read(3))\x04")
    repl.read_until(b"OK")
    repl.send(b"abc\r\x00\r\n")
    assert repl.read_until(b"\x04>") == b"'abc\\n'\r\nb'\\x00\\r\\n'\r\n\x04\x04>"


def test_poll_sees_input(repl: Client) -> None:
    repl.send(
        b"import select,sys\np=select.poll()\np.register(sys.stdin,select.POLLIN)\nprint(p.poll(10))\n"
        b"print('GO')\nprint(len(p.poll()))\nprint(sys.stdin.read(1))\x04"
    )
    assert repl.read_until(b"GO\r\n") == b"OK[]\r\nGO\r\n"
    repl.send(b"k")
    assert repl.read_until(b"\x04>") == b"1\r\nk\r\n\x04\x04>"


def test_time_passes_as_it_should(repl: Client) -> None:
    taken = repl.output(
        "import time\nt = time.ticks_us()\ntime.sleep(.05)\ntime.sleep_ms(50)\ntime.sleep_us(1500)\n"
        "print(time.ticks_diff(time.ticks_us(), t))"
    )
    assert 101_500 <= int(taken) < 2_000_000
    assert int(repl.output("import time\nprint(time.time() > 1700000000)") == "True\r\n")


def test_output_without_a_wire_is_dropped_and_the_program_runs_on(shared_board: BoardProcess, repl: Client) -> None:
    repl.send(
        b"f=open('n','w')\nimport time\nwhile True:\n print('x'*1000)\n f.write('x'); f.flush()\n time.sleep_ms(1)\x04"
    )
    repl.read_until(b"xxx")
    repl.socket.close()
    client = None
    while client is None:
        try:
            client = Client(shared_board.open_wire())
        except Exception:  # noqa: BLE001  until the board has seen the end
            client = None
    with client.socket:
        client.read_until(b"xxx")
        client.send(b"\x03")
        client.read_until(b"\x04>")
        client.enter_raw()
        assert client.output("print('in step')") == "in step\r\n"


def test_memory_has_a_limit_and_comes_back(repl: Client) -> None:
    assert b"MemoryError" in repl.run("l = []\nwhile True: l.append(bytearray(1000000))")[1]
    repl.output("del l")
    assert repl.output("print(len(bytearray(1000000)))") == "1000000\r\n"


def test_deep_recursion_is_an_exception(repl: Client) -> None:
    assert b"RuntimeError: maximum recursion depth exceeded" in repl.run("def f(): f()\nf()")[1]
    assert b"RuntimeError" in repl.run("a = []\nfor _ in range(100000): a = [a]\nrepr(a)")[1]
    assert repl.output("print('in step')") == "in step\r\n"
