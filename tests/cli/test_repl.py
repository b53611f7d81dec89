"""``repl`` with a person at a real pseudo-terminal, who finds it as it was however it ends; and with a pipe."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from belay_py.cli.keys import BRACKETED_PASTE_OFF, BRACKETED_PASTE_ON
from belay_py.transports.tracing import read_trace

from .conftest import PATIENCE, Commands, children, end_of, ending, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDLESS = b"while True: pass\r\r"


class Person:
    """Somebody at a terminal in which a command runs."""

    def __init__(self, belay: Commands, *arguments: str | Path, through_a_shell: bool = False) -> None:
        self.master, self.slave = os.openpty()
        self.before = self.attributes()
        command = [sys.executable, "-m", "belay_py.cli", *map(str, arguments)]
        if through_a_shell:
            words = " ".join(map(shlex.quote, command))
            command = ["/bin/sh", "-c", f'set -m; {words}; echo "the shell\'s turn"; read line; fg; echo status $?']
        self.process = subprocess.Popen(
            command,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env=belay.environ,
            preexec_fn=self._take_the_terminal,  # noqa: PLW1509  this process has one thread
        )
        belay._started.append(self.process)
        self._seen = b""

    @staticmethod
    def _take_the_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def attributes(self) -> list[Any]:
        return termios.tcgetattr(self.slave)

    @property
    def is_raw(self) -> bool:
        return not self.attributes()[3] & (termios.ECHO | termios.ICANON | termios.ISIG)

    def type(self, keys: bytes) -> None:
        while keys:
            keys = keys[os.write(self.master, keys[:1024]) :]

    def read(self) -> bytes:
        if not select.select([self.master], [], [], PATIENCE)[0]:
            raise AssertionError(f"nothing came after {self._seen[-300:]!r}")
        try:
            return os.read(self.master, 65536)
        except OSError as error:
            if error.errno == errno.EIO:
                return b""
            raise

    def sees(self, text: bytes) -> bytes:
        """Wait until this is on the screen; give it, and what came before."""
        while text not in self._seen:
            data = self.read()
            assert data, f"the terminal was closed after {self._seen[-300:]!r}"
            self._seen += data
        before, _, self._seen = self._seen.partition(text)
        return before + text

    def at_a_prompt(self) -> None:
        """Wait until the terminal is the board's."""
        self.takes_the_terminal()
        self.sees(b"\r\n>>> ")

    def takes_the_terminal(self) -> None:
        """Wait until the command has the terminal, which it makes raw before it says so."""
        self.sees(BRACKETED_PASTE_ON)
        assert self.is_raw

    def run(self, line: bytes, answer: bytes) -> None:
        self.type(line + b"\r")
        self.sees(b"\r\n" + answer + b"\r\n>>> ")

    def ends(self) -> tuple[int, bytes]:
        """Wait for the command; give its status and the rest of the screen."""
        with end_of(self.process.pid) as end:
            while end not in (ready := select.select([self.master, end], [], [], PATIENCE)[0]):
                assert ready, self._seen[-300:]
                self._seen += self.read()
        self.process.wait()
        while select.select([self.master], [], [], 0)[0]:
            self._seen += self.read()
        return self.process.returncode, self._seen

    def close(self) -> None:
        for fd in (self.master, self.slave):
            if fd >= 0:
                os.close(fd)
        self.master = self.slave = -1


@pytest.fixture
def person(belay: Commands, port: Path) -> Iterator[Person]:
    """Somebody at the prompt of the module's board."""
    person = Person(belay, "repl", "-p", port)
    person.at_a_prompt()
    yield person
    person.close()


def is_as_before(person: Person) -> bool:
    return person.attributes() == person.before


@pytest.mark.parametrize("key", [b"\x18", b"\x1d"])
def test_talking_and_leaving(person: Person, key: bytes) -> None:
    assert not is_as_before(person)
    person.run(b"print(6 * 7)", b"42")
    person.type(key + b"ignored")
    status, screen = person.ends()
    assert status == 0
    assert b"ignored" not in screen
    assert b"Traceback" not in screen
    assert is_as_before(person)
    assert screen.count(BRACKETED_PASTE_OFF) == 1


def test_the_first_line_tells_how_to_leave(belay: Commands, port: Path) -> None:
    person = Person(belay, "repl", "-p", port)
    screen = person.sees(b"\r\n>>> ")
    assert b"Ctrl-X or Ctrl-] leaves" in screen
    assert BRACKETED_PASTE_ON in screen
    assert b"MicroPython v1.29" in screen
    person.type(b"\x18")
    assert person.ends()[0] == 0
    person.close()


def test_nothing_is_reset_and_ctrl_d_resets(belay: Commands, port: Path) -> None:
    belay.run("exec", "-p", port, "kept = 5")
    person = Person(belay, "repl", "-p", port)
    person.at_a_prompt()
    person.run(b"print(kept)", b"5")
    person.type(b"\x04")
    person.sees(b"MPY: soft reboot\r\n")
    person.sees(b">>> ")
    person.type(b"kept\r")
    person.sees(b"NameError")
    person.sees(b">>> ")
    person.type(b"\x18")
    assert person.ends()[0] == 0
    # It was left at its friendly prompt: nothing but the answer comes.
    assert belay.run("exec", "-p", port, "print(1)").stdout == b"1\n"
    person.close()


def test_ctrl_c_is_for_the_boards_program(person: Person) -> None:
    person.type(ENDLESS)
    person.sees(b"... \r\n")
    person.type(b"\x03")
    assert b"KeyboardInterrupt" in person.sees(b">>> ")
    person.run(b"print(1)", b"1")
    assert person.process.poll() is None


def test_ctrl_c_overtakes_a_paste(person: Person) -> None:
    person.type(b"import time\rtime.sleep(1000)\r" + b"print('never')\r" * 1000)
    person.sees(b"time.sleep(1000)\r\n")
    person.type(b"\x03")
    person.sees(b"KeyboardInterrupt")
    person.type(b"\x03print('still', 'here')\r")
    assert person.sees(b"still here\r\n>>> ").count(b"never") < 10, "the rest of the paste is forgotten"


def test_a_program_that_runs_is_interrupted(belay: Commands, port: Path) -> None:
    # As another tool leaves it: the program goes on when the port is closed.
    other = Person(belay, "repl", "-p", port)
    other.at_a_prompt()
    other.type(b"n = 0\r")
    other.sees(b">>> ")
    other.type(b"while True: n += 1\r\r")
    other.sees(b"... \r\n")
    other.type(b"\x18")
    assert other.ends()[0] == 0
    person = Person(belay, "repl", "-p", port)
    person.at_a_prompt()
    person.run(b"print(n > 0)", b"True")
    person.type(b"\x1d")
    assert person.ends()[0] == 0
    other.close()
    person.close()


# -- pastes -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["stall", "drop"])
def ring(request: pytest.FixtureRequest, belay: Commands, tmp_path: Path) -> Iterator[Person]:
    """Somebody at a board whose full ring stalls the sender, or drops what does not fit."""
    link = tmp_path / "link"
    first_line(belay.start("virtual", "--link", link, "--overrun", request.param, "--ring", "64"))
    person = Person(belay, "repl", "-p", link)
    person.at_a_prompt()
    yield person
    person.close()


def lines_of_code(count: int) -> bytes:
    return b"".join(b"a[%d] = 'line number %d'\n" % (number, number) for number in range(count))


def test_20_kilobytes_are_pasted_whole(ring: Person) -> None:
    code = lines_of_code(800)
    assert len(code) > 20_000
    ring.run(b"a = {}; print(len(a))", b"0")
    ring.type(b"\x05")
    ring.sees(b"=== ")
    ring.type(code.replace(b"\n", b"\r") + b"\x04")
    ring.sees(b"'line number 799'\r\n=== \r\n>>> ")
    ring.run(b"print(len(a), all(a[i] == 'line number %d' % i for i in a))", b"800 True")


def test_20_kilobytes_are_typed_at_the_prompt(ring: Person) -> None:
    code = lines_of_code(800)
    ring.run(b"a = {}; print(len(a))", b"0")
    ring.type(code.replace(b"\n", b"\r"))
    ring.sees(b"'line number 799'\r\n>>> ")
    ring.run(b"print(len(a), all(a[i] == 'line number %d' % i for i in a))", b"800 True")


def test_a_bracketed_paste_at_the_prompt_keeps_its_indentation(ring: Person) -> None:
    code = b"def f(x):\n    if x:\n        return 'yes'\n\n    return 'no'\n\x03\x04\n" + lines_of_code(800)
    ring.run(b"a = {}; print(len(a))", b"0")
    ring.type(b"\x1b[200~" + code + b"\x1b[201~")
    ring.sees(b"=== \r\n>>> ")
    ring.run(b"print(f(1), f(0), len(a))", b"yes no 800")


def test_a_short_bracketed_paste_is_typed(ring: Person) -> None:
    ring.type(b"print(\x1b[200~1 + 1\x1b[201~)\r")
    ring.sees(b"print(1 + 1)\r\n2\r\n>>> ")


def test_a_paste_without_an_end_can_be_left(person: Person) -> None:
    person.type(b"\x1b[200~half a paste")

    with end_of(person.process.pid) as end:
        for _ in range(int(PATIENCE / 0.05)):
            person.type(b"\x18")  # again and again: the first may be read together with the paste
            if select.select([end], [], [], 0.05)[0]:
                break
    assert person.ends()[0] == 0
    assert is_as_before(person)


# -- the ends ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_restores_the_terminal(person: Person, number: signal.Signals, status: int) -> None:
    person.process.send_signal(number)
    assert person.ends()[0] == status
    assert is_as_before(person)
    assert b"stopped by " + number.name.encode() in person._seen


def test_a_lost_board_restores_the_terminal(belay: Commands) -> None:
    person = Person(belay, "repl", "-p", "virtual:")
    person.at_a_prompt()
    (board,) = children(person.process.pid)
    os.kill(board, signal.SIGKILL)
    status, screen = person.ends()
    assert status == 4
    assert re.search(rb"\r\nerror: virtual: [^\r\n]*\r\n$", screen), screen
    assert is_as_before(person)
    person.close()


def test_a_board_that_is_not_there_leaves_the_terminal_alone(belay: Commands) -> None:
    person = Person(belay, "repl", "-p", "/dev/nosuch")
    status, screen = person.ends()
    assert status == 3
    assert screen.startswith(b"error: there is no /dev/nosuch")
    assert is_as_before(person)
    person.close()


def test_ctrl_c_before_the_prompt_is_for_us(belay: Commands, tmp_path: Path) -> None:
    ours, theirs = os.openpty()  # nobody answers
    person = Person(belay, "repl", "-p", os.ttyname(theirs))
    assert select.select([ours], [], [], PATIENCE)[0], "it has opened the port"
    person.type(b"\x03")
    assert person.ends()[0] == 130
    assert is_as_before(person)
    person.close()
    os.close(ours)
    os.close(theirs)


def test_a_closed_window(belay: Commands, port: Path) -> None:
    person = Person(belay, "repl", "-p", port)
    person.at_a_prompt()
    person.close()
    assert person.process.wait(PATIENCE) in {0, 129}
    assert belay.run("exec", "-p", port, "print(1)").stdout == b"1\n"


def test_an_exception_of_our_own_restores_the_terminal(belay: Commands, port: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import belay_py.cli.keys\n"
        "def receive(self, data): raise RuntimeError('a bug')\n"
        "belay_py.cli.keys.Keys.receive = receive\n"
    )
    belay.environ["PYTHONPATH"] = os.pathsep.join((str(tmp_path), belay.environ["PYTHONPATH"]))
    person = Person(belay, "repl", "-p", port)
    person.at_a_prompt()
    person.type(b"x")
    status, screen = person.ends()
    assert status == 1
    assert b"RuntimeError: a bug" in screen
    assert is_as_before(person)
    person.close()


def test_a_process_that_is_stopped_gives_the_terminal_back_meanwhile(belay: Commands, port: Path) -> None:
    person = Person(belay, "repl", "-p", port, through_a_shell=True)
    person.at_a_prompt()
    (command,) = children(person.process.pid)
    os.kill(command, signal.SIGTSTP)
    person.sees(b"the shell's turn")
    assert is_as_before(person)
    person.type(b"\n")
    person.takes_the_terminal()
    person.run(b"print(1)", b"1")
    person.type(b"\x18")
    person.sees(b"status 0")
    assert person.ends()[0] == 0
    assert is_as_before(person)
    person.close()


def test_a_process_that_goes_on_in_the_background_takes_no_settings_of_the_shell(belay: Commands, port: Path) -> None:
    person = Person(belay, "repl", "-p", port, through_a_shell=True)
    person.at_a_prompt()
    (command,) = children(person.process.pid)
    os.kill(command, signal.SIGTSTP)
    person.sees(b"the shell's turn")
    assert is_stopped(command), "the shell has seen it"
    its_own = person.attributes()
    its_own[3] &= ~termios.ECHO  # as a line editor has it while somebody types
    termios.tcsetattr(person.slave, termios.TCSANOW, its_own)
    turns = turns_of(command)
    os.kill(command, signal.SIGCONT)
    deadline = time.monotonic() + PATIENCE
    while not (turns_of(command) > turns and is_stopped(command)):  # by SIGTTOU
        assert time.monotonic() < deadline
        time.sleep(0.002)  # the system tells nobody but the shell, its parent, which reads a line meanwhile
    termios.tcsetattr(person.slave, termios.TCSANOW, person.before)
    person.type(b"\n")
    person.takes_the_terminal()
    person.run(b"print(1)", b"1")
    person.type(b"\x18")
    person.sees(b"status 0")
    assert person.ends()[0] == 0
    assert is_as_before(person)
    person.close()


def is_stopped(process: int) -> bool:
    return "State:\tT" in Path(f"/proc/{process}/status").read_text()


def turns_of(process: int) -> int:
    """How often its main thread has had the processor."""
    return sum(map(int, re.findall(r"ctxt_switches:\t(\d+)", Path(f"/proc/{process}/status").read_text())))


# -- without a terminal -----------------------------------------------------------------------------------------------


def test_a_pipe_is_typed_and_its_end_waited_for(belay: Commands, port: Path) -> None:
    typed = b"import time\nfor i in range(2):\n    print('no', i)\n\ntime.sleep_ms(500)\nprint('last')"
    done = belay.run("repl", "-p", port, stdin=typed)
    assert done.returncode == 0
    assert b"no 0\nno 1\n>>> " in done.stdout
    assert done.stdout.endswith(b"print('last')\nlast\n>>> ")
    assert b"\r" not in done.stdout
    assert done.stderr == b""


def test_a_pipe_that_ends_in_a_block(belay: Commands, port: Path) -> None:
    done = belay.run("repl", "-p", port, stdin=b"for i in range(2):\n  if i:\n    print('one')\n")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"\none\n>>> ")


def test_20_kilobytes_through_a_pipe(belay: Commands, tmp_path: Path) -> None:
    link = tmp_path / "link"
    first_line(belay.start("virtual", "--link", link, "--overrun", "drop", "--ring", "64"))
    done = belay.run("repl", "-p", link, stdin=b"a = {}\n" + lines_of_code(800) + b"print(len(a), a[799])\n")
    assert done.returncode == 0
    assert done.stdout.endswith(b"800 line number 799\n>>> ")


def test_an_empty_pipe_and_a_trace(belay: Commands, port: Path, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    done = belay.run("repl", "-p", port, "--trace", path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b">>> ")
    [link] = read_trace(path)
    assert link.sent_by("host").endswith(b"\x02"), "nothing was sent after it had reached the prompt"


def test_a_signal_while_a_pipe_is_typed_stops_the_board(belay: Commands, port: Path, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    process = subprocess.Popen(
        [sys.executable, "-m", "belay_py.cli", "repl", "-p", str(port), "--trace", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=belay.environ,
    )
    belay._started.append(process)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"print('up')\nwhile True: x = 1\n\n")
    process.stdin.flush()
    while process.stdout.readline() != b"... \n":
        pass
    process.send_signal(signal.SIGINT)
    assert ending(process)[0] == 130
    assert read_trace(path)[0].sent_by("host").endswith(b"\x03")


def test_a_reader_that_goes_away(belay: Commands, port: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "belay_py.cli", "repl", "-p", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=belay.environ,
    )
    belay._started.append(process)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    first_line(process)
    process.stdout.close()
    process.stdin.write(b"print('x' * 100)\n")
    process.stdin.close()
    process.stdin = None  # communicate() would flush it
    assert process.wait(PATIENCE) == 141
    assert process.stderr.read() == b""
