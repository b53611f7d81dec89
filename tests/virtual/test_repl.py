"""The friendly REPL, the raw REPL and raw-paste, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .conftest import Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.virtual import BoardProcess

BANNER = b"raw REPL; CTRL-B to exit\r\n>"
CREDIT = b"\x01"


def test_friendly_repl_greets_echoes_and_evaluates(make_board: Callable[..., BoardProcess]) -> None:
    with make_board().open_wire() as end:
        client = Client(end)
        banner = client.read_until(b">>> ")
        assert banner.startswith(b"MicroPython v1.29")
        assert b'\r\nType "help()" for more information.\r\n' in banner
        client.send(b"1 + 1\r")
        assert client.read_until(b">>> ") == b"1 + 1\r\n2\r\n>>> "
        client.send(b"for i in range(2):\rprint(i)\r\r\r\r")
        assert client.read_until(b"1\r\n>>> ").endswith(b"\r\n0\r\n1\r\n>>> ")


def test_friendly_paste_mode(repl: Client) -> None:
    repl.send(b"\x02")
    repl.read_until(b">>> ")
    repl.send(b"\x05")
    repl.read_until(b"=== ")
    repl.send(b"print('a')\rprint('b')\x04")
    assert repl.read_until(b">>> ").endswith(b"\r\na\r\nb\r\n>>> ")


def test_raw_repl_conversation(repl: Client) -> None:
    repl.send(b"print('hi')\x04")
    assert repl.read_until(b"\x04>") == b"OKhi\r\n\x04\x04>"
    repl.send(b"print(1)\x03print(2)\x04")
    assert repl.read_until(b"\x04>") == b"OK2\r\n\x04\x04>"
    repl.send(b"\x01")
    assert repl.read_until(b">") == BANNER
    repl.send(b"\x02")
    assert repl.read_until(b">>> ").startswith(b"\r\nMicroPython v1.29")


def test_raw_paste_conversation(repl: Client) -> None:
    repl.send(b"\x05A\x01")
    assert repl.read_exactly(5) == b"R\x01\x80\x00\x01"
    repl.send(b"print('hi')")
    assert repl.silent()
    repl.send(b"\x04")
    assert repl.read_until(b"\x04>") == b"\x04hi\r\n\x04\x04>"


def test_raw_paste_traceback(repl: Client) -> None:
    output, traceback = repl.run("print(1)\n1/0")
    assert output == b"1\r\n"
    assert traceback == (
        b'Traceback (most recent call last):\r\n  File "<stdin>", line 2, in <module>\r\n'
        b"ZeroDivisionError: divide by zero\r\n"
    )


@pytest.mark.parametrize("window", [1, 32, 128, 300, 4096])
def test_a_credit_comes_for_each_window_consumed_and_no_sooner(
    make_board: Callable[..., BoardProcess], window: int
) -> None:
    with make_board(window=window, ring=2 * window + 4).open_wire() as end:
        client = Client(end)
        client.enter_raw()
        client.send(b"\x05A\x01")
        assert client.read_exactly(5) == b"R\x01" + window.to_bytes(2, "little") + CREDIT
        for _ in range(3):
            if window > 1:
                client.send(b"#" * (window - 1))
                assert client.silent(0.02)
            client.send(b"#")
            assert client.read_exactly(1) == CREDIT
        client.send(b"\nprint('done')\x04")
        assert client.read_until(b"\x04>").endswith(b"\x04done\r\n\x04\x04>")


def test_raw_paste_refused(make_board: Callable[..., BoardProcess]) -> None:
    with make_board(raw_paste="refused").open_wire() as end:
        client = Client(end)
        client.enter_raw()
        client.send(b"\x05A\x01print(1)\x04")
        assert client.read_until(b"\x04>") == b"R\x00>OK1\r\n\x04\x04>"


def test_raw_paste_absent(make_board: Callable[..., BoardProcess]) -> None:
    with make_board(raw_paste="absent").open_wire() as end:
        client = Client(end)
        client.enter_raw()
        client.send(b"\x05A\x01print(1)\x04")
        assert client.read_until(b"\x04>") == BANNER + b"OK1\r\n\x04\x04>"


def test_a_syntax_error_aborts_the_paste_early_and_eats_the_rest(repl: Client) -> None:
    repl.send(b"\x05A\x01")
    repl.read_exactly(5)
    repl.send(b"x = = 1\n")
    assert repl.read_exactly(1) == b"\x04"
    repl.send(b"print('never')")
    assert repl.silent()
    repl.send(b"\x04")
    answer = repl.read_until(b"\x04>")
    assert answer.startswith(b"\x04Traceback")
    assert b"SyntaxError" in answer
    assert b"never" not in answer
    assert repl.output("print('in step')") == "in step\r\n"


def test_ctrl_c_ends_a_paste_with_keyboard_interrupt(repl: Client) -> None:
    repl.send(b"\x05A\x01")
    repl.read_exactly(5)
    repl.send(b"print('never')\x03")
    assert repl.read_until(b"\x04>") == b"\x04\x04KeyboardInterrupt: \r\n\x04>"
    assert repl.output("print('in step')") == "in step\r\n"


def test_out_of_memory_while_pasting_aborts_and_recovers(make_board: Callable[..., BoardProcess]) -> None:
    with make_board(memory=128 << 10, ring=8192, window=4096).open_wire() as end:
        client = Client(end)
        client.enter_raw()
        client.send(b"\x05A\x01")
        client.read_exactly(5)
        # The ring stalls the sender, and after the abort the board takes what still comes and drops it.
        client.send(b"x = [" + b"'%d'," * 40000)
        assert client.read_until(b"\x04").strip(b"\x01") == b"\x04"
        client.send(b"\x04")
        assert b"MemoryError" in client.read_until(b"\x04>")
        assert client.output("print('in step')") == "in step\r\n"


def test_every_byte_a_program_writes_arrives(repl: Client) -> None:
    repl.send(b"import sys\x04")
    repl.read_until(b"\x04>")
    repl.send(b"_ = sys.stdout.buffer.write(bytes(range(256)) * 3)\x04")
    assert repl.read_exactly(2 + 768 + 3) == b"OK" + bytes(range(256)) * 3 + b"\x04\x04>"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print('a\\nb')", b"a\r\nb\r\n"),
        ("import sys\nsys.stdout.write('a\\r\\nb')", b"a\r\r\nb"),
        ("import sys\nsys.stderr.write('e\\n')", b"e\r\n"),
        ("import sys\nsys.stdout.buffer.write(b'a\\nb')", b"a\nb"),
        ("import sys\nsys.print_exception(ValueError(1))", b"ValueError: 1\r\n"),
        ("print('\\u20ac')", "€\r\n".encode()),
    ],
)
def test_line_ends_are_a_boards(repl: Client, code: str, expected: bytes) -> None:
    assert repl.run(code) == (expected, b"")


def test_the_window_bytes_of_a_program_are_left_alone(make_board: Callable[..., BoardProcess]) -> None:
    with make_board(window=32).open_wire() as end:
        client = Client(end)
        client.enter_raw()
        client.send(b"import sys;w=sys.stdout.buffer.write;w(b'R\\x01');w(b'\\x80\\x00\\x01')\x04")
        assert client.read_until(b"\x04>") == b"OKR\x01\x80\x00\x01\x04\x04>"


def test_a_hundred_kilobytes_of_code(repl: Client) -> None:
    code = b"x = '" + b"y" * 100_000 + b"'\nprint(len(x))"
    repl.send(b"\x05A\x01")
    repl.read_exactly(5)
    credit, sent = 256, 0
    while sent < len(code):
        if not credit:
            assert repl.read_exactly(1) == CREDIT
            credit = 128
        part = code[sent : sent + credit]
        repl.send(part)
        sent += len(part)
        credit -= len(part)
    repl.send(b"\x04")
    assert repl.read_until(b"\x04>").lstrip(CREDIT) == b"\x04100000\r\n\x04\x04>"


def test_a_megabyte_of_output(repl: Client) -> None:
    code = "import sys\nb = b'0123456789abcdef' * 64\nfor i in range(1024): sys.stdout.buffer.write(b)"
    assert repl.run(code) == (b"0123456789abcdef" * 65536, b"")


def test_ten_thousand_executions(repl: Client) -> None:
    for n in range(10_000):
        assert repl.run(f"print({n})") == (b"%d\r\n" % n, b"")
