"""``exec``, ``run`` and ``eval``: output as it comes, and an exit status for each way of ending."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from .conftest import PATIENCE, Commands, children, complaint, ending, first_line

if TYPE_CHECKING:
    from pathlib import Path


def test_exec_passes_on_what_the_code_writes(shared: Commands, port: Path) -> None:
    done = shared.run("exec", "--port", port, "print('grüße')\nprint(2)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "grüße\n2\n".encode(), b"")


def test_exec_on_a_board_of_its_own(belay: Commands) -> None:
    done = belay.run("exec", "--port", "virtual:", "print(1)")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1\n", b"")


def test_the_port_may_come_from_the_environment(shared: Commands, port: Path) -> None:
    done = shared.run("exec", "print(1)", env={"BELAY_PORT": str(port)})
    assert (done.returncode, done.stdout) == (0, b"1\n")


def test_exec_reads_standard_input(shared: Commands, port: Path) -> None:
    done = shared.run("exec", "-p", port, "-", stdin=b"for i in range(2):\n    print(i)\n")
    assert (done.returncode, done.stdout) == (0, b"0\n1\n")


def test_bytes_that_are_no_text_pass_unchanged(shared: Commands, port: Path) -> None:
    code = "import sys\n_ = sys.stdout.buffer.write(bytes(range(256)))"
    done = shared.run("exec", "-p", port, "--timeout", "20", code)
    assert done.stdout == bytes(range(256))


def test_exact_keeps_the_carriage_returns(shared: Commands, port: Path) -> None:
    code = "import sys\nprint(1)\n_ = sys.stdout.buffer.write(b'\\r\\n')"
    assert shared.run("exec", "-p", port, "--exact", code).stdout == b"1\r\n\r\n"


def test_a_devices_exception_is_status_1_with_its_traceback_on_stderr(shared: Commands, port: Path) -> None:
    done = shared.run("exec", "-p", port, "print('before')\n1/0")
    assert (done.returncode, done.stdout) == (1, b"before\n")
    assert done.stderr.decode().splitlines() == [
        "Traceback (most recent call last):",
        '  File "<stdin>", line 2, in <module>',
        "    1/0",
        "ZeroDivisionError: divide by zero",
    ]


def test_run_names_the_file_in_tracebacks(shared: Commands, port: Path, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_bytes(b"\xef\xbb\xbfdef f():\r\n    raise ValueError('<stdin>')\r\nprint('ran')\r\nf()\r\n")
    done = shared.run("run", "-p", port, file)
    assert (done.returncode, done.stdout) == (1, b"ran\n")
    assert done.stderr.decode().splitlines() == [
        "Traceback (most recent call last):",
        f'  File "{file}", line 4, in <module>',
        "    f()",
        f'  File "{file}", line 2, in f',
        "    raise ValueError('<stdin>')",
        "ValueError: <stdin>",
    ]


def test_run_reads_standard_input(shared: Commands, port: Path) -> None:
    done = shared.run("run", "-p", port, "-", stdin=b"print(1)\n1/0\n")
    assert (done.returncode, done.stdout) == (1, b"1\n")
    assert b'File "<stdin>", line 2' in done.stderr


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("[1, 2.5, b'x']", b"[1, 2.5, b'x']\n"),
        ("'a' # comment", b"'a'\n"),
        ("(1 +\n 1)", b"2\n"),
        ("print('aside')", b"aside\nNone\n"),
        ("1, 2", b"(1, 2)\n"),
        ("import sys; sys.platform", b"'webassembly'\n"),
        ("for i in range(3): pass\ni", b"2\n"),
        ("__import__('machine').Pin", b"<class 'Pin'>\n"),
    ],
)
def test_eval_prints_the_repr(shared: Commands, port: Path, expression: str, shown: bytes) -> None:
    done = shared.run("eval", "-p", port, expression)
    assert (done.returncode, done.stdout, done.stderr) == (0, shown, b"")


def test_eval_of_an_exception_is_status_1(shared: Commands, port: Path) -> None:
    done = shared.run("eval", "-p", port, "nothing")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.endswith(b"NameError: name 'nothing' isn't defined\n")


@pytest.mark.parametrize(
    ("expression", "said"), [("x = 1", "belay-py exec"), ("1) + (2", "belay-py exec"), ("", "there is no code")]
)
def test_eval_of_what_is_no_expression_is_usage(shared: Commands, port: Path, expression: str, said: str) -> None:
    done = shared.run("eval", "-p", port, expression)
    assert done.returncode == 2
    assert said in complaint(done)


def test_a_timeout_is_status_4_and_stops_the_board(shared: Commands, port: Path) -> None:
    done = shared.run("exec", "-p", port, "--timeout", "300ms", "while True: pass")
    assert done.returncode == 4
    assert "deadline" in complaint(done)
    assert shared.run("eval", "-p", port, "1").stdout == b"1\n"


def test_a_program_that_resets_the_board_is_status_4(shared: Commands, port: Path) -> None:
    done = shared.run("exec", "-p", port, "print('last words')\nraise SystemExit")
    assert (done.returncode, done.stdout.splitlines()[:1]) == (4, [b"last words"])
    assert done.stderr.startswith(b"error: the board restarted")


def test_a_lost_board_is_status_4(belay: Commands) -> None:
    process = belay.start("exec", "-p", "virtual:", "print('up')\nwhile True: pass")
    assert first_line(process) == "up"
    (board,) = children(process.pid)
    os.kill(board, signal.SIGKILL)
    status, _, said = ending(process)
    assert (status, said.count("\n"), said[:7]) == (4, 1, "error: ")


def test_output_comes_while_the_code_still_runs(belay: Commands) -> None:
    process = belay.start("exec", "-p", "virtual:", "print('first')\nwhile True: pass")
    assert first_line(process) == "first"
    assert process.poll() is None


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_the_board(belay: Commands, port: Path, number: signal.Signals, status: int) -> None:
    process = belay.start("exec", "-p", port, "x = 0\nprint('up')\nwhile True: x += 1")
    assert first_line(process) == "up"
    process.send_signal(number)
    assert ending(process) == (status, b"", f"stopped by {number.name}: the board is at its prompt\n")
    # It counts no more.
    assert belay.run("exec", "-p", port, "y = x\nfor _ in range(1000): pass\nprint(x == y)").stdout == b"True\n"


def test_a_signal_that_comes_twice_at_once_is_one(belay: Commands) -> None:
    process = belay.start("exec", "-p", "virtual:", "print('up')\nwhile True: pass")
    assert first_line(process) == "up"
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    status, _, said = ending(process)
    assert status in {130, 143}
    assert said.endswith("the board is at its prompt\n")


def test_a_reader_that_goes_away_stops_the_board_quietly(belay: Commands, port: Path) -> None:
    process = belay.start("exec", "-p", port, "x = 0\nwhile True:\n    print(x)\n    x += 1")
    assert first_line(process) == "0"
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(PATIENCE) == 141
    assert process.stderr.read() == b""
    assert belay.run("exec", "-p", port, "y = x\nfor _ in range(1000): pass\nprint(x == y)").stdout == b"True\n"


def test_a_full_disk_is_one_line(belay: Commands, port: Path) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123  a device
        done = subprocess.run(
            [sys.executable, "-m", "belay_py", "exec", "-p", str(port), "print(1)"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
            env=belay.environ,
        )
    assert done.returncode == 4
    assert done.stderr == b"error: cannot write the output (No space left on device)\n"


def test_closed_streams_lead_nowhere(shared: Commands, port: Path) -> None:
    command = shlex.join([sys.executable, "-m", "belay_py.cli", "exec", "-p", str(port), "print('out')\n1/0"])
    for closed, shown in (("2>&-", b"out\n"), ("<&- 2>/dev/null", b"out\n"), (">&- 2>&-", b"")):
        done = subprocess.run(
            ["sh", "-c", f"{command} {closed}"], stdout=subprocess.PIPE, env=shared.environ, check=False
        )
        assert (done.returncode, done.stdout) == (1, shown)


def test_evaluations_show_the_code_that_was_asked_for(shared: Commands, port: Path) -> None:
    done = shared.run("eval", "-p", port, "x = 1\nx / 0")
    assert done.stderr.decode().splitlines()[1:3] == ['  File "<stdin>", line 2, in <module>', "    x / 0"]
