"""A child process as a port: what it prints is received, what is written goes to its standard input.

The child gets a process group of its own, so that Ctrl-C in this program's terminal is not meant for it, and so that
its end takes with it what it has started.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import weakref
from typing import IO

from belay_py.devices.holders import shortened
from belay_py.errors import Disconnected
from belay_py.transports.starts import starts

_CHUNK = 4096
_LONGEST_LINE = 200
_TERMINATION_S = 1.0
"""How long a child may take to end by itself when it is asked to, before it is killed."""
_STATUS_S = 0.5
"""How long to wait for the status of a child that has closed its output."""


_KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL
_STEP_S = 0.01
_READS = 16
"""As many as empty a pipe of 64 KiB; whoever writes without end must not hold up all else."""

_log = logging.getLogger(__name__)


_running: weakref.WeakSet[Child] = weakref.WeakSet()
"""What is ended with this program."""


class Child:
    """A running child. Blocking, for `ThreadedTransport`; on Windows reads and writes end with the child only."""

    timeout: float | None = None
    in_waiting = 0  # `read` gives all there is

    def __init__(self, port: str, process: subprocess.Popen[bytes], terminal: IO[bytes] | None = None) -> None:
        self._port = port
        self._process = process
        self._last_words = b""
        self._input = terminal or process.stdin
        self._output = terminal or process.stdout
        self._errors = process.stderr
        self._started_by = os.getpid()
        _running.add(self)
        if sys.platform == "win32":
            threading.Thread(target=self._read_errors, name=f"belay errors of {port}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def dtr(self) -> bool:
        """A process has no lines. Setting one raises ValueError, as pyserial does for a port that refuses."""
        return False

    @dtr.setter
    def dtr(self, value: bool) -> None:
        raise ValueError("a process has no DTR")

    @property
    def rts(self) -> bool:
        """As `dtr`."""
        return False

    @rts.setter
    def rts(self, value: bool) -> None:
        raise ValueError("a process has no RTS")

    def read(self, size: int = 1, /) -> bytes:
        """What the child has printed, at least a byte and maybe more than ``size``. Raises `Disconnected`."""
        data = os.read(_fd(self._output), max(size, _CHUNK))
        if not data:
            raise self._ended()
        return data

    def write(self, data: bytes, /) -> int | None:
        """Write everything to the child's standard input. Raises `Disconnected`."""
        try:
            os.write(_fd(self._input), data)
        except OSError as exc:
            raise self._ended() from exc
        return len(data)

    def close(self) -> None:
        """End the child: close its input, ask it to end, kill it a second later. Any number of times, never raises."""
        if sys.platform == "win32":  # closing a pipe waits for the thread that reads it
            self._end()
            self._close_pipes()
        else:
            self._close_pipes()
            self._end()

    def _close_pipes(self) -> None:
        for end in (self._input, self._output, self._errors):
            with contextlib.suppress(OSError):
                if end is not None:
                    end.close()

    def _end(self) -> None:
        try:
            self._end_by_signals()
        finally:
            _running.discard(self)  # not before: this program's end may freeze the thread that does it

    def _end_by_signals(self) -> None:
        for number in (signal.SIGTERM, _KILL):
            if self._process.returncode is None:
                self._signal(number)
                if self._is_over() and number != _KILL:
                    self._signal(_KILL)  # what it has started, which may have ignored the first
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(0 if number != _KILL else _TERMINATION_S)
        if self._process.returncode is None:  # of another user, or stuck in a driver
            _log.warning("%s: process %d does not end", self._port, self.pid)

    def _is_over(self) -> bool:
        """Wait a second for the child's end; whether it came, and its number is still the child's."""
        if not hasattr(os, "waitid"):  # Windows; macOS before Python 3.13
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_TERMINATION_S)
            return False
        deadline = time.monotonic() + _TERMINATION_S
        with contextlib.suppress(ChildProcessError):  # somebody else has waited for it
            while time.monotonic() < deadline:
                if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                    return True
                time.sleep(_STEP_S)
        return False

    def _signal(self, number: signal.Signals) -> None:
        # Not yet waited for, so that nobody else can have its number.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                self._process.terminate()
            else:
                os.killpg(self._process.pid, number)

    def _ended(self) -> Disconnected:
        """What to tell of a child that prints no more or reads no more."""
        try:
            status = self._process.wait(_STATUS_S)
        except subprocess.TimeoutExpired:
            how = "has closed its standard input or output"
        else:
            how = f"has ended with status {status}" if status >= 0 else f"was ended by {_signal_name(-status)}"
        self._hear_errors()
        lines = self._last_words.decode(errors="replace").strip().splitlines()
        why = f" ({shortened(lines[-1], _LONGEST_LINE)})" if lines else ""
        return Disconnected(f"{self._port} {how}{why}: see to that, then reconnect")

    def _read_errors(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile
            while data := os.read(_fd(self._errors), _CHUNK):
                self._hear(data)

    def _hear_errors(self) -> bool:
        return False  # a thread does

    def _hear(self, data: bytes) -> None:
        self._last_words = (self._last_words + data)[-_CHUNK:]


class PosixChild(Child):
    """A running child whose reads and writes can be cancelled."""

    def __init__(self, port: str, process: subprocess.Popen[bytes], terminal: IO[bytes] | None = None) -> None:
        super().__init__(port, process, terminal)
        self._look_at = 0.0
        self._over_at: float | None = None
        self._owed = 0
        self._hearing = threading.Lock()  # the reading and the writing thread may both tell of the end
        self._ends: tuple[int, ...] = os.pipe()
        self._woken, self._wake = self._ends
        # macOS has poll, but not for terminals.
        kind = selectors.PollSelector if sys.platform == "linux" else selectors.SelectSelector
        self._readable, self._writable = kind(), kind()
        for file in filter(None, (self._input, self._output, self._errors)):
            os.set_blocking(file.fileno(), False)
        for end in (self._output, self._errors, self._woken):
            if end is not None:
                self._readable.register(end, selectors.EVENT_READ)
        self._writable.register(_fd(self._input), selectors.EVENT_WRITE)
        self._writable.register(self._woken, selectors.EVENT_READ)

    def read(self, size: int = 1, /) -> bytes:
        """As `Child.read`; nothing after ``timeout`` seconds, or when it was cancelled."""
        ready = self._ready_to_read(self.timeout)
        if not ready and self._process.poll() is not None:
            # Something that it has started may hold its output open, for ever.
            ready = self._ready_to_read(0)
            if not ready:
                raise self._ended()
        if self._output in ready and self._is_long_over():
            raise self._ended()
        if self._errors in ready and self._hear_errors():
            self._readable.unregister(_fd(self._errors))
        if self._output not in ready:
            return b""
        try:
            data = os.read(_fd(self._output), max(size, _CHUNK))
        except BlockingIOError:
            return b""
        except OSError:  # EIO: nobody has the terminal's other side open
            data = b""
        if data:
            self._owed -= len(data)
            return data
        raise self._ended()

    def _is_long_over(self) -> bool:
        """Whether the child has ended, all that it had printed was read, and what still comes is its descendants'."""
        now = time.monotonic()
        if self._over_at is None:
            if now < self._look_at:
                return False
            self._look_at = now + _STATUS_S
            if self._process.poll() is not None:
                self._over_at, self._owed = now, _waiting(_fd(self._output))
            return False
        # A terminal passes on late what it counts as waiting.
        return self._owed <= 0 and now - self._over_at > _STATUS_S

    def _ready_to_read(self, timeout: float | None) -> list[object]:
        return [key.fileobj for key, _ in self._readable.select(timeout)]

    def _hear_errors(self) -> bool:
        """Take what the child has written to its standard error; whether that is all there will be."""
        with self._hearing:
            for _ in range(_READS):
                try:
                    data = os.read(_fd(self._errors), _CHUNK)
                except OSError:  # nothing at present, or none
                    return False
                if not data:
                    return True
                self._hear(data)
        return False

    def write(self, data: bytes, /) -> int | None:
        """As `Child.write`; cancelled, the rest is dropped."""
        left = memoryview(data)
        while left:
            if any(key.fd == self._woken for key, _ in self._writable.select()):
                break
            try:
                left = left[os.write(_fd(self._input), left) :]
            except BlockingIOError:
                continue
            except OSError as exc:
                raise self._ended() from exc
        return len(data)

    def cancel_read(self) -> None:
        """Let a `read` return, and all later ones."""
        with contextlib.suppress(OSError):
            os.write(self._wake, b"\0")  # never read, so that it wakes both directions

    cancel_write = cancel_read

    def reset_output_buffer(self) -> None:
        """There is none."""

    def close(self) -> None:
        """As `Child.close`."""
        self._readable.close()
        self._writable.close()
        ends, self._ends = self._ends, ()
        for fd in ends:
            os.close(fd)
        super().close()


def _waiting(fd: int) -> int:
    import fcntl  # noqa: PLC0415  Windows has neither, and never gets here
    import termios  # noqa: PLC0415  as above

    with contextlib.suppress(OSError):
        return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)
    return 0


@atexit.register
def _end_all() -> None:
    starts.end()
    mine = [child for child in list(_running) if child._started_by == os.getpid()]  # noqa: SLF001  this module's own
    for child in mine:
        if child._process.returncode is None:  # noqa: SLF001  as above
            child._signal(signal.SIGTERM)  # noqa: SLF001  all at once, so that they take a second together
    for child in mine:
        child._end()  # noqa: SLF001  as above


def _fd(file: IO[bytes] | None) -> int:
    return -1 if file is None else file.fileno()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time one
        return f"signal {number}"
