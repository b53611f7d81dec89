"""The person's terminal: raw while a board is at its other end, and as it was before whatever happens."""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from belay_py.cli.keys import BRACKETED_PASTE_OFF, BRACKETED_PASTE_ON

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from types import FrameType

_STDIN, _STDOUT = 0, 1
_READ_SIZE = 4096


def is_terminal() -> bool:
    """Whether a person types: standard input is a terminal."""
    return os.isatty(_STDIN)


class RawTerminal:
    """Standard input as raw as a serial port: no echo, no lines, no signals from keys. Does nothing on Windows.

    There keys are read one by one anyway; that was not tried.
    """

    def __init__(self) -> None:
        self._before: list[Any] | None = None
        self._wanted = False

    @contextlib.contextmanager
    def raw(self) -> Iterator[None]:
        """Be raw meanwhile. A process that is stopped (SIGTSTP) gives the terminal back for that time."""
        if sys.platform == "win32":
            yield
            return
        import termios  # noqa: PLC0415  there is none on Windows

        # Once, and never while it may be raw already, or the shell's, whose line editor has settings of its own.
        self._before = termios.tcgetattr(_STDIN)
        with self._stopping():
            try:
                self._wanted = True
                self._make_raw()
                yield
            finally:
                self.restore()

    def restore(self) -> None:
        """Put the terminal back as it was. Safe at any time, any number of times; never raises."""
        self._wanted = False
        self._put_back()
        self._before = None  # not before: a signal's handler that comes in between has to put it back itself

    def _put_back(self) -> None:
        before = self._before
        if sys.platform == "win32" or before is None:
            return
        import termios  # noqa: PLC0415  there is none on Windows

        with contextlib.suppress(termios.error, OSError):  # its window was closed
            # What is left of a paste was meant for the board, and must not reach the shell. Output is not waited for:
            # a terminal that takes none would keep this from ending.
            termios.tcflush(_STDIN, termios.TCIFLUSH)
            termios.tcsetattr(_STDIN, termios.TCSANOW, before)
        if os.isatty(_STDOUT):
            with contextlib.suppress(OSError):
                os.write(_STDOUT, BRACKETED_PASTE_OFF)

    def _make_raw(self) -> None:
        before = self._before
        if sys.platform != "win32" and before is not None:
            import termios  # noqa: PLC0415  there is none on Windows

            # Not tty.setraw, which leaves ICRNL on from Python 3.12.2 on: the return key would not be one.
            attributes = copy.deepcopy(before)
            attributes[0] &= ~(
                termios.IGNBRK
                | termios.BRKINT
                | termios.PARMRK
                | termios.ISTRIP
                | termios.INLCR
                | termios.IGNCR
                | termios.ICRNL
                | termios.IXON
            )
            attributes[1] &= ~termios.OPOST
            attributes[2] = attributes[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
            attributes[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
            attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
            termios.tcsetattr(_STDIN, termios.TCSANOW, attributes)
            if os.isatty(_STDOUT):
                os.write(_STDOUT, BRACKETED_PASTE_ON)

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        if sys.platform == "win32":
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            del frame
            self._put_back()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)  # it stops here, and goes on at SIGCONT
            signal.signal(number, stop)
            if self._wanted:
                self._make_raw()

        before = signal.getsignal(signal.SIGTSTP)
        if before is signal.SIG_IGN:
            yield
            return
        signal.signal(signal.SIGTSTP, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTSTP, before)


class Input:
    """Reads standard input in a thread of its own, since a loop cannot wait for files, nor on Windows for consoles.

    ``deliver`` is called on the loop with what came, and with nothing at the end. `hold` lets the thread wait before
    the next read; that of a terminal is never held, as Ctrl-C would come no more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._deliver = deliver
        self._go_on = threading.Event()
        self._go_on.set()
        # A thread that waits for a key cannot be ended; the process's end takes it along.
        threading.Thread(target=self._read, name="belay reading keys", daemon=True).start()

    def hold(self, wanted: bool) -> None:
        """Read no more for now, or read on."""
        if wanted:
            self._go_on.clear()
        else:
            self._go_on.set()

    def _read(self) -> None:
        read = _read_console if sys.platform == "win32" and is_terminal() else _read_stdin
        data = b"more"
        while data:
            self._go_on.wait()
            data = read()
            with contextlib.suppress(RuntimeError):  # the loop has ended, and so will this process
                self._loop.call_soon_threadsafe(self._deliver, data)


def _read_stdin() -> bytes:
    try:
        return os.read(_STDIN, _READ_SIZE)
    except OSError:  # the terminal's window was closed
        return b""


def _read_console() -> bytes:
    """One key of a Windows console, as a terminal would send it. Not tried: there was no Windows to try it on."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415  there is one on Windows only

        while True:
            key = msvcrt.getwch()
            if key not in {"\x00", "\xe0"}:
                return key.encode()
            if special := _WINDOWS_KEYS.get(msvcrt.getwch()):
                return special
    raise OSError("there are consoles on Windows only")


# What follows the first half of a special key: arrows, Home, End, Delete.
_WINDOWS_KEYS = {
    "H": b"\x1b[A",
    "P": b"\x1b[B",
    "M": b"\x1b[C",
    "K": b"\x1b[D",
    "G": b"\x1b[H",
    "O": b"\x1b[F",
    "S": b"\x1b[3~",
}
