"""Record raw-REPL conversations with real boards, for the protocol's tests to replay cut at every byte.

Run by hand, with the directory that is to receive the recordings:

    python tests/protocol/record.py tests/protocol/recordings

The boards, of which those that are not at hand are left out: the official Pico firmware on an emulator (see
tests/firmware), the micro:bit's MicroPython 1.9.2 in QEMU (Debian's qemu-system-arm and firmware-microbit-micropython),
and MicroPython's unix port (`--unix COMMAND`), which has a raw REPL from 1.27 on.

A recording is one JSON object. Bytes are strings of the characters U+0000 to U+00FF, that is, Latin-1.

    board       the firmware's own words, from its friendly banner
    scenario    what is done: the name of a function below, whose docstring tells more
    start       where the board is before the first entry: "friendly", "raw" (both at the prompt), "running friendly" or
                "running raw" (a tight loop entered there)
    end         where it is after the last: "friendly", "raw", "running" or "exited" (a unix process has no other reset)
    way         how code goes over: "raw-paste" (negotiated, by credits), "one-write" (negotiation, code and end in one
                write), "plain" (no negotiation); null if there is no response to read
    window      bytes in one window of raw-paste; null if the board has no raw-paste
    code        what was meant to run; null if nothing was
    output      what it wrote, known beforehand and not read from the conversation; null if there is no response
    traceback   the response's second section; null if there is no response
    aborted     whether the board ended raw-paste before the host did
    reset       null, "soft" or "hard": whether the interpreter was restarted
    exchange    the conversation, [who, bytes] with who "host" or "board", one entry per change of direction
"""

# ruff: noqa: T201  a script tells the one who runs it what it leaves out

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, this is not part of the package `tests`

from tests.firmware import artifacts
from tests.firmware.board import PicoBoard

MICROBIT_FIRMWARE = Path("/usr/share/firmware-microbit-micropython/firmware.hex")  # where Debian's package has it
TIMEOUT = 10.0
QUIET = 0.3
"""Seconds without a byte after which a conversation counts as over; a board that says more spoils the recording."""
ATTEMPTS = 5
"""The emulated micro:bit loses a byte now and then; a recording in which it did is thrown away."""


class NoAnswer(Exception):
    """The board did not say what was expected of it."""


class NotOnThisBoard(Exception):
    """The board has no such feature."""


# ---- The wire ----


class Wire:
    """A board's port. What goes over it is kept while `recording`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._unread = b""
        self.exchange: list[tuple[str, bytearray]] = []
        self.recording = False
        self.ended = False

    def send(self, data: bytes) -> None:
        self._keep("host", data)
        while data:
            data = data[os.write(self._descriptor, data) :]

    def read(self, pattern: bytes, timeout: float = TIMEOUT) -> bytes:
        """Return everything up to and including the next match of a regular expression."""
        deadline = time.monotonic() + timeout
        while not (match := re.search(pattern, self._unread, re.DOTALL)):
            if not self._receive(max(0.0, deadline - time.monotonic())):
                raise NoAnswer(f"waited for {pattern!r}, read {self._unread!r}")
        taken, self._unread = self._unread[: match.end()], self._unread[match.end() :]
        return taken

    def interrupt(self, pattern: bytes) -> bytes:
        """Send Ctrl-C until `pattern` comes: a board may swallow one that arrives before the interrupt is armed."""
        delay = 0.5
        for _ in range(ATTEMPTS):
            self.send(b"\x03")
            with contextlib.suppress(NoAnswer):
                return self.read(pattern, delay)
            delay *= 2
        raise NoAnswer(f"Ctrl-C did not bring {pattern!r}")

    def settle(self) -> bytes:
        """Read until the board is quiet."""
        while self._receive(QUIET):
            pass
        taken, self._unread = self._unread, b""
        return taken

    def _receive(self, timeout: float) -> bool:
        if self.ended or not select.select([self._descriptor], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self._descriptor, 4096)
        except OSError:  # EIO: the other end of the pty is closed
            data = b""
        self.ended = not data
        self._unread += data
        self._keep("board", data)
        return bool(data)

    def _keep(self, who: str, data: bytes) -> None:
        if not self.recording or not data:
            return
        if not self.exchange or self.exchange[-1][0] != who:
            self.exchange.append((who, bytearray()))
        self.exchange[-1][1].extend(data)


# ---- Boards ----


@dataclass(frozen=True, slots=True)
class Board:
    name: str
    power: Callable[[], AbstractContextManager[int]]
    """Switches one on and gives a descriptor of its port."""
    window: int | None = None
    has_stdout_buffer: bool = True
    hard_reset: bytes | None = b"import machine\nprint('bye')\nmachine.reset()"
    soft_reset: bytes | None = b"import machine\nmachine.soft_reset()"
    system_exit_resets: bool = True
    """The micro:bit's 1.9.2 takes SystemExit for a clean end, and keeps its variables."""
    exits: bool = False
    """A process on a terminal: a soft reset ends it, and while code runs the terminal echoes what is typed."""
    prompt: bytes = b">>> "
    raw_prompt: bytes = rb"raw REPL; CTRL-B to exit\r+\n>"
    """The unix port says \\r\\r\\n: the terminal adds a carriage return to the one that is there."""


@contextmanager
def opened(port: str) -> Iterator[int]:
    descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def pico(version: str) -> Iterator[int]:
    with PicoBoard(artifacts.fetch(version)) as board, opened(board.port) as descriptor:
        yield descriptor


@contextmanager
def microbit() -> Iterator[int]:
    command = ["qemu-system-arm", "-M", "microbit", "-device", f"loader,file={MICROBIT_FIRMWARE}"]
    command += ["-display", "none", "-monitor", "none", "-serial", "pty"]
    qemu = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert qemu.stdout is not None
        ports = (re.search(r"redirected to (\S+)", line) for line in qemu.stdout)
        found = next(port for port in ports if port)
        with opened(found[1]) as descriptor:
            yield descriptor
    finally:
        qemu.kill()
        qemu.wait()


@contextmanager
def unix(command: str) -> Iterator[int]:
    arguments = shlex.split(command)
    process, master = pty.fork()  # with the pty as controlling terminal, which makes Ctrl-C a SIGINT
    if process == 0:
        try:
            os.execvp(arguments[0], arguments)
        finally:
            os._exit(127)
    try:
        # Until the interpreter has its terminal in raw mode, a Ctrl-C would kill it.
        Wire(master).read(b">>> ")
        yield master
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(master)


# ---- Scenarios ----


@dataclass(frozen=True, slots=True)
class Facts:
    """What a test compares with; the module's docstring says what each means."""

    start: str
    end: str
    way: str | None = None
    window: int | None = None
    code: bytes | None = None
    output: bytes | None = None
    traceback: bytes | None = None
    aborted: bool = False
    reset: str | None = None


@dataclass(slots=True)
class Scene:
    """What a scenario works with: the board, its wire, and the usual steps."""

    board: Board
    wire: Wire
    start: str = field(default="raw", init=False)

    def begin(self, start: str) -> None:
        """Bring the board to where the scenario starts, then record."""
        self.start = start
        self.wire.send(b"\r\x03")
        self.wire.read(self.board.prompt)
        self.wire.settle()
        if start in {"raw", "running raw"}:
            self.wire.send(b"\x01")
            self.wire.read(self.board.raw_prompt)
        loop = b"print('go' + 'ing')\nwhile True: pass\n"
        if start == "running raw":
            self.wire.send(loop + b"\x04")
            self.wire.read(b"OKgoing\r\n")
        elif start == "running friendly":
            self.wire.send(b"\x05" + loop + b"\x04")  # paste mode: the loop runs as one piece
            self.wire.read(b"\ngoing\r\n")
        self.wire.recording = True

    def no_response(self, end: str, *, code: bytes | None = None) -> Facts:
        return Facts(self.start, end, code=code)

    def response(self, way: str, code: bytes, output: bytes, ending: bytes = b"\x04>") -> Facts:
        """Read a response from behind its header to its end, and state the facts."""
        self.wire.read(re.escape(output) + b"\x04")
        traceback = self.wire.read(ending)[: -len(ending)]
        return Facts(self.start, "raw", way, self.board.window, code, output, traceback)

    def start_one_write(self, code: bytes) -> None:
        self.wire.send(b"\x05A\x01" + code + b"\x04")
        if self.board.window is None:
            self.wire.read(self.board.raw_prompt + b"OK")
        else:
            self.negotiated()
            self.wire.read(rb"\x01*\x04")

    def negotiated(self) -> None:
        if self.board.window is None:
            raise NotOnThisBoard("raw-paste")
        self.wire.read(b"R\x01" + re.escape(self.board.window.to_bytes(2, "little")) + b"\x01")

    def one_write(self, code: bytes, output: bytes = b"") -> Facts:
        self.start_one_write(code)
        return self.response("one-write", code, output)

    def paste(self, code: bytes) -> bool:
        """Send code as MicroPython's documentation says, by credits; return whether the board aborted."""
        self.wire.send(b"\x05A\x01")
        self.negotiated()
        assert self.board.window is not None
        rest, credit = code, 2 * self.board.window
        while rest:
            if credit == 0:
                if self.wire.read(b"[\x01\x04]") == b"\x04":
                    self.wire.send(b"\x04")
                    return True
                credit += self.board.window
            part, rest = rest[:credit], rest[credit:]
            credit -= len(part)
            self.wire.send(part)
        self.wire.send(b"\x04")
        self.wire.read(rb"\x01*\x04")
        return False


Scenario = Callable[[Scene], Facts]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__] = function
    return function


@scenario
def leave_raw(scene: Scene) -> Facts:
    """Ctrl-B: the friendly REPL and its banner, which names the board."""
    scene.begin("raw")
    scene.wire.send(b"\x02")
    scene.wire.read(scene.board.prompt)
    return scene.no_response("friendly")


@scenario
def enter_from_friendly(scene: Scene) -> Facts:
    """All in one write, at a friendly prompt."""
    scene.begin("friendly")
    scene.wire.send(b"\r\x03\x03\x01")
    scene.wire.read(scene.board.raw_prompt)
    return scene.no_response("raw")


@scenario
def enter_from_half_a_line(scene: Scene) -> Facts:
    """Somebody typed half a compound statement and left."""
    scene.begin("friendly")
    scene.wire.send(b"for i in range(3):\r  pri")
    scene.wire.read(b"pri")
    scene.wire.send(b"\r\x03\x03\x01")
    scene.wire.read(scene.board.raw_prompt)
    return scene.no_response("raw")


@scenario
def enter_from_raw(scene: Scene) -> Facts:
    """Already there: only Ctrl-A is answered."""
    scene.begin("raw")
    scene.wire.send(b"\r\x03\x03\x01")
    scene.wire.read(scene.board.raw_prompt)
    return scene.no_response("raw")


@scenario
def enter_from_half_a_raw_line(scene: Scene) -> Facts:
    """Somebody sent code to the raw REPL and left before its end: Ctrl-C clears it."""
    scene.begin("raw")
    scene.wire.send(b"print('never')")
    scene.wire.send(b"\r\x03\x03\x01")
    scene.wire.read(scene.board.raw_prompt)
    return scene.no_response("raw")


@scenario
def enter_while_running(scene: Scene) -> Facts:
    """A loop that was started at the friendly prompt: interrupt, see the prompt, and only then Ctrl-A."""
    scene.begin("running friendly")
    scene.wire.send(b"\r")
    scene.wire.interrupt(scene.board.prompt)
    scene.wire.send(b"\x01")
    scene.wire.read(scene.board.raw_prompt)
    return scene.no_response("raw")


@scenario
def enter_while_running_in_one_write(scene: Scene) -> Facts:
    """The same without waiting: boards differ in what becomes of the Ctrl-A behind the Ctrl-C."""
    scene.begin("running friendly")
    scene.wire.send(b"\r\x03\x03\x01")
    scene.wire.read(scene.board.prompt)
    try:
        scene.wire.read(scene.board.raw_prompt, timeout=1.0)
    except NoAnswer:
        scene.wire.send(b"\x01")
        scene.wire.read(scene.board.raw_prompt)
    return scene.no_response("raw")


@scenario
def enter_while_running_raw(scene: Scene) -> Facts:
    """A loop that was started at the raw prompt: the rest of its response comes first."""
    scene.begin("running raw")
    scene.wire.send(b"\r")
    scene.wire.interrupt(b"\x04>")
    scene.wire.send(b"\x01")
    scene.wire.read(scene.board.raw_prompt)
    return scene.no_response("raw")


@scenario
def raw_paste(scene: Scene) -> Facts:
    """The handshake as documented: three turns."""
    scene.begin("raw")
    code = b"print('hi')"
    scene.paste(code)
    return scene.response("raw-paste", code, b"hi\r\n")


@scenario
def raw_paste_long(scene: Scene) -> Facts:
    """Code of almost five windows, the last of them full to the byte."""
    scene.begin("raw")
    code = b"n = 0\n" + b"n += 1  # padding\n" * 34 + b"print(n)"
    code = code.ljust(5 * 128)
    scene.paste(code)
    return scene.response("raw-paste", code, b"34\r\n")


@scenario
def raw_paste_two_windows(scene: Scene) -> Facts:
    """Exactly two windows, so that both increments are under way when the host sends the end."""
    scene.begin("raw")
    code = b"print('hi')".ljust(256)
    scene.paste(code)
    return scene.response("raw-paste", code, b"hi\r\n")


@scenario
def raw_paste_nothing(scene: Scene) -> Facts:
    """No code at all: not a soft reset, as it would be without raw-paste."""
    scene.begin("raw")
    scene.paste(b"")
    return scene.response("raw-paste", b"", b"")


@scenario
def raw_paste_refused(scene: Scene) -> Facts:
    """A command that the firmware does not know gets the answer that a board without raw-paste support gives."""
    scene.begin("raw")
    if scene.board.window is None:
        raise NotOnThisBoard("raw-paste")
    scene.wire.send(b"\x05B\x01")
    scene.wire.read(b"R\x00>")
    return scene.no_response("raw")


@scenario
def one_write_refused(scene: Scene) -> Facts:
    """The same in one write: what follows runs as plain raw code."""
    scene.begin("raw")
    if scene.board.window is None:
        raise NotOnThisBoard("raw-paste")
    code = b"print('hi')"
    scene.wire.send(b"\x05B\x01" + code + b"\x04")
    scene.wire.read(b"R\x00>OK")
    return scene.response("one-write", code, b"hi\r\n")


@scenario
def one_write(scene: Scene) -> Facts:
    """Negotiation, code and end in one write; an old board runs it as plain raw code."""
    scene.begin("raw")
    return scene.one_write(b"print('hi')", b"hi\r\n")


@scenario
def one_write_twice(scene: Scene) -> Facts:
    """Two executions; the facts are the second one's."""
    scene.begin("raw")
    scene.one_write(b"x = 6 * 7")
    return scene.one_write(b"print(x)", b"42\r\n")


@scenario
def plain(scene: Scene) -> Facts:
    """Without raw-paste."""
    scene.begin("raw")
    code = b"print('hi')"
    scene.wire.send(code + b"\x04")
    scene.wire.read(b"OK")
    return scene.response("plain", code, b"hi\r\n")


@scenario
def plain_interrupted_while_sending(scene: Scene) -> Facts:
    """Ctrl-C in the middle of plain raw code clears what was sent, and says nothing."""
    scene.begin("raw")
    code = b"print('hi')"
    scene.wire.send(b"print('never')\x03" + code + b"\x04")
    scene.wire.read(b"OK")
    return scene.response("plain", code, b"hi\r\n")


@scenario
def output_like_framing(scene: Scene) -> Facts:
    """A program that prints everything that the framing is made of."""
    scene.begin("raw")
    code = b"print('a\\x04>b\\x04\\x04>OK\\x01R\\x01\\x80\\x00\\x01raw REPL; CTRL-B to exit\\r\\n>', end='')"
    output = b"a\x04>b\x04\x04>OK\x01R\x01\xc2\x80\x00\x01raw REPL; CTRL-B to exit\r\r\n>"
    scene.start_one_write(code)
    return scene.response("one-write", code, output)


@scenario
def output_like_an_error(scene: Scene) -> Facts:
    """Output that forges a whole failed response."""
    scene.begin("raw")
    code = b"print('\\x04Traceback (most recent call last):\\nValueError: no\\n\\x04>', end='')"
    return scene.one_write(code, b"\x04Traceback (most recent call last):\r\nValueError: no\r\n\x04>")


@scenario
def output_of_every_byte(scene: Scene) -> Facts:
    """Past the text layer: no newline is changed and nothing is UTF-8."""
    scene.begin("raw")
    if not scene.board.has_stdout_buffer:
        raise NotOnThisBoard("sys.stdout.buffer")
    output = bytes(range(256))
    if scene.board.exits:
        output = output.replace(b"\n", b"\r\n")  # by the terminal, which knows nothing of text layers
    return scene.one_write(b"import sys\nn = sys.stdout.buffer.write(bytes(range(256)))", output)


@scenario
def output_utf8(scene: Scene) -> Facts:
    """Characters of two, three and four bytes, which any cut can split."""
    scene.begin("raw")
    text = "é€🐍"
    return scene.one_write(f"print('{text}')".encode(), f"{text}\r\n".encode())


@scenario
def output_long(scene: Scene) -> Facts:
    """More than one USB packet or pty buffer's worth of reads."""
    scene.begin("raw")
    return scene.one_write(b"for i in range(20): print('0123456789' * 5)", (b"0123456789" * 5 + b"\r\n") * 20)


@scenario
def exception(scene: Scene) -> Facts:
    scene.begin("raw")
    code = b"def f():\n  print('before')\n  raise ValueError('boom')\nf()"
    return scene.one_write(code, b"before\r\n")


@scenario
def exception_by_raw_paste(scene: Scene) -> Facts:
    scene.begin("raw")
    code = b"print('before')\n1/0"
    scene.paste(code)
    return scene.response("raw-paste", code, b"before\r\n")


@scenario
def syntax_error(scene: Scene) -> Facts:
    """In one write: the board's early end comes where the acknowledgement would."""
    scene.begin("raw")
    return replace(scene.one_write(b"a = 1\nb = = 2\n"), aborted=scene.board.window is not None)


@scenario
def syntax_error_at_the_end(scene: Scene) -> Facts:
    """Found when the code is complete: acknowledged first."""
    scene.begin("raw")
    return scene.one_write(b"print(1")


@scenario
def syntax_error_aborts_raw_paste(scene: Scene) -> Facts:
    """By credits: the board sends its end early, takes one from the host, and grants nothing in between."""
    scene.begin("raw")
    code = b"a = 1\nb = = 2\n" + b"c = 3  # never read\n" * 40
    aborted = scene.paste(code)
    if not aborted:
        raise NoAnswer("the board did not abort")
    return replace(scene.response("raw-paste", code, b""), aborted=True)


@scenario
def memory_error(scene: Scene) -> Facts:
    """At run time, an ordinary exception."""
    scene.begin("raw")
    size = 10**12 if scene.board.exits else 10**6
    return scene.one_write(f"print('x')\nb = bytearray({size})".encode(), b"x\r\n")


@scenario
def memory_error_aborts_raw_paste(scene: Scene) -> Facts:
    """While it compiles: deep nesting costs the parser some hundred bytes per character."""
    scene.begin("raw")
    if scene.board.exits:
        raise NotOnThisBoard("so little memory")
    code = b"x = " + b"(" * 6000
    if not scene.paste(code):
        raise NoAnswer("the board did not abort")
    return replace(scene.response("raw-paste", code, b""), aborted=True)


@scenario
def interrupt(scene: Scene) -> Facts:
    """A tight loop."""
    scene.begin("raw")
    if scene.board.exits:
        raise NotOnThisBoard("ISIG on its terminal while code that came by raw-paste runs")
    code = b"print('going')\nwhile True: pass"
    scene.start_one_write(code)
    scene.wire.read(b"going\r\n")
    traceback = scene.wire.interrupt(b"\x04>")[1:-2]
    return Facts("raw", "raw", "one-write", scene.board.window, code, b"going\r\n", traceback)


@scenario
def interrupt_plain(scene: Scene) -> Facts:
    """The same for code that came without raw-paste."""
    scene.begin("raw")
    code = b"print('going')\nwhile True: pass"
    scene.wire.send(code + b"\x04")
    scene.wire.read(b"OKgoing\r\n")
    echo = b"^C" if scene.board.exits else b""
    traceback = scene.wire.interrupt(b"\x04>")[len(echo) + 1 : -2]
    return Facts("raw", "raw", "plain", scene.board.window, code, b"going\r\n" + echo, traceback)


@scenario
def interrupt_caught(scene: Scene) -> Facts:
    """The program catches KeyboardInterrupt and ends well."""
    scene.begin("raw")
    code = b"try:\n  print('going')\n  while True: pass\nexcept KeyboardInterrupt: print('caught')"
    scene.wire.send(code + b"\x04")
    scene.wire.read(b"OKgoing\r\n")
    echo = b"^C" if scene.board.exits else b""
    scene.wire.interrupt(b"\x04\x04>")
    output = b"going\r\n" + echo + b"caught\r\n"
    return Facts("raw", "raw", "plain", scene.board.window, code, output, b"")


@scenario
def interrupt_too_late(scene: Scene) -> Facts:
    """Ctrl-C that finds the code ended dies at the prompt; the next execution is untouched. The facts are its."""
    scene.begin("raw")
    scene.one_write(b"pass")
    scene.wire.send(b"\x03")
    return scene.one_write(b"print('hi')", b"hi\r\n")


@scenario
def interrupt_raw_paste(scene: Scene) -> Facts:
    """Ctrl-C in the middle of the code: acknowledged like an end, and nothing more is to be sent."""
    scene.begin("raw")
    code = b"print('never')\nprint("
    scene.wire.send(b"\x05A\x01")
    scene.negotiated()
    scene.wire.send(code + b"\x03")
    scene.wire.read(b"\x04")
    return scene.response("raw-paste", code, b"")


@scenario
def input_from_host(scene: Scene) -> Facts:
    """The program reads a line, which the board echoes."""
    scene.begin("raw")
    code = b"print('got ' + input('name? '))"
    scene.start_one_write(code)
    scene.wire.read(rb"name\? ")
    scene.wire.send(b"belay\r")
    scene.wire.read(b"got belay\r\n\x04\x04>")
    newline = b"\r\r\n" if scene.board.exits else b"\r\n"
    output = b"name? belay" + newline + b"got belay\r\n"
    return Facts("raw", "raw", "one-write", scene.board.window, code, output, b"")


@scenario
def soft_reset(scene: Scene) -> Facts:
    """An empty Ctrl-D."""
    scene.begin("raw")
    scene.wire.send(b"\x04")
    scene.wire.read(b"OK\r+\n")
    return rebooted(scene, scene.no_response("raw"))


@scenario
def soft_reset_from_friendly(scene: Scene) -> Facts:
    """Ctrl-D at the friendly prompt, which runs main.py if there is one."""
    scene.begin("friendly")
    scene.wire.send(b"\x04")
    return rebooted_friendly(scene, scene.no_response("friendly"))


@scenario
def system_exit(scene: Scene) -> Facts:
    """A reset in disguise, except on the oldest: the byte behind the second end is no prompt."""
    scene.begin("raw")
    code = b"print('bye')\nraise SystemExit"
    scene.start_one_write(code)
    if not scene.board.system_exit_resets:
        return scene.response("one-write", code, b"bye\r\n")
    return rebooted(scene, scene.response("one-write", code, b"bye\r\n", ending=b"\x04"))


@scenario
def system_exit_by_raw_paste(scene: Scene) -> Facts:
    scene.begin("raw")
    code = b"import sys\nsys.exit(3)"
    scene.paste(code)
    return rebooted(scene, scene.response("raw-paste", code, b"", ending=b"\x04"))


@scenario
def machine_soft_reset(scene: Scene) -> Facts:
    scene.begin("raw")
    code = scene.board.soft_reset
    if code is None:
        raise NotOnThisBoard("machine.soft_reset")
    scene.start_one_write(code)
    return rebooted(scene, scene.response("one-write", code, b"", ending=b"\x04"))


@scenario
def hard_reset(scene: Scene) -> Facts:
    """A hard reset in the middle of a response, which never ends; the port stays, as with a USB-to-serial chip."""
    scene.begin("raw")
    code = scene.board.hard_reset
    if code is None:
        raise NotOnThisBoard("machine.reset")
    scene.start_one_write(code)
    scene.wire.settle()
    scene.wire.send(b"\r\x03\x03\x01")
    scene.wire.read(scene.board.raw_prompt)
    return replace(scene.no_response("raw", code=code), way="one-write", window=scene.board.window, reset="hard")


@scenario
def one_write_at_the_friendly_prompt(scene: Scene) -> Facts:
    """Code sent to the wrong REPL: the prefix turns it into paste mode and a syntax error, and nothing runs."""
    scene.begin("friendly")
    scene.wire.send(b"\x05A\x01print('hi')\x04")
    scene.wire.read(b"\n" + scene.board.prompt)
    return scene.no_response("friendly", code=b"print('hi')")


@scenario
def plain_at_the_friendly_prompt(scene: Scene) -> Facts:
    """Plain raw code at the friendly prompt is echoed, runs line by line, and Ctrl-D on an empty line resets."""
    scene.begin("friendly")
    scene.wire.send(b"print('h' + 'i')\r\x04")
    scene.wire.read(b"hi\r\n")
    return rebooted_friendly(scene, scene.no_response("friendly", code=b"print('h' + 'i')\r"))


def rebooted(scene: Scene, facts: Facts) -> Facts:
    """Read the end of a soft reset from raw mode: boot output, then a raw prompt, or the end of the process."""
    if scene.board.exits:
        return replace(facts, end="exited", reset="soft")
    scene.wire.read(b"soft reboot.*" + scene.board.raw_prompt)
    return replace(facts, reset="soft")


def rebooted_friendly(scene: Scene, facts: Facts) -> Facts:
    """Read the end of a soft reset from the friendly REPL."""
    if not scene.board.exits:
        scene.wire.read(b"soft reboot.*" + scene.board.prompt)
        return replace(facts, reset="soft")
    scene.wire.settle()
    # A terminal eats a Ctrl-D that comes while code runs, and then there is no reset.
    return replace(facts, end="exited", reset="soft") if scene.wire.ended else facts


# ---- The run ----


def banner(board: Board) -> str:
    """Ask the board what it is."""
    with board.power() as descriptor:
        wire = Wire(descriptor)
        wire.send(b"\r\x03")
        wire.read(board.prompt)
        wire.settle()
        wire.send(b"\x02")  # Ctrl-B repeats the banner, also at the friendly prompt
        match = re.search(r"MicroPython [^\r\n]*", wire.read(rb"MicroPython.*" + board.prompt).decode())
    assert match
    return match[0]


def record(board: Board, play: Scenario) -> tuple[Facts, list[tuple[str, bytearray]]]:
    """Play one scenario on a board that was just switched on."""
    for attempt in range(1, ATTEMPTS + 1):
        with board.power() as descriptor:
            wire = Wire(descriptor)
            try:
                facts = play(Scene(board, wire))
                if rest := wire.settle():
                    raise NoAnswer(f"the conversation should have ended before {rest!r}")
                check(facts, wire.exchange)
            except NoAnswer as error:
                if attempt == ATTEMPTS:
                    raise
                print(f"  {play.__name__}: {error}; again", file=sys.stderr)
            else:
                return facts, wire.exchange
    raise AssertionError("unreachable")


def check(facts: Facts, exchange: list[tuple[str, bytearray]]) -> None:
    """Refuse a recording that does not hold what its facts claim."""
    said = b"".join(data for who, data in exchange if who == "board")
    if facts.output is not None and facts.traceback is not None:
        response = facts.output + b"\x04" + facts.traceback + b"\x04"
        if response not in said:
            raise NoAnswer(f"{response!r} is not in {said!r}")


def as_json(name: str, scenario: str, facts: Facts, exchange: list[tuple[str, bytearray]]) -> str:
    """Lay a recording out with one line per fact and per turn, to be read and compared by eye."""
    entries = {"board": name, "scenario": scenario} | {
        key: value.decode("latin-1") if isinstance(value, bytes) else value for key, value in asdict(facts).items()
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in entries.items()]
    turns = [f"    {json.dumps([who, data.decode('latin-1')])}" for who, data in exchange]
    return "\n".join(["{", *lines, '  "exchange": [', ",\n".join(turns), "  ]", "}"]) + "\n"


def boards(unix_command: str | None) -> Iterator[Board]:
    for version in artifacts.IMAGES:
        yield Board(f"pico-{version}", partial(pico, version), window=128)
    if shutil.which("qemu-system-arm") and MICROBIT_FIRMWARE.exists():
        yield Board(
            "microbit-1.9.2",
            microbit,
            has_stdout_buffer=False,
            hard_reset=b"import microbit\nprint('bye')\nmicrobit.reset()",
            soft_reset=None,
            system_exit_resets=False,
        )
    if unix_command:
        yield Board("unix", partial(unix, unix_command), window=128, hard_reset=None, soft_reset=None, exits=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--unix", metavar="COMMAND", help="a MicroPython unix port of version 1.27 or later")
    parser.add_argument("--only", metavar="WORD", default="", help="boards and scenarios whose joint name contains it")
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    for board in boards(options.unix):
        chosen = {name: play for name, play in SCENARIOS.items() if options.only in f"{board.name}-{name}"}
        if not chosen:
            continue
        name = banner(board)
        print(name)
        for scenario_name, play in chosen.items():
            try:
                facts, exchange = record(board, play)
            except (NotOnThisBoard, NoAnswer) as error:
                print(f"  {scenario_name}: left out: {error}", file=sys.stderr)
                continue
            path = options.directory / f"{board.name}-{scenario_name}.json"
            path.write_text(as_json(name, scenario_name, facts, exchange), encoding="ascii")


if __name__ == "__main__":
    main()
